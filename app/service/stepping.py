"""Doing steps: until told otherwise, so many for a request, and not while the disk is full."""

import sqlite3
import time
from dataclasses import dataclass

import structlog

from app.service.answers import State, StepAnswer
from app.service.disk import DiskGuard, DiskReport
from app.service.errors import ServiceStoppingError, StateConflictError
from app.service.live import Live
from app.service.requests import Ticket, TrainStep
from bitlm.bits import bits_to_bytes
from bitlm.errors import BitLMError, HaltedError, StorageFullError
from bitlm.growth import Growth
from bitlm.session import Event, RunStore, Session, StepEvent
from bitlm.session.events import EventKind, Source
from bitlm.session.growing import growth_due

STOPPED_BY: dict[str, tuple[State, EventKind]] = {
    "pause": ("paused", "training_paused"),
    "stop": ("stopped", "training_stopped"),
}
"""State and kind of event of each way to end training."""

DISK_INTERVAL_S = 1.0
"""Time between two looks at the room on the disk."""


@dataclass
class StepGoal:
    """Steps asked for by one request, done one at a time so that others are answered between them.

    Attributes:
        event_id: Of the request's entry in the journal.
        remaining: Steps still to do, at least 1.
        then: The state to go to when they are done.
    """

    ticket: Ticket
    event_id: int
    remaining: int
    then: State


@dataclass(frozen=True)
class RollbackDue:
    """An alert led to going back.

    Attributes:
        since: The last step that was well.
        trains_on: Whether training goes on from there; not where a request had asked for so many steps.
    """

    since: int
    trains_on: bool


