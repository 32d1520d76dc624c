"""The run that the service holds, the state it is in, and what everyone is told of it."""

from collections.abc import Callable
from typing import Any

from app.service.answers import CorpusSummary, State, Status, flat
from app.service.errors import NoRunError
from bitlm.errors import HaltedError
from bitlm.session import RunRecord, RunStore, Session, StepEvent


class Live:
    """Written by the worker alone; everyone else reads `status`, which is replaced and never changed.

    Attributes:
        session: The live run, or None before the first.
        state: What the service is doing.
        error: Why it is halted or failed, else None.
    """

    def __init__(self, store: RunStore, *, on_change: Callable[[], None]) -> None:
        self.session: Session | None = None
        self.state: State = "initializing"
        self.error: str | None = None
        self._store = store
        self._on_change = on_change
        self._saved_step = 0
        self._status = Status(state=self.state)

    @property
    def status(self) -> Status:
        """What was last published."""
        return self._status

    @property
    def is_training(self) -> bool:
        """Whether steps are to be done."""
        return self.state == "training"

    def require(self) -> Session:
        """Return the live run.

        Raises:
            NoRunError: There is none.
        """
        if self.session is None:
            raise NoRunError
        return self.session

    def require_steppable(self) -> Session:
        """Return the live run if it can do a step.

        Raises:
            NoRunError: There is none.
            HaltedError: It has stopped itself.
        """
        session = self.require()
        if session.halted is not None:
            raise HaltedError(session.halted)
        return session

    def adopt(self, session: Session, state: State, record: RunRecord | None = None) -> None:
        """Hold `session` from now on, in that state; `record` is what is known of its past."""
        self.release()
        self.session, self.state, self.error = session, state, None
        self._saved_step = session.step_count
        self._status = Status(
            run_id=session.run_id,
            parameters=session.model.parameter_count,
            config=flat(session.config),
            corpus=CorpusSummary.of(session),
            baselines=self._store.baselines(session.corpus.fingerprint),
            bits_per_byte=record.bits_per_byte if record else None,
            validation_bits_per_byte=record.validation_bits_per_byte if record else None,
        )

    def note_step(self, event: StepEvent) -> None:
        """Take in what a step measured, to be told with the next publication."""
        self._status = self._status.model_copy(
            update={
                "bits_per_byte": event.bits_per_byte,
                "bytes_per_s": event.bytes_per_s,
                "validation_bits_per_byte": event.validation_bits_per_byte
                or self._status.validation_bits_per_byte,
            }
        )

    def note_baselines(self, bits_per_byte: dict[str, float]) -> None:
        """Take in the baselines of the run's text, to be told with the next publication."""
        self._status = self._status.model_copy(update={"baselines": bits_per_byte})

    def publish(self) -> None:
        """Tell everyone what is true now."""
        update: dict[str, Any] = {"state": self.state, "error": self.error}
        if self.session is not None:
            update |= {
                "step": self.session.step_count,
                "bytes_seen": self.session.bytes_seen,
                "elapsed_s": self.session.elapsed_s,
                "telemetry": self.session.telemetry,
                "metrics_cursor": self.session.step_count,
                "events_cursor": self._last_event_id(self.session.run_id),
            }
        self._status = self._status.model_copy(update=update)
        self._on_change()

    def save(self) -> None:
        """Write a checkpoint unless this step has one of ours already."""
        if self.session is not None and self.session.step_count != self._saved_step:
            self.session.checkpoint()
            self._saved_step = self.session.step_count

    def release(self) -> None:
        """Let others write the run; what it has learned since `save` is not kept."""
        if self.session is not None:
            self.session.close()

    def _last_event_id(self, run_id: str) -> int:
        last = self._status.events_cursor
        while events := self._store.events(run_id, since=last):
            last = events[-1].event_id
        return last
