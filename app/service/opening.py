"""How a run comes to be the live one: made, branched off, or taken up where it was."""

from collections.abc import Callable

from app.service.errors import KeyReusedError, MemoryShortError
from app.service.requests import Fork, IdempotencyKey, Init, RollBack, Twin
from bitlm.data import Corpus
from bitlm.growth import grown_config, training_memory
from bitlm.history.branching import fork, roll_back, twin
from bitlm.machine import available_memory_bytes
from bitlm.model import ModelConfig
from bitlm.session import CheckpointPolicy, Event, RunStore, Session
from bitlm.session.events import EventKind, Source

Progress = Callable[[int, int], None]


class Opening:
    """Makes sessions with the service's settings, of models that fit into memory.

    `progress` is told how far a resumption has come; `free_bytes` says how much memory there is.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        torch_threads: int,
        policy: CheckpointPolicy,
        progress: Progress,
        free_bytes: Callable[[], int] = available_memory_bytes,
    ) -> None:
        self._free_bytes = free_bytes
        self._store = store
        self._torch_threads = torch_threads
        self._policy = policy
        self._progress = progress

    def create(self, request: Init, source: Source) -> Session:
        """Make a new run."""
        self._require_memory(request.model)
        if request.text is None:
            corpus = Corpus.load(request.corpus)
        else:
            corpus = Corpus(request.text_name, request.text.encode())
        return Session.create(
            self._store,
            model=request.model,
            training=request.training,
            corpus=corpus,
            seed=request.seed,
            threads=self._torch_threads,
            policy=self._policy,
            source=source,
            asked=request.key.remembered() if request.key else None,
        )

    def take_up(self, run_id: str) -> Session:
        """Open a run where it was."""
        self._require_memory(self._store.run(run_id).config.model)
        return Session.open(self._store, run_id, policy=self._policy, progress=self._progress)

    def fork(self, request: Fork, source: Source) -> Session:
        """Branch off a checkpoint, with the λ and floors asked for."""
        model = self._store.run(request.run_id).config.model
        self._require_memory(model if request.growth is None else grown_config(model, request.growth))
        run_id = fork(
            self._store,
            request.run_id,
            step=request.step,
            settings=request.settings,
            telemetry=request.telemetry,
            growth=request.growth,
            source=source,
        )
        return self.take_up(run_id)

    def roll_back(self, request: RollBack, source: Source) -> Session:
        """Branch off the last good state."""
        return self.take_up(roll_back(self._store, request.run_id, since=request.since, source=source))

    def twin(self, request: Twin, source: Source) -> Session:
        """Branch off before a change."""
        run_id = twin(
            self._store,
            request.run_id,
            request.event_id,
            instead=request.instead,
            undo=request.undo,
            source=source,
        )
        return self.take_up(run_id)

    def _require_memory(self, model: ModelConfig) -> None:
        """Refuse a model before anything of it is made; what a step holds on top is left out.

        Raises:
            MemoryShortError: Not even its weights, gradients and optimizer fit.
        """
        needed, free = training_memory(model).total, self._free_bytes()
        if needed > free:
            raise MemoryShortError(needed, free)

    def asked_before(self, kind: EventKind, key: IdempotencyKey | None) -> list[Event]:
        """Return the events of the same request made earlier.

        Raises:
            KeyReusedError: The key came with another request.
        """
        if key is None:
            return []
        events = self._store.events_with_key(kind, key.key)
        if any(event.payload["request_sha256"] != key.sha256 for event in events):
            raise KeyReusedError(key.key)
        return events
