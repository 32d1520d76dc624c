"""The one thread that owns the model: it answers requests, and between them it trains."""

import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from typing import Any

import structlog
from pydantic import ValidationError

from app.service.answers import RunCreated, State, Status, StepAnswer, flat
from app.service.comparison import Comparison
from app.service.errors import ServiceStoppingError, StateConflictError
from app.service.inference import infer
from app.service.live import Live
from app.service.requests import Apply, Control, Infer, Init, RecordBaselines, Request, Ticket, TrainStep
from bitlm.bits import bits_to_bytes
from bitlm.data import Corpus
from bitlm.errors import BitLMError, HaltedError
from bitlm.session import Anneal, RunRecord, RunStore, Session, SetTelemetry, StepEvent, TelemetrySettings
from bitlm.session.events import EventKind, Source

STOPPED_BY: dict[str, tuple[State, EventKind]] = {
    "pause": ("paused", "training_paused"),
    "stop": ("stopped", "training_stopped"),
}
"""State and kind of event of each way to end training."""


@dataclass
class StepGoal:
    """Steps asked for by one request, done one at a time so that others are answered between them.

    Attributes:
        remaining: Steps still to do, at least 1.
        then: The state to go to when they are done.
    """

    ticket: Ticket
    data: bytes | None
    remaining: int
    then: State


