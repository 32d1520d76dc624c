"""A run as a deterministic state machine: commands and steps in, events out.

A run is a function of (config, text, seed, thread count, version, journal). What is computed is the
learner's; a session adds the memory: every command is durable before it takes effect, and a process
that died is taken up where it was by following the journal again. A session knows no thread and no
socket; whoever drives it calls it from one thread.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from bitlm.data import Corpus, Text
from bitlm.errors import GridOverflowError, HaltedError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.session.alerts import Interruption, halt, require_finite, respond
from bitlm.session.choices import settled, tell_choices
from bitlm.session.commands import AlertAction, Command, GrowthRule, SampleSchedule, TelemetrySettings
from bitlm.session.config import RunConfig
from bitlm.session.drift_monitor import DriftMonitor
from bitlm.session.durability import Reached, unobserved
from bitlm.session.entries import changes_course, entry_of, request_of
from bitlm.session.events import Event, EventKind, Source, StepEvent
from bitlm.session.learner import Learner, MakeLearner
from bitlm.session.observation import Observer
from bitlm.session.plan import Plan, payload_from
from bitlm.session.policy import DEFAULT_POLICY, CheckpointPolicy, new_run_id
from bitlm.session.recorder import Recorder
from bitlm.session.records import Origin
from bitlm.session.recovery import Progress, load_state, recompute
from bitlm.session.reference_file import fit_reference, read_reference, write_reference
from bitlm.session.run_lock import RunLock
from bitlm.session.saving import Saving
from bitlm.session.store import RunStore
from bitlm.training import Annealing, TrainingConfig, held_out_bits_per_byte
from bitlm.version import VERSION


class Session:
    """One run. Make it with `create` or `open`.

    Attributes:
        config: What the run is a function of.
        corpus: Its text.
        elapsed_s: Seconds spent stepping.
        halted: Why the run stopped itself, or None.
        interruption: What the alert of the last step asks of whoever drives the run, or None.
        last_step: What the newest step of this process measured.
        is_sound: Whether the model can be computed: not after a halt in looking at what an update led to.
        is_recovering: Whether entries of the journal wait to be followed again: a checkpoint made meanwhile
            would be younger than they are, and so pass for one that has them.
    """

    def __init__(
        self, store: RunStore, run_id: str, learner: Learner,
        *, clock: Callable[[], float], lock: RunLock | None, policy: CheckpointPolicy, reached: Reached,
        origin: Origin | None = None,
    ) -> None:  # fmt: skip
        self.store, self.run_id = store, run_id
        self.config, self.corpus = learner.config, learner.corpus
        self.elapsed_s = 0.0
        self.halted: str | None = None
        self.interruption: Interruption | None = None
        self.last_step: StepEvent | None = None
        self._learner = learner
        self._saving = Saving(
            store, run_id, interval_steps=self.config.training.checkpoint_interval,
            policy=policy, clock=clock, reached=reached,
        )  # fmt: skip
        self._plan = Plan(store, run_id, origin.until if origin else None)
        self._observer = Observer(learner, clock)
        self._drift = DriftMonitor()
        self._recorder = Recorder(store, run_id, clock)
        self._clock, self._lock = clock, lock
        self.is_recovering, self.is_sound = False, True

    @classmethod
    def create(
        cls, store: RunStore, *, model: ModelConfig, training: TrainingConfig, corpus: Corpus,
        seed: int = 0, threads: int = 1, clock: Callable[[], float] = time.time,
        policy: CheckpointPolicy = DEFAULT_POLICY, source: Source = "session", make: MakeLearner = Learner,
        asked: dict[str, Any] | None = None, reached: Reached = unobserved,
    ) -> "Session":  # fmt: skip
        """Make a new run in the store, with its text, its reference model and a checkpoint of step 0.

        `asked` is what to remember of the request, such as its idempotency key; `make` makes the learner.

        Raises:
            ConfigError: A setting is wrong.
            CorpusError: The text is too short for the model's window.
        """
        corpus.require_window(model.window_bytes)
        training, autocast = settled(model, training)
        corpus = store.texts.keep(corpus)
        config = RunConfig(
            model=model, training=training, corpus=corpus.name,
            corpus_fingerprint=corpus.fingerprint, seed=seed, threads=threads, version=VERSION,
        )  # fmt: skip
        run_id = new_run_id(created_at := clock())
        lock = RunLock(store.run_dir(run_id))
        write_reference(store.run_dir(run_id), reference := fit_reference(corpus, config))
        learner = make(config, corpus, reference)
        session = cls(store, run_id, learner, clock=clock, lock=lock, policy=policy, reached=reached)
        store.add_run(
            run_id, created_at=created_at, parameters=session.model.parameter_count,
            config=config, source=source, payload={**corpus.remarks, **(asked or {})},
        )  # fmt: skip
        tell_choices(session, autocast, learner.choose_memory())
        session.checkpoint()
        return session

    @classmethod
    def open(
        cls, store: RunStore, run_id: str, *, clock: Callable[[], float] = time.time, writable: bool = True,
        policy: CheckpointPolicy = DEFAULT_POLICY, progress: Progress = unobserved,
        reached: Reached = unobserved, step: int | None = None, make: MakeLearner = Learner,
    ) -> "Session":  # fmt: skip
        """Take up a run where it was: its newest good checkpoint, and its journal from there.

        Steps that were done after that checkpoint are computed again, bit for bit. With
        `writable=False` the run is only read, at the checkpoint: nothing is recomputed or recorded.

        `progress` is told the step reached and the step aimed at; `step`, for reading, is the checkpoint
        to look at instead of the newest; `reached` and `make` are as for `create`.

        Raises:
            RunNotFoundError: There is no such run.
            RunBusyError: It is to be written, and another process is writing it.
            CheckpointError: A branch has no checkpoint that is whole, or none of that `step`.
            CorpusError: Its text is missing or was changed.
        """
        assert step is None or not writable, "a run's past is read, or branched off; never rewritten"
        config = (record := store.run(run_id)).config
        lock = RunLock(store.run_dir(run_id)) if writable else None
        try:
            corpus = Corpus(config.corpus, store.data(config.corpus_fingerprint))
            reference = read_reference(store.run_dir(run_id), corpus, config)
            learner = make(config, corpus, reference)
            start = load_state(store, run_id, learner, writable=writable, step=step)
            session = cls(
                store, run_id, learner,
                clock=clock, lock=lock, policy=policy, reached=reached, origin=record.origin,
            )  # fmt: skip
            session.elapsed_s = start.elapsed_s
            session._observer.plateau.remember(store.values(run_id, "validation_bits_per_byte"))
            session._saving.step = start.step if start.event_id else None
            if writable:
                recompute(session, learner, start, progress)
                session._follow_plan()
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        session._drift.expect_change(session.step_count)
        return session

    def close(self) -> None:
        """Let others write the run; what was learned since the last checkpoint is computed again later."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            try:
                self._recorder.write_announced()
                self.store.flush()
            finally:
                lock.release()

    def __iter__(self) -> Iterator[StepEvent]:
        """Step until the run halts."""
        while self.halted is None:
            yield self.step()

    @property
    def model(self) -> BitTransformer:
        """The live model, as the last update left it; its `reference` is what S compares with."""
        return self._learner.model

    @property
    def telemetry(self) -> TelemetrySettings:
        """λ and floors in force from the next step on."""
        return self._learner.telemetry

    @property
    def plan_ends_at(self) -> int | None:
        """The step up to which a twin repeats its original; None for other runs."""
        return self._plan.ends_at

    @property
    def can_be_saved(self) -> bool:
        """Whether a checkpoint made now could be gone on from."""
        return self.is_sound and not self.is_recovering

    @property
    def is_repeating(self) -> bool:
        """Whether the next step is one that was done before, here or by a twin's original."""
        return self.is_recovering or self.step_count <= (self.plan_ends_at or -1)

    @property
    def alert_action(self) -> AlertAction:
        """What an alert leads to."""
        return self._learner.alert_action

    @property
    def sample_schedule(self) -> SampleSchedule | None:
        """What is drawn along training, or None."""
        return self._learner.sample_schedule

    @property
    def growth_rule(self) -> GrowthRule | None:
        """When the run is to go on as a larger one; None for never."""
        return self._learner.growth_rule

    @property
    def learning_rate(self) -> float:
        """AdamW's, as the next update uses it."""
        return self._learner.rate_factor() * self.config.training.learning_rate

    @property
    def step_count(self) -> int:
        """Updates done."""
        return self._learner.step_count

    @property
    def bytes_seen(self) -> int:
        """Bytes trained on."""
        return self._learner.bytes_seen

    @property
    def annealing(self) -> Annealing | None:
        """How the learning rate falls, or has fallen, for a good end; None if it does not."""
        return self._learner.annealing

    # Commands

    def apply(self, command: Command, *, source: Source) -> Event:
        """Make `command` take effect from the next step on; it is durable when this returns.

        Raises:
            ConfigError: The command asks for something this version cannot do; nothing changes.
            StorageFullError: It could not be recorded; nothing changes.
        """
        return self.enter(*entry_of(command, self), source=source)

    def request_steps(
        self, steps: int, data: bytes | None = None, *, source: Source, asked: dict[str, Any] | None = None
    ) -> Event:
        """Enter in the journal that the next `steps` steps are asked for; `step` then does them.

        Args:
            steps: How many, at least 1.
            data: Text to train on instead of the corpus, at least one byte; kept by its hash.
            source: Who asks.
            asked: What to remember of the request, such as its idempotency key.

        Raises:
            ConfigError: `data` is empty.
        """
        return self.enter("steps_requested", request_of(self.store, steps, data, asked), source=source)

    def end_request(self, reason: str) -> None:
        """End the steps last requested here if they are not done; the journal has it before the next step."""
        if (request := self._learner.request) is not None and self._learner.has_request:
            self.decide("steps_ended", {**request.progress(self.step_count), "reason": reason})

    def enter(
        self, kind: EventKind, payload: dict[str, Any], *, source: Source, plan_id: int | None = None
    ) -> Event:
        """Make an entry of the journal durable, and only then let it take effect."""
        event = self.record(kind, payload, source=source, plan_id=plan_id)
        self._follow(kind, payload)
        return event

    def decide(self, kind: EventKind, payload: dict[str, Any]) -> None:
        """Make an entry of the journal of the run's own; it is durable before the next step, its first."""
        self.announce(kind, payload)
        self._follow(kind, payload)

    def _follow(self, kind: EventKind, payload: dict[str, Any]) -> None:
        self._learner.follow(kind, payload, self.store.data)
        if changes_course(kind, payload):
            self._drift.expect_change(self.step_count)

    def record(
        self, kind: EventKind, payload: dict[str, Any],
        *, source: Source = "session", plan_id: int | None = None,
    ) -> Event:  # fmt: skip
        """Keep an event at this step; it is on the disk when this returns."""
        return self._recorder.record(self.step_count, kind, payload, source, plan_id)

    def announce(self, kind: EventKind, payload: dict[str, Any]) -> None:
        """Keep an event of the run's own as soon as the disk takes it: at the latest before the next step."""
        self._recorder.announce(self.step_count, kind, payload)

    # Steps

    def step(
        self, data: bytes | None = None, *, probe_now: bool = False, source: Source = "session"
    ) -> StepEvent:
        """Do one update, on the corpus or on `data`, and return what it measured.

        Args:
            data: Text to train on instead, for `request_steps(1, data)`.
            probe_now: Measure C and S now even if their turn has not come.
            source: Who handed over `data`.

        Raises:
            HaltedError: The run has stopped itself, now (the loss is not finite) or earlier.
            StorageFullError: What there was to write did not fit. If that is so after the step was done,
                `last_step` has it, and the next call writes what is missing first.
        """
        if self.halted is not None:
            raise HaltedError(self.halted)
        self.interruption = None
        self.settle()
        self._follow_plan()
        if data is not None:
            self.request_steps(1, data, source=source)
        began, good = self._clock(), self.step_count
        try:
            update = self._learner.update()
            require_finite(self, update.result)
            took = self._clock() - began
            seen = self._observer.observe(self.step_count, update.result, update_s=took, probe_now=probe_now)
        except GridOverflowError as error:
            halt(self, str(error), good)
        observed = self._clock()
        self.elapsed_s += observed - began
        event = StepEvent(
            step=self.step_count, at=observed, elapsed_s=self.elapsed_s,
            bytes_per_s=update.batch_bytes / max(took, 1e-9), **update.measured, **seen.figures,
        )  # fmt: skip
        self.last_step = event
        self._note(event)
        for kind, payload in seen.notes:
            self.announce(kind, payload)
        self.store.add_metrics(self.run_id, event, seen.sample)
        self._observer.note_recording(self._clock() - observed)
        self.settle()
        return event

    def _follow_plan(self) -> None:
        """Give the run the commands that are planned for this step."""
        for entry in self._plan.due(self.step_count):
            payload = payload_from(entry, self.telemetry)
            self.enter(entry.kind, payload, source=entry.source, plan_id=entry.plan_id)

    def _note(self, event: StepEvent) -> None:
        """Take in what a step led to, without writing yet."""
        if (alert := self._drift.observe(event)) is not None:
            respond(self, alert)
        request, annealing = self._learner.request, self.annealing
        if request is not None and request.text is not None and request.until == self.step_count:
            self._drift.expect_change(self.step_count)  # from here on it is the corpus again
        if annealing is not None and self.step_count == annealing.end_step:
            self.announce("anneal_finished", {"learning_rate": event.learning_rate})
        self._saving.note_step(self.step_count)

    def settle(self) -> None:
        """Write what the run has to say for itself, and the checkpoint that is due.

        Raises:
            StorageFullError: It did not fit; it is kept for the next try.
        """
        self._recorder.write_announced()
        if self._saving.is_due and self.can_be_saved:
            self.checkpoint()

    def evaluate(self, data: Text | None = None, *, adaptive: bool = False) -> float:
        """Return `held_out_bits_per_byte` of the whole held-out part, or of `data`."""
        text = self.corpus.held_out if data is None else data
        return held_out_bits_per_byte(self.model, text, adaptive=adaptive)

    def checkpoint(self, name: str | None = None, *, source: Source = "session") -> Event:
        """Write weights, optimizer and state to the disk, then record it; drop what is not to be kept.

        Args:
            name: What to call it; a named one is kept until it is deleted.
            source: Who asks.

        Raises:
            StorageFullError: It did not fit; the ones before are as they were.
            HaltedError: The run could not be computed up to where it was.
        """
        if not self.can_be_saved:
            raise HaltedError(self.halted or "the run is being computed up to where it was.")
        self._recorder.write_announced()
        snapshot = self._learner.to_save()
        snapshot.state["elapsed_s"] = self.elapsed_s
        last = self.last_step
        measured = last.validation_bits_per_byte if last and last.step == self.step_count else None
        return self._saving.save(snapshot, name=name, validation=measured, source=source)

    def save(self) -> None:
        """Write a checkpoint, unless this step has one.

        Raises:
            StorageFullError: It did not fit; it is due, and `settle` tries again.
        """
        if self._saving.step != self.step_count and self.can_be_saved:
            self._saving.is_due = True
            self.checkpoint()
