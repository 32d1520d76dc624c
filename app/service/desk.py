"""What each request leads to: runs made, opened, branched off and let go, settings changed, texts drawn."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import structlog
from pydantic import ValidationError

from app.service.answers import InferAnswer, RunCreated, State, flat
from app.service.comparison import Comparison
from app.service.errors import ServiceStoppingError, StateConflictError
from app.service.inference import Inference
from app.service.live import Live
from app.service.opening import Opening
from app.service.requests import (
    Apply,
    Control,
    DeleteCheckpoint,
    DeleteRun,
    Fork,
    InferStream,
    InferWhole,
    Init,
    LiveText,
    Open,
    ReadText,
    RecordBaselines,
    Request,
    RollBack,
    SaveCheckpoint,
    Ticket,
    TrainStep,
    TrashRun,
    Twin,
)
from app.service.stepping import Stepping
from app.service.streaming import Streams
from bitlm.errors import BitLMError, RunBusyError, StorageFullError
from bitlm.history.branching import delete_checkpoint
from bitlm.session import RunRecord, RunStore, Session, TelemetrySettings
from bitlm.session.events import Source
from bitlm.session.growing import reason, stop_growing
from bitlm.session.run_lock import RunLock
from bitlm.session.steering import save_by_hand, steer

Submit = Callable[[Request[Any], Source], object]
"""Has a request performed in its turn."""


class Desk:
    """Performs requests on the live run, each before the next; only the worker's thread calls it."""

    def __init__(
        self,
        store: RunStore,
        live: Live,
        *,
        opening: Opening,
        stepping: Stepping,
        streams: Streams,
        submit: Submit,
    ) -> None:
        self._store = store
        self._live = live
        self._opening = opening
        self._stepping = stepping
        self._streams = streams
        self._submit = submit
        self._comparison = Comparison(done=self._compared)
        self._log = structlog.get_logger("bitlm.desk")

    def close(self) -> None:
        """Wait briefly for a comparison under way."""
        self._comparison.join()

    def perform(self, ticket: Ticket) -> object:
        """Do what is asked and return the answer.

        Raises:
            Exception: Whatever is wrong with it; it belongs to whoever asked.
        """
        answers: dict[type[Request[Any]], Callable[[Any, Source], object]] = {
            Init: self._init,
            Open: self._open,
            Fork: self._fork,
            Twin: self._twin,
            RollBack: self._roll_back,
            SaveCheckpoint: self._save_checkpoint,
            DeleteCheckpoint: self._delete_checkpoint,
            TrashRun: self._trash_run,
            DeleteRun: self._delete_run,
            InferWhole: self._infer,
            InferStream: self._streams.begin,
            ReadText: self._read_text,
            Apply: self._apply,
            Control: self._control,
            RecordBaselines: self._record_baselines,
            TrainStep: lambda request, _: self._accept_steps(ticket, request),
        }
        return answers[type(ticket.request)](ticket.request, ticket.source)

    def _accept_steps(self, ticket: Ticket, request: TrainStep) -> None:
        before = self._opening.asked_before("steps_requested", request.key)
        self._stepping.accept(ticket, request, before)

    def reopen_last(self) -> None:
        """Take up the run that something last happened to."""
        try:
            record = self._store.last_active_run()
            if record is not None:
                self._live.expect(record)
                began = time.monotonic()
                self._adopt(self._opening.take_up(record.run_id), "paused")
                seconds = round(time.monotonic() - began, 1)
                self._log.info("run_taken_up", run_id=record.run_id, step=record.last_step, seconds=seconds)
            else:
                self._live.state = "empty"
        except ServiceStoppingError:
            return
        except (BitLMError, ValidationError, OSError, sqlite3.Error) as error:
            if isinstance(error, RunBusyError):  # which is nobody's mistake
                self._log.warning("reopening_refused", reason=str(error))
            else:
                self._log.exception("reopening_failed")
            self._live.forget()
            self._live.state = "failed"
            self._live.error = f"the last run could not be opened again: {error} POST /init makes a new one."
        self._live.resuming = None
        self._live.publish()

    # Runs

    def _init(self, request: Init, source: Source) -> RunCreated:
        before = self._opening.asked_before("run_created", request.key)
        if before:
            record = self._store.run(before[0].run_id)
            return _created(record)
        return self._switch("POST /init", lambda: self._opening.create(request, source), "ready")

    def _fork(self, request: Fork, source: Source) -> RunCreated:
        return self._switch("a fork", lambda: self._opening.fork(request, source), "ready")

    def _twin(self, request: Twin, source: Source) -> RunCreated:
        created = self._switch("a twin", lambda: self._opening.twin(request, source), "paused")
        if self._live.require().step_count < (self._live.until or 0):
            self._stepping.start(source)
        return created

    def _roll_back(self, request: RollBack, source: Source) -> RunCreated:
        return self._switch("a rollback", lambda: self._opening.roll_back(request, source), "ready")

    def roll_back_if_due(self) -> None:
        """Do what an alert led to: the branch takes the run's place, and trains on where that did."""
        due, self._stepping.rollback = self._stepping.rollback, None
        if due is None:
            return
        try:
            self._roll_back(RollBack(self._live.require().run_id, due.since), "session")
            if due.trains_on:
                self._stepping.start("session")
        except (BitLMError, OSError, sqlite3.Error) as error:
            self._log.exception("rollback_failed")
            self._live.error = f"an alert led to a rollback, which failed: {error}"
        self._live.publish()

    def grow_if_due(self) -> None:
        """Go on in a branch whose model is larger; where there can be none, in the run itself.

        On a full disk it is tried again with the next estimate; any other reason is told, and will not pass.
        """
        growth, self._stepping.growth = self._stepping.growth, None
        if growth is None:
            return
        session, self._live.state = self._live.require(), "paused"
        session.announce("training_paused", {"reason": reason(growth)})
        larger = Fork(session.run_id, growth=growth)
        try:
            self._switch("growing", lambda: self._opening.fork(larger, "session"), "ready")
        except (BitLMError, OSError, sqlite3.Error) as error:
            self._log.exception("growth_failed", growth=growth)
            if not isinstance(error, StorageFullError):
                stop_growing(session, str(error))
        self._live.require().announce("training_started", {})
        self._live.state = "training"
        self._live.publish()

    def _open(self, request: Open, source: Source) -> None:
        session = self._live.session
        if session is not None and session.run_id == request.run_id:
            return
        if self._store.run(request.run_id).trashed_at is not None:
            raise StateConflictError(f"run {request.run_id!r} is in the trash; restore it first.")
        self._switch("opening a run", lambda: self._opening.take_up(request.run_id), "paused")
        self._log.info("run_opened", run_id=request.run_id, source=source)

    def _switch(self, what: str, make: Callable[[], Session], state: State) -> RunCreated:
        """Let go of the live run, safely saved, and take another live; if that fails, the first stays."""
        self._stepping.refuse_while_training(what)
        self._live.save()
        before = self._live.state
        self._live.state = "initializing"
        self._live.publish()
        try:
            session = make()
        except BaseException:
            self._live.state, self._live.resuming = before, None
            self._live.publish()
            raise
        self._stepping.waits_for_disk = False
        self._adopt(session, state)
        self._log.info("run_live", run_id=session.run_id)
        return _created(self._store.run(session.run_id), step=session.step_count)

    def _save_checkpoint(self, request: SaveCheckpoint, source: Source) -> int:
        self._store.run(request.run_id)
        session = self._live.require()
        if session.run_id != request.run_id:
            raise StateConflictError(
                f"run {request.run_id!r} is not live, so there is nothing new to save; open it first."
            )
        save_by_hand(session, request.name, source=source)
        return session.step_count

    def _delete_checkpoint(self, request: DeleteCheckpoint, source: Source) -> None:
        delete_checkpoint(self._store, request.run_id, request.step, source=source)

    def _trash_run(self, request: TrashRun, source: Source) -> None:
        self._let_go(request.run_id, saved=True)
        self._store.trash_run(request.run_id, time.time())
        self._log.info("run_trashed", run_id=request.run_id, source=source)

    def _let_go(self, run_id: str, *, saved: bool) -> None:
        """Leave a run that is to go, if it is the live one; one that is not there is an error."""
        self._store.run(run_id)
        session = self._live.session
        if session is not None and session.run_id == run_id:
            self._stepping.refuse_while_training("deleting the live run")
            if saved:
                self._live.save()
            self._live.forget()

    def _delete_run(self, request: DeleteRun, source: Source) -> None:
        self._let_go(request.run_id, saved=False)
        lock = RunLock(self._store.run_dir(request.run_id))
        try:
            self._store.delete_run(request.run_id)
        finally:
            lock.release()
        self._log.info("run_deleted", run_id=request.run_id, source=source)

    def _adopt(self, session: Session, state: State) -> None:
        self._live.adopt(session, state, self._store.run(session.run_id))
        if self._live.status.baselines is None:
            assert session.model.reference is not None, "a session's model always carries its reference"
            self._comparison.start(session.config.baselines_key, session.corpus, session.model.reference)

    def _compared(self, key: str, bits_per_byte: dict[str, float]) -> None:
        self._submit(RecordBaselines(key, bits_per_byte), "session")

    def _record_baselines(self, request: RecordBaselines, source: Source) -> None:
        self._store.set_baselines(request.key, request.bits_per_byte)
        session = self._live.session
        if session is not None and session.config.baselines_key == request.key:
            session.record("baselines_computed", dict(request.bits_per_byte), source=source)
            self._live.note_baselines(request.bits_per_byte)

    def _infer(self, request: InferWhole, source: Source) -> InferAnswer:
        return Inference(self._live.require(), request.infer, source).answer(request.is_abandoned)

    def _read_text(self, request: ReadText, source: Source) -> LiveText:  # noqa: ARG002 - as its like
        session = self._live.require()
        assert session.model.reference is not None, "a session's model always carries its reference"
        return LiveText(session.run_id, session.corpus, session.model.reference)

    # Steering

    def _apply(self, request: Apply, source: Source) -> TelemetrySettings:
        session = self._live.require()
        if request.check is not None:
            request.check()
        steer(session, request.command, source=source)
        return session.telemetry

    def _control(self, request: Control, source: Source) -> None:
        if request.action == "start":
            self._stepping.start(source)
        else:
            self._stepping.stop(request.action, source)


def _created(record: RunRecord, step: int = 0) -> RunCreated:
    return RunCreated(
        run_id=record.run_id, parameters=record.parameters, config=flat(record.config), step=step
    )
