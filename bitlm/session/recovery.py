"""Taking up a run that another process left, however it left: the last good state, then the journal."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitlm.errors import CheckpointError, GridOverflowError, HaltedError
from bitlm.session.checkpoint_table import CheckpointRecord
from bitlm.session.choices import tell_choices
from bitlm.session.commands import TelemetrySettings
from bitlm.session.events import SEEN_COLUMNS, Event, StepEvent
from bitlm.session.learner import JOURNAL_KINDS, Learner, Update
from bitlm.session.store import RunStore

if TYPE_CHECKING:
    from bitlm.session.session import Session

Progress = Callable[[int, int], None]
"""Told the step reached and the step aimed at."""


@dataclass(frozen=True)
class Start:
    """The state that a run is taken up from.

    Attributes:
        step: Its step.
        event_id: The last event that is in it.
        elapsed_s: Seconds that had been spent stepping.
        damaged: Newer checkpoints that turned out not to be whole, and why; those known to be are left out.
    """

    step: int
    event_id: int
    elapsed_s: float
    damaged: tuple[tuple[CheckpointRecord, str], ...]


def load_state(
    store: RunStore, run_id: str, learner: Learner, *, writable: bool, step: int | None = None
) -> Start:
    """Restore the newest checkpoint that is whole, or else begin at step 0 again.

    Raises:
        CheckpointError: The run is a branch, whose beginning is not a function of its seed, and none of
            its checkpoints is whole; or there is no whole one of `step`.
    """
    if writable:
        store.checkpoints.tidy(run_id)
    if step is not None:
        record = store.checkpoints.at(run_id, step)
        checkpoint = store.checkpoints.load(record)
        learner.restore(checkpoint, store.data)
        return Start(step, record.event_id, checkpoint.state["elapsed_s"], ())
    damaged: list[tuple[CheckpointRecord, str]] = []
    for record, loaded in store.checkpoints.good_ones(run_id):
        if not isinstance(loaded, CheckpointError):
            learner.restore(loaded, store.data)
            start = Start(record.step, record.event_id, loaded.state["elapsed_s"], tuple(damaged))
            break
        if record.state == "good":
            damaged.append((record, str(loaded)))
    else:
        if store.run(run_id).origin is not None:
            raise CheckpointError(
                f"no checkpoint of {run_id!r} is whole, and a branch cannot begin without one; "
                "branch off again."
            )
        start = Start(0, 0, 0.0, tuple(damaged))
    if not writable:
        _follow_settings(store, run_id, learner, start)
    return start


def _follow_settings(store: RunStore, run_id: str, learner: Learner, start: Start) -> None:
    """Show a reader the λ and floors that were last acknowledged."""
    for event in store.all_events(run_id, kinds=("telemetry_changed",), since=start.event_id):
        learner.follow(event.kind, event.payload, store.data)


def recompute(session: "Session", learner: Learner, start: Start, progress: Progress) -> None:
    """Follow the journal from `start` to the last step that is known to have been done, and say so."""
    store, run_id = session.store, session.run_id
    until = max(store.last_known_step(run_id), start.step)
    journal = deque(store.all_events(run_id, kinds=JOURNAL_KINDS, since=start.event_id))
    progress(learner.step_count, until)
    session.is_recovering = True
    choice = learner.choose_memory()
    _follow_due(learner, journal, store)
    while learner.step_count < until and session.halted is None:
        _step_again(session, learner)
        _follow_due(learner, journal, store)
        progress(learner.step_count, until)
    session.is_recovering = bool(journal)
    if session.plan_ends_at is None or learner.step_count >= session.plan_ends_at:
        session.end_request("interrupted")
    for record, detail in start.damaged:
        session.record("checkpoint_damaged", {"step": record.step, "detail": detail})
        store.checkpoints.mark_damaged(record)
    payload = {"checkpoint_step": start.step, "recomputed": learner.step_count - start.step}
    session.record("run_resumed", payload)
    tell_choices(session, choice)
    if session.can_be_saved and (payload["recomputed"] or not start.event_id):
        session.checkpoint()


def _follow_due(learner: Learner, journal: deque[Event], store: RunStore) -> None:
    while journal and journal[0].step <= learner.step_count:
        event = journal.popleft()
        learner.follow(event.kind, event.payload, store.data)


def _step_again(session: "Session", learner: Learner) -> None:
    """Do a step that was done before; its record stays if it is repeated, and is replaced if not."""
    row = session.store.metrics_of_step(session.run_id, learner.step_count + 1)
    if row is not None:
        update = _updated(learner)
        if update is not None:
            session.elapsed_s = row["elapsed_s"]
            _compare(session, row, update.measured)
            return
        session.store.drop_metrics_after(session.run_id, learner.step_count)
    with suppress(HaltedError):
        session.step()


def _updated(learner: Learner) -> Update | None:
    """Do an update, or return None if it cannot be done: then the session's own step says why."""
    try:
        update = learner.update()
    except GridOverflowError:
        return None
    return update if update.result.finite else None


def first_difference(recorded: dict[str, Any], measured: dict[str, Any]) -> str | None:
    """Return the name of a figure that came out otherwise, or None.

    A figure that was not measured then, or is not now, is no difference: versions measure more and less.
    """
    both = (name for name, value in measured.items() if None not in (value, recorded[name]))
    return next((name for name in both if measured[name] != recorded[name]), None)


def _compare(session: "Session", row: dict[str, Any], measured: dict[str, Any]) -> None:
    """Say so if a step came out otherwise; then what was recorded from there on is no longer true."""
    name = first_difference(row, measured)
    if name is None:
        return
    unknown = dict.fromkeys(SEEN_COLUMNS)
    session.store.drop_metrics_after(session.run_id, session.step_count - 1)
    session.store.add_metrics(session.run_id, StepEvent(**{**row, **measured, **unknown}))
    session.record("diverged", {"metric": name, "recorded": row[name], "recomputed": measured[name]})


def telemetry_in_force(store: RunStore, run_id: str) -> TelemetrySettings:
    """Return the λ and floors that a run was last given, without taking it up."""
    settings, since = TelemetrySettings(), 0
    for record in store.checkpoints.of(run_id):
        try:
            state = store.checkpoints.state(record)
        except CheckpointError:
            continue
        settings, since = TelemetrySettings.model_validate(state["telemetry"]), record.event_id
        break
    for event in store.all_events(run_id, kinds=("telemetry_changed",), since=since):
        update = {change["field"]: change["new"] for change in event.payload["changes"]}
        settings = settings.model_copy(update=update)
    return settings
