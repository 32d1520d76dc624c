"""What a run's figures were before and after something that happened to it."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from bitlm.errors import JournalError
from bitlm.history.past import events_with_past, listed
from bitlm.session import Event, RunStore
from bitlm.session.alerts import TROUBLES
from bitlm.session.entries import changes_course
from bitlm.session.events import EventKind
from bitlm.session.learner import JOURNAL_KINDS
from bitlm.telemetry import Effect, Point, effect

QUANTITIES = (
    "bits_per_byte",
    "validation_bits_per_byte",
    "bound_bits_per_byte",
    "validation_bound_bits_per_byte",
    "compressed_bits_per_byte",
    "K",
    "C",
    "S",
    "symbiosis_kl",
    "utf8_validity",
    "gradient_norm",
    "learning_rate",
    "attention_entropy",
    "depth_mean",
    "bytes_per_s",
    "resident_bytes",
    "telemetry_share",
)
"""The columns that have a mean before and after."""

WINDOW_STEPS = 200
"""How far a window reaches on either side of the step."""

LEAST_WANTED = 20
"""Values of a figure that is only looked at now and then, for which a window reaches farther."""

FARTHEST_STEPS = 5000
"""But no farther than this."""

EXPLAINED_KINDS: tuple[EventKind, ...] = (*JOURNAL_KINDS, "run_forked", *TROUBLES)
"""What there can be a before and after of."""


class EffectReport(BaseModel):
    """Before and after something that happened; an observation, of which a twin is the proof.

    Attributes:
        step: The last step that counts as before.
        since: Only steps after this one count: there the change before was made. -1 if there was none.
        until: Only steps up to this one count: there the next change was made; None if there is none yet.
        quantities: By column.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    event_id: int
    kind: EventKind
    step: int
    since: int
    until: int | None
    quantities: dict[str, Effect]


def effect_of(store: RunStore, run_id: str, event_id: int) -> EffectReport:
    """Return what the figures of a run were before and after one of its events, or of its past's.

    A window holds the values of up to 200 steps, and of a figure that is looked at more rarely the nearest
    twenty; neither goes across another change.

    Args:
        store: Holds the run.
        run_id: The run.
        event_id: A change in its journal, an alert, or the beginning of a branch.

    Raises:
        RunNotFoundError: There is no such run.
        JournalError: There is no such event in it, or it is none that something could follow from.
    """
    told = events_with_past(store, store.run(run_id), kinds=EXPLAINED_KINDS)
    asked = next((event for event in told if event.event_id == event_id), None)
    if asked is None:
        raise JournalError(
            f"event {event_id} of run {run_id!r} is no change, alert or beginning of a branch; "
            f"{listed(told)}."
        )
    step = last_step_before(asked)
    changes = change_steps(told)
    since = max((change for change in changes if change < step), default=-1)
    until = min((change for change in changes if change > step), default=None)
    quantities = {
        column: effect(
            _before(store, run_id, column, since=since, step=step),
            _after(store, run_id, column, step=step, until=until),
        )
        for column in QUANTITIES
    }
    return EffectReport(
        run_id=run_id,
        event_id=event_id,
        kind=asked.kind,
        step=step,
        since=since,
        until=until,
        quantities=quantities,
    )


def last_step_before(event: Event) -> int:
    """Return the last step that was as before: an alert's own, or where a twin was not told of a change."""
    if event.kind in TROUBLES:
        return int(event.payload.get("since", event.step))
    if event.kind == "run_forked" and event.payload.get("change"):
        return int(event.payload["change"]["step"])
    return event.step


def change_steps(told: Sequence[Event]) -> set[int]:
    """Return the steps at which the course of a run was changed by what it was told."""
    steps = set()
    for event in told:
        payload = event.payload
        if event.kind == "run_forked":
            changed = bool(payload.get("config_changes"))
        elif event.kind == "telemetry_changed":
            changed = bool(payload["changes"])
        else:
            changed = event.kind in JOURNAL_KINDS and changes_course(event.kind, payload)
        if changed:
            steps.add(event.step)
            if event.kind == "steps_requested":
                steps.add(event.step + payload["steps"])  # from there on it is the corpus again
    return steps


def _before(store: RunStore, run_id: str, column: str, *, since: int, step: int) -> list[Point]:
    low = max(since, step - FARTHEST_STEPS)
    values = store.values(run_id, column, after=low, until=step, most=WINDOW_STEPS, newest=True)
    near = [point for point in values if point[0] > step - WINDOW_STEPS]
    return near if len(near) >= LEAST_WANTED else values[-LEAST_WANTED:]


def _after(store: RunStore, run_id: str, column: str, *, step: int, until: int | None) -> list[Point]:
    high = step + FARTHEST_STEPS if until is None else min(until, step + FARTHEST_STEPS)
    values = store.values(run_id, column, after=step, until=high, most=WINDOW_STEPS)
    near = [point for point in values if point[0] <= step + WINDOW_STEPS]
    return near if len(near) >= LEAST_WANTED else values[:LEAST_WANTED]
