"""The run that the service holds, the state it is in, and what everyone is told of it."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from app.service.answers import CorpusSummary, Resuming, State, Status, flat
from app.service.disk import DiskReport
from app.service.errors import NoRunError
from app.service.folder_status import corpus_of, progress_of, settings_of
from bitlm.errors import HaltedError
from bitlm.session import RunRecord, RunStore, Session, StepEvent


class Live:
    """Written by the worker alone, names aside; everyone reads `status`, which is replaced and never changed.

    Attributes:
        session: The live run, or None before the first.
        state: What the service is doing.
        error: Why it is halted or failed, or cannot go on, else None.
        until: The step at which training pauses by itself.
        disk: The room on the disk when it was last looked at.
        resuming: How far taking up a run has come.
    """

    def __init__(self, store: RunStore, *, on_change: Callable[[], None]) -> None:
        self.session: Session | None = None
        self.state: State = "initializing"
        self.error: str | None = None
        self._store = store
        self.until: int | None = None
        self.disk: DiskReport | None = None
        self.resuming: Resuming | None = None
        self._on_change = on_change
        self._started_at = time.time()
        self._lock = Lock()
        self._status = self._blank()

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
        self.resuming, self.until = None, session.plan_ends_at
        self._status = self._blank(
            run_id=session.run_id,
            step=session.step_count,
            bytes_seen=session.bytes_seen,
            elapsed_s=session.elapsed_s,
            telemetry=session.telemetry,
            alert_action=session.alert_action,
            sample_schedule=session.sample_schedule,
            growth_rule=session.growth_rule,
            annealed_at=_annealed_at(session),
            samples_cursor=self._store.samples.last_step(session.run_id),
            metrics_cursor=session.step_count,
            events_cursor=self._store.last_event_id(session.run_id),
            parameters=session.model.parameter_count,
            name=record.name if record else None,
            config=flat(session.config),
            corpus=CorpusSummary.of(session.corpus),
            baselines=self._store.baselines(session.config.baselines_key),
            bits_per_byte=record.bits_per_byte if record else None,
            validation_bits_per_byte=record.validation_bits_per_byte if record else None,
        )

    def expect(self, record: RunRecord) -> None:
        """Tell everyone which run is about to be taken up, so that who watches it keeps what it shows."""
        last = self._store.metrics_of_step(record.run_id, record.last_step) or {}
        told = progress_of(self._store, record, last)
        self.until = told["until"]
        corpus = corpus_of(self._store, record.config)
        self._status = self._blank(corpus=corpus, **told, **settings_of(self._store, record.run_id))
        self.publish()

    def note_step(self, event: StepEvent) -> None:
        """Take in what a step measured, to be told with the next publication."""
        update: dict[str, Any] = {"bits_per_byte": event.bits_per_byte, "bytes_per_s": event.bytes_per_s}
        if event.validation_bits_per_byte is not None:
            update["validation_bits_per_byte"] = event.validation_bits_per_byte
        self._replace(update)

    def note_baselines(self, bits_per_byte: dict[str, float]) -> None:
        """Take in the baselines of the run's text, to be told with the next publication."""
        self._replace({"baselines": bits_per_byte})

    def publish(self) -> None:
        """Tell everyone what is true now."""
        update: dict[str, Any] = {
            "state": self.state,
            "error": self.error,
            "until": self.until,
            "disk": self.disk,
            "resuming": self.resuming,
        }
        if self.session is not None:
            update |= {
                "step": self.session.step_count,
                "bytes_seen": self.session.bytes_seen,
                "elapsed_s": self.session.elapsed_s,
                "telemetry": self.session.telemetry,
                "alert_action": self.session.alert_action,
                "sample_schedule": self.session.sample_schedule,
                "growth_rule": self.session.growth_rule,
                "annealed_at": _annealed_at(self.session),
                "samples_cursor": self._store.samples.last_step(self.session.run_id),
                "metrics_cursor": self.session.step_count,
                "events_cursor": self._store.last_event_id(self.session.run_id),
            }
        self._replace(update)
        self._on_change()

    def _replace(self, update: dict[str, Any]) -> None:
        with self._lock:
            self._status = self._status.model_copy(update=update)

    def note_name(self, name: str | None) -> None:
        """Take in what the run is called now, and tell everyone; any thread may."""
        self._replace({"name": name})
        self._on_change()

    def save(self) -> None:
        """Write a checkpoint unless this step has one."""
        if self.session is not None:
            self.session.save()

    def release(self) -> None:
        """Let others write the run; what it has learned since `save` is not kept."""
        if self.session is not None:
            self.session.close()

    def forget(self) -> None:
        """Hold no run any more."""
        self.release()
        self.session, self.state, self.error, self.until = None, "empty", None, None
        self._status = self._blank(disk=self.disk)

    def _blank(self, **known: Any) -> Status:
        return Status(state=self.state, service_started_at=self._started_at, **known)


def _annealed_at(session: Session) -> int | None:
    return session.annealing.end_step if session.annealing else None
