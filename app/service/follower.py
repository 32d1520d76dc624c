"""In the place of the thread that owns the model: one that watches a run which another process writes."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, partial
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import structlog

from app.service.answers import State, Status, Watching
from app.service.errors import WatchingOnlyError
from app.service.folder_status import corpus_of, progress_of, settings_of
from app.service.requests import Request
from app.service.steering import Steering, wish_of
from bitlm.errors import BitLMError, RunNotFoundError
from bitlm.session import RunRecord, RunStore
from bitlm.session.events import Source
from bitlm.session.run_lock import holder

if TYPE_CHECKING:
    from app.service.relay import Subscriber  # whose redis is an extra

STATE_AFTER: dict[str, State] = {
    "training_started": "training",
    "steps_requested": "training",
    "steps_ended": "paused",
    "training_paused": "paused",
    "training_stopped": "stopped",
    "run_resumed": "paused",
    "nonfinite_alert": "halted",
    "failed": "failed",
}
"""The state that each of these events leaves a run in."""


class Follower:
    """Follows the data folder: the run that is being trained, or the one that something last happened to.

    What a worker does for its manager, but without a model: `submit` is refused, and `status` is what the
    folder tells. With a `subscriber` it is the owner's own word, for as long as that is heard. By `steering`
    what a letter can say is passed on to a training that looks for letters.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        interval_s: float,
        subscriber: "Subscriber | None" = None,
        steering: Steering | None = None,
    ) -> None:
        """Look every `interval_s` seconds, once started."""
        self._store = store
        self._interval_s = interval_s
        self._subscriber = subscriber
        self._steering = steering
        self._on_change: Callable[[], None] = lambda: None
        self._stopping, self._looking = Flag(), Lock()
        self._looked_at, self._started_at = time.monotonic(), time.time()
        self._status = self._blank()
        self._told: tuple[tuple[str, int], dict[str, Any]] | None = None
        self._corpus_of = lru_cache(maxsize=1)(partial(corpus_of, store))
        self._thread = Thread(target=self._run, name="bitlm-follower", daemon=True)
        self._log = structlog.get_logger("bitlm.follower")

    def observe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever the status is another, in this one's thread."""
        self._on_change = on_change

    @property
    def status(self) -> Status:
        """What was found last; never waits."""
        return self._status

    @property
    def is_alive(self) -> bool:
        """Whether it watches."""
        return self._thread.is_alive() and not self._stopping.is_set()

    @property
    def silent_s(self) -> float:
        """Seconds since it last looked."""
        return time.monotonic() - self._looked_at

    def start(self) -> None:
        """Look once, and from then on."""
        self._look()
        self._thread.start()
        if self._subscriber is not None:
            self._subscriber.start()

    def wait_until_settled(self, timeout_s: float | None) -> bool:  # noqa: ARG002 - as a worker's
        """There is nothing to wait for: a run is not taken up to be watched."""
        return True

    def submit(self, request: Request[Any], source: Source) -> Future[Any]:
        """Pass a request on, and wait for the answer, which the status then shows; or refuse it."""
        answered: Future[Any] = Future()
        try:
            answered.set_result(self._passed_on(request, source))
        except BitLMError as error:
            answered.set_exception(error)
        return answered

    def _passed_on(self, request: Request[Any], source: Source) -> object:
        status, wish = self._status, wish_of(request)
        assert status.watching is not None, "it watches"
        is_elsewhere = status.watching.owner_url is not None and not status.watching.steers
        if self._steering is None or wish is None or is_elsewhere:
            raise self.refusal()
        answer = self._steering.pass_on(request, wish, source, status)
        self._look()
        return answer

    def refusal(self) -> WatchingOnlyError:
        """Return that nothing is done here, and where it is."""
        assert self._status.watching is not None, "it watches"
        return WatchingOnlyError(self._status.watching.owner_url)

    def request_stop(self) -> None:
        """Ask the threads to end."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for that."""
        if self._subscriber is not None:
            self._subscriber.close()
        if self._steering is not None:
            self._steering.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        is_failing = False
        while not self._stopping.wait(self._interval_s):
            try:
                self._look()
                is_failing = False
            except Exception:  # noqa: BLE001 - logged once; the next look may find what this one did not
                if not is_failing:
                    self._log.exception("look_failed")
                is_failing = True

    def _look(self) -> None:
        with self._looking:  # or an earlier look could take the place of a later one
            self._looked_at = time.monotonic()
            found = self._found()
            if found != self._status:
                self._status = found
                self._on_change()

    def _found(self) -> Status:
        return self._owner_says() or self._folder_tells()

    def _owner_says(self) -> Status | None:
        """Return the status of the owner, if it is heard and holds a run of this folder, else None."""
        word = self._subscriber.word if self._subscriber is not None else None
        if word is None or word.status.run_id is None:
            return None
        try:
            writer = holder(self._store.run_dir(word.status.run_id))
        except RunNotFoundError:  # for that can be no run's id
            return None
        if writer is None:
            return None
        ours = {"service_started_at": self._started_at, "watching": self._watching(writer)}
        return word.status.model_copy(update=ours)

    def _folder_tells(self) -> Status:
        record, writer = self._run_of_interest()
        if record is None:
            return self._blank()
        last = self._store.metrics_of_step(record.run_id, record.last_step) or {}
        return self._blank(
            writer,
            **self._state(record, is_written=writer is not None),
            bytes_per_s=last.get("bytes_per_s"),
            **progress_of(self._store, record, last),
            **self._settings(record.run_id),
            corpus=self._corpus_of(record.config),
            steers=self._steering is not None and self._steering.reaches(record.run_id),
        )

    def _run_of_interest(self) -> tuple[RunRecord | None, str | None]:
        """Return the run to watch and who writes it: none other while it is being trained."""
        run_id = self._status.run_id
        if run_id is not None and self._status.state == "training":
            writer = holder(self._store.run_dir(run_id))
            if writer is not None:
                return self._store.run(run_id), writer
        record = self._store.last_active_run()
        return record, holder(self._store.run_dir(record.run_id)) if record else None

    def _state(self, record: RunRecord, *, is_written: bool) -> dict[str, Any]:
        """Return the state, with the error that led to it if one did."""
        events = self._store.all_events(record.run_id, kinds=tuple(STATE_AFTER))
        if not events:
            return {"state": "ready"}
        last = events[-1]
        state = STATE_AFTER[last.kind]
        if last.kind == "steps_requested" and record.last_step >= last.step + last.payload["steps"]:
            state = "paused"
        if state == "training" and not is_written:
            state = "stopped"  # whoever trained it was killed, or its machine
        error = last.payload["detail"] if state in {"halted", "failed"} else None
        return {"state": state, "error": error}

    def _settings(self, run_id: str) -> dict[str, Any]:
        """Return what the journal says is in force; read again after further events only."""
        key = (run_id, self._store.last_event_id(run_id))
        if self._told is None or self._told[0] != key:
            self._told = (key, settings_of(self._store, run_id))
        return self._told[1]

    def _blank(self, writer: str | None = None, *, steers: bool = False, **known: Any) -> Status:
        watching = self._watching(writer, steers=steers)
        return Status(service_started_at=self._started_at, watching=watching, **known)

    def _watching(self, writer: str | None, *, steers: bool = False) -> Watching:
        if self._subscriber is None:
            return Watching(writer=writer, steers=steers)
        word, cut_off = self._subscriber.word, self._subscriber.complaint
        url = word.url if word else None
        return Watching(writer=writer, steers=steers, owner_url=url, cut_off=cut_off)