class Stepping:
    """Drives the live session; only the worker's thread calls it.

    Attributes:
        rollback: What the last step's alert led to, if it was that; whoever does it takes it away.
        growth: Which way the model is to become larger after the last step, if it is; likewise.
        goal: The request that steps are being done for, if it is one.
        waits_for_disk: Whether training goes on by itself once there is room.
    """

    def __init__(self, live: Live, store: RunStore, guard: DiskGuard) -> None:
        self.goal: StepGoal | None = None
        self.rollback: RollbackDue | None = None
        self.growth: Growth | None = None
        self.waits_for_disk = False
        self._live = live
        self._store = store
        self._guard = guard
        self._looked_at = -DISK_INTERVAL_S
        self._state_then: State = "paused"
        self._log = structlog.get_logger("bitlm.stepping")

    # Starting and stopping

    def refuse_while_training(self, what: str) -> None:
        """Check that the model is nobody's at the moment.

        Raises:
            StateConflictError: It is being trained.
        """
        if self._live.is_training or self.goal is not None:
            raise StateConflictError(f"{what} has to wait: training is under way; POST /train/pause first.")

    def start(self, source: Source) -> None:
        """Train until told otherwise."""
        session = self._live.require_steppable()
        if self._live.is_training and (self.goal is None or self.goal.then == "training"):
            return
        if self._live.until is not None and session.step_count >= self._live.until:
            self._live.until = None  # the twin has caught up; from here on it is a run of its own
        session.record("training_started", {}, source=source)
        if self.goal is not None:
            self.goal.then = "training"
        self._live.state, self._live.error = "training", None

    def stop(self, action: str, source: Source) -> None:
        """Pause or stop; steps asked for by a request end with the one that comes next."""
        session = self._live.require()
        state, kind = STOPPED_BY[action]
        if self._live.state in {state, "halted", "failed"} and not self.waits_for_disk:
            return
        session.record(kind, {}, source=source)
        self.waits_for_disk = False
        if self.goal is not None:
            self.goal.then, self.goal.remaining, self._live.state = state, 1, "training"
        else:
            self._live.state, self._live.error = state, None
            self._live.save()

    def accept(self, ticket: Ticket, request: TrainStep, before: list[Event]) -> None:
        """Take on the steps of a request; `before` are its own earlier tries.

        A try that was answered is answered again, one that was cut off is finished.
        """
        session = self._live.require_steppable()
        remaining = request.steps
        for event in before:
            self._check_same_run(session, event)
            done = self._steps_done(event)
            if done is None:
                self._answer_again(ticket, session, event)
                return
            remaining -= done
        self.refuse_while_training("POST /train-step")
        if self.waits_for_disk:
            raise StorageFullError
        data = request.text.encode() if request.text is not None else None
        if request.bits is not None:
            data = bits_to_bytes(request.bits, parity=session.config.model.parity)
        asked = request.key.remembered() if request.key else None
        entry = session.request_steps(remaining, data, source=ticket.source, asked=asked)
        self.goal = StepGoal(ticket, entry.event_id, remaining, self._live.state)
        self._live.state, self._live.error = "training", None

    def _check_same_run(self, session: Session, event: Event) -> None:
        if event.run_id != session.run_id:
            raise StateConflictError(
                f"this Idempotency-Key was used for run {event.run_id!r}, which is not the live one; "
                "open it first."
            )
        if self.goal is not None and self.goal.event_id == event.event_id:
            raise StateConflictError("this very request is still under way; ask again when it is done.")

    def _steps_done(self, event: Event) -> int | None:
        """Return how many steps a cut-off try did, or None if the try came to its end."""
        ended = self._store.events(
            event.run_id, since=event.event_id, kinds=("steps_requested", "steps_ended")
        )
        first = ended[0] if ended else None
        if first is None or first.kind != "steps_ended" or first.payload["reason"] != "interrupted":
            return None
        done: int = first.payload["done"]
        return done

    def _answer_again(self, ticket: Ticket, session: Session, event: Event) -> None:
        ended = self._store.events(
            event.run_id, since=event.event_id, kinds=("steps_requested", "steps_ended")
        )
        is_short = bool(ended) and ended[0].kind == "steps_ended"
        steps = ended[0].payload["done"] if is_short else event.payload["steps"]
        self._store.flush()
        row = self._store.metrics_of_step(session.run_id, event.step + steps)
        if row is None:
            raise StateConflictError("the steps of this Idempotency-Key were not done; use a new key.")
        ticket.future.set_result(StepAnswer.of(session.run_id, StepEvent(**row)))

    def abandon(self) -> None:
        """Leave the request at hand undone: whoever asks again with its key has it finished."""
        if self.goal is None:
            return
        goal, self.goal = self.goal, None
        self._live.require().end_request("interrupted")
        try:
            self._live.require().settle()
        finally:
            goal.ticket.future.set_exception(ServiceStoppingError())

    # Steps

    def train(self) -> None:
        """Do one step, or find out why not; the thread lives on whatever happens."""
        if self.goal is None:
            self._train()
        else:
            self.goal.ticket.context.run(self._train)

    def _train(self) -> None:
        session, goal = self._live.require(), self.goal
        before, is_full = session.step_count, False
        try:
            if self._has_room(session):
                session.step(probe_now=goal is not None and goal.remaining == 1)
        except StorageFullError:
            is_full = True
        except HaltedError as error:
            self._note_rollback(session)
            self._fail("halted", error)
            return
        except Exception as error:  # noqa: BLE001 - logged and told to everyone; the thread must live on
            self._fail("failed", error)
            return
        if session.step_count > before:
            is_full |= not self._finish_step(session)
        if is_full:
            self._wait_for_room(session, self._guard.look())

    def _finish_step(self, session: Session) -> bool:
        """Publish a step and answer the request that it completes; return whether all is on the disk."""
        event = session.last_step
        assert event is not None, "a step that was done has been measured"
        self._live.note_step(event)
        self._note_rollback(session)
        is_safe, pause = True, self._reason_to_pause(session)
        if self.goal is not None:
            self.goal.remaining -= 1
            if session.interruption is not None:
                self.goal.then, self.goal.remaining = "paused", 0
            if not self.goal.remaining:
                is_safe = self._finish_goal(session, self.goal, event)
        elif pause is not None:
            self._live.state = "paused"
            session.announce("training_paused", {"reason": pause})
            is_safe = self._settle(session, save=True)
        else:
            is_safe = self._note_growth(session)
        self._live.publish()
        return is_safe

    def _note_rollback(self, session: Session) -> None:
        interruption = session.interruption
        if interruption is not None and interruption.action == "rollback":
            self.rollback = RollbackDue(interruption.since, trains_on=self.goal is None)

    def _note_growth(self, session: Session) -> bool:
        """Find out whether the model is to become larger now; return whether the disk had room."""
        try:
            self.growth = growth_due(session)
        except StorageFullError:
            return False
        return True

    def _reason_to_pause(self, session: Session) -> str | None:
        """Return why training does not simply go on after this step, or None if it does."""
        if session.interruption is not None:
            return session.interruption.reason
        if self._live.until is not None:
            return (
                "the twin has caught up with its original" if session.step_count >= self._live.until else None
            )
        if session.annealing and session.step_count == session.annealing.end_step:
            return "the learning rate has fallen to its end"
        return None

    def _finish_goal(self, session: Session, goal: StepGoal, event: StepEvent) -> bool:
        """Answer a request once what it did is on the disk; return whether it is."""
        session.end_request(goal.then)
        self.goal, self._live.state = None, goal.then
        is_safe = self._settle(session)
        self._live.publish()
        if is_safe:
            goal.ticket.future.set_result(StepAnswer.of(session.run_id, event))
        else:
            goal.ticket.future.set_exception(StorageFullError())
        return is_safe

    def _settle(self, session: Session, *, save: bool = False) -> bool:
        """Bring what there is to the disk, with a checkpoint if asked for; return whether it fitted."""
        try:
            session.settle()
            if save:
                session.save()
            self._store.flush()
        except StorageFullError:
            return False
        return True

    def _fail(self, state: State, error: Exception) -> None:
        """End training for a reason that everyone can read; the service goes on."""
        self._log.error("training_ended", state=state, exc_info=error)
        goal, self.goal = self.goal, None
        is_ours = isinstance(error, BitLMError)
        self._live.state = state
        self._live.error = (
            str(error) if is_ours else f"an unexpected {type(error).__name__}; the log has the details."
        )
        session = self._live.require()
        try:
            session.end_request(state)
            if state == "failed":
                session.record("failed", {"detail": self._live.error})
            self._live.publish()
        except (OSError, sqlite3.Error):
            self._log.exception("failure_not_recorded")
        finally:
            if goal is not None:
                goal.ticket.future.set_exception(error)

    # The disk

    def _has_room(self, session: Session) -> bool:
        """Look at the disk now and then; wait when it is nearly full, and warn before."""
        if time.monotonic() - self._looked_at < DISK_INTERVAL_S:
            return True
        report, known = self._look(), self._live.disk
        if report.state == "full":
            self._wait_for_room(session, report)
            return False
        if report.state == "low" and (known is None or known.state == "ok"):
            session.announce("disk_alert", {**report.model_dump(), "detail": "the disk is getting full."})
        self._live.disk = report
        return True

    def _look(self) -> DiskReport:
        self._looked_at = time.monotonic()
        return self._guard.look()

    def _wait_for_room(self, session: Session, report: DiskReport) -> None:
        """Pause until there is room; what there is to say is said then, if it cannot be now."""
        self._log.error("disk_full", free_bytes=report.free_bytes)
        self._state_then = self._live.state
        report = report.model_copy(update={"state": "full"})
        self.waits_for_disk, self._live.state, self._live.disk = True, "paused", report
        self._live.error = (
            f"the disk is full ({report.free_bytes:,} bytes free): training is paused and goes on by itself "
            "once there is room; delete checkpoints, runs or other files."
        )
        session.announce("disk_alert", {**report.model_dump(), "detail": self._live.error})
        if not self._settle(session):
            self._log.warning("alert_waits_for_room")
        self._live.publish()

    def look_for_room(self) -> None:
        """While waiting for room: go on if there is some now."""
        session, report = self._live.require(), self._look()
        if report.state == "full" or not self._settle(session):
            return
        session.announce("disk_recovered", {"free_bytes": report.free_bytes})
        self.waits_for_disk, self._live.disk = False, report
        self._live.state, self._live.error = self._state_then, None
        self._settle(session)
        self._live.publish()