class Worker:
    """Runs the session in its own thread; other threads `submit` and read `status`."""

    def __init__(self, store: RunStore, *, torch_threads: int, on_change: Callable[[], None]) -> None:
        self._store = store
        self._torch_threads = torch_threads
        self._live = Live(store, on_change=on_change)
        self._goal: StepGoal | None = None
        self._tickets: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._stopping = Flag()
        self._thread = Thread(target=self._run, name="bitlm-worker")
        self._comparison = Comparison(done=self._compared)
        self._log = structlog.get_logger("bitlm.worker")

    # Called from any thread

    @property
    def status(self) -> Status:
        """What was true when the worker last changed anything; never waits."""
        return self._live.status

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Take up the newest run, then answer requests until stopped."""
        self._thread.start()

    def submit(self, request: Request[Any], source: Source) -> Future[Any]:
        """Queue a request; its answer or error arrives in the future."""
        ticket = Ticket(request, source, Future())
        if self._stopping.is_set():
            ticket.future.set_exception(ServiceStoppingError())
        else:
            self._tickets.put(ticket)
        return ticket.future

    def request_stop(self) -> None:
        """Ask the thread to end after the step at hand, with a checkpoint."""
        self._stopping.set()
        self._tickets.put(None)

    def join(self) -> None:
        """Wait for the thread to end, and briefly for a comparison under way."""
        if self._thread.ident is not None:
            self._thread.join()
        self._comparison.join()
        while not self._tickets.empty():
            self._refuse(self._next_ticket(wait=False))

    # The thread

    def _run(self) -> None:
        self._reopen_newest()
        while not self._stopping.is_set():
            self._answer_waiting()
            if self._live.is_training and not self._stopping.is_set():
                self._train()
        self._end()

    def _answer_waiting(self) -> None:
        """Answer what has been asked so far; when not training, wait for something to be asked."""
        first = self._next_ticket(wait=not self._live.is_training)
        for ticket in [first, *(self._next_ticket(wait=False) for _ in range(self._tickets.qsize()))]:
            if self._stopping.is_set():
                self._refuse(ticket)
            elif ticket is not None:
                self._answer(ticket)

    def _next_ticket(self, *, wait: bool) -> Ticket | None:
        try:
            return self._tickets.get(block=wait)
        except queue.Empty:
            return None

    def _refuse(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            ticket.future.set_exception(ServiceStoppingError())

    def _answer(self, ticket: Ticket) -> None:
        """Do what is asked; everyone is told before the asker is, so that a look afterwards shows it."""
        try:
            answer = self._perform(ticket)
            self._live.publish()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, and the thread must live on
            ticket.future.set_exception(error)
        else:
            if not isinstance(ticket.request, TrainStep):
                ticket.future.set_result(answer)

    def _perform(self, ticket: Ticket) -> object:
        answers: dict[type[Request[Any]], Callable[[Any, Source], object]] = {
            Init: self._init,
            Infer: lambda request, source: infer(self._live.require(), request, source),
            Apply: self._apply,
            Control: self._control,
            RecordBaselines: self._record_baselines,
            TrainStep: lambda request, _: self._accept_goal(ticket, request),
        }
        return answers[type(ticket.request)](ticket.request, ticket.source)

    def _reopen_newest(self) -> None:
        try:
            runs = self._store.runs()
            if runs:
                self._adopt(Session.open(self._store, runs[0].run_id), "paused", runs[0])
            else:
                self._live.state = "empty"
        except (BitLMError, ValidationError, OSError, sqlite3.Error) as error:
            self._log.exception("reopening_failed")
            self._live.state = "failed"
            self._live.error = (
                f"the newest run could not be opened again: {error} POST /init makes a new one."
            )
        self._live.publish()

    def _end(self) -> None:
        """Leave nothing unsaved and nobody waiting."""
        if self._goal is not None:
            self._refuse(self._goal.ticket)
        try:
            if self._live.is_training:
                self._live.require().record("training_paused", {})
                self._live.state = "paused"
            self._live.save()
            self._live.publish()
        except (BitLMError, OSError, sqlite3.Error):
            self._log.exception("last_checkpoint_failed")
        self._live.release()

    # Runs

    def _init(self, request: Init, source: Source) -> RunCreated:
        self._refuse_while_training("POST /init")
        before = self._live.state
        self._live.state = "initializing"
        self._live.publish()
        try:
            session = self._create(request)
            self._live.save()
        except BaseException:
            self._live.state = before
            self._live.publish()
            raise
        self._adopt(session, "ready")
        self._log.info("run_created", run_id=session.run_id, source=source)
        parameters = session.model.parameter_count
        return RunCreated(run_id=session.run_id, parameters=parameters, config=flat(session.config), step=0)

    def _create(self, request: Init) -> Session:
        if request.text is None:
            corpus = Corpus.load(request.corpus)
        else:
            corpus = Corpus("pasted text", request.text.encode())
        return Session.create(
            self._store,
            model=request.model,
            training=request.training,
            corpus=corpus,
            seed=request.seed,
            threads=self._torch_threads,
        )

    def _adopt(self, session: Session, state: State, record: RunRecord | None = None) -> None:
        self._live.adopt(session, state, record)
        if self._live.status.baselines is None:
            assert session.model.reference is not None, "a session's model always carries its reference"
            self._comparison.start(session.corpus, session.model.reference)

    def _compared(self, fingerprint: str, bits_per_byte: dict[str, float]) -> None:
        self.submit(RecordBaselines(fingerprint, bits_per_byte), "session")

    def _record_baselines(self, request: RecordBaselines, source: Source) -> None:
        self._store.set_baselines(request.fingerprint, request.bits_per_byte)
        session = self._live.session
        if session is not None and session.corpus.fingerprint == request.fingerprint:
            session.record("baselines_computed", dict(request.bits_per_byte), source=source)
            self._live.note_baselines(request.bits_per_byte)

    # Steering

    def _apply(self, request: Apply, source: Source) -> TelemetrySettings:
        command = request.command
        session = self._live.require_steppable() if isinstance(command, Anneal) else self._live.require()
        changes_nothing = (
            isinstance(command, SetTelemetry) and command.changed(session.telemetry) == session.telemetry
        )
        if not changes_nothing:
            session.apply(command, source=source)
        return session.telemetry

    def _control(self, request: Control, source: Source) -> None:
        if request.action == "start":
            self._start_training(source)
        else:
            self._stop_training(request.action, source)

    def _start_training(self, source: Source) -> None:
        session = self._live.require_steppable()
        if self._live.is_training and (self._goal is None or self._goal.then == "training"):
            return
        session.record("training_started", {}, source=source)
        if self._goal is not None:
            self._goal.then = "training"
        self._live.state, self._live.error = "training", None

    def _stop_training(self, action: str, source: Source) -> None:
        """Pause or stop; steps asked for by a request end with the one that comes next."""
        session = self._live.require()
        state, kind = STOPPED_BY[action]
        if self._live.state in {state, "halted", "failed"}:
            return
        session.record(kind, {}, source=source)
        if self._goal is not None:
            self._goal.then, self._goal.remaining = state, 1
        else:
            self._live.state = state
            self._live.save()

    # Steps

    def _accept_goal(self, ticket: Ticket, request: TrainStep) -> None:
        session = self._live.require_steppable()
        self._refuse_while_training("POST /train-step")
        data = request.text.encode() if request.text is not None else None
        if request.bits is not None:
            data = bits_to_bytes(request.bits, parity=session.config.model.parity)
        self._goal = StepGoal(ticket, data, request.steps, self._live.state)
        self._live.state, self._live.error = "training", None

    def _refuse_while_training(self, what: str) -> None:
        if self._live.is_training:
            raise StateConflictError(f"{what} has to wait: training is under way; POST /train/pause first.")

    def _train(self) -> None:
        session, goal = self._live.require(), self._goal
        try:
            if goal is None:
                event = session.step()
            else:
                event = session.step(goal.data, probe=goal.remaining == 1, source=goal.ticket.source)
            self._finish_step(session, event)
        except HaltedError as error:
            self._fail("halted", error)
        except Exception as error:  # noqa: BLE001 - logged and told to everyone; the thread must live on
            self._fail("failed", error)

    def _finish_step(self, session: Session, event: StepEvent) -> None:
        """Publish a step, and answer the request that it completes."""
        self._live.note_step(event)
        goal = self._goal
        if goal is not None:
            goal.remaining -= 1
        if goal is None or goal.remaining:
            self._live.publish()
            return
        self._goal, self._live.state = None, goal.then
        try:
            self._live.publish()
        finally:
            goal.ticket.future.set_result(StepAnswer.of(session.run_id, event))

    def _fail(self, state: State, error: Exception) -> None:
        """End training for a reason that everyone can read; the service goes on."""
        self._log.error("training_ended", state=state, exc_info=error)
        goal, self._goal = self._goal, None
        is_ours = isinstance(error, BitLMError)
        self._live.state = state
        self._live.error = (
            str(error) if is_ours else f"an unexpected {type(error).__name__}; the log has the details."
        )
        try:
            if state == "failed":
                self._live.require().record("failed", {"detail": self._live.error})
            self._live.publish()
        except (OSError, sqlite3.Error):
            self._log.exception("failure_not_recorded")
        finally:
            if goal is not None:
                goal.ticket.future.set_exception(error)
