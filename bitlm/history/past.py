"""What happened to a branch before it was one, as another run: part of its curves, so part of its story."""

from collections.abc import Sequence

from bitlm.session import Event, RunRecord, RunStore

MOST_LISTED = 8
"""Events that an error names; the newest are the ones most likely meant."""


def events_with_past(store: RunStore, record: RunRecord, *, kinds: tuple[str, ...] = ()) -> list[Event]:
    """Return a run's events, of those kinds if any, after what its past has of them.

    The events of a run that was deleted since are not known any more.
    """
    own = store.all_events(record.run_id, kinds=kinds)
    if record.origin is None:
        return own
    try:
        parent = store.run(record.origin.run_id)
    except LookupError:
        return own
    shared = record.origin.after_event
    before = events_with_past(store, parent, kinds=kinds)
    return [*(event for event in before if event.event_id <= shared), *own]


def listed(events: Sequence[Event]) -> str:
    """Return the ids of events for an error that asks for one of them, the newest last."""
    if not events:
        return "it has none yet"
    ids = ", ".join(f"{event.event_id} (step {event.step})" for event in events[-MOST_LISTED:])
    earlier = len(events) - MOST_LISTED
    return f"it has {ids}" + (f", and {earlier} earlier ones" if earlier > 0 else "")
