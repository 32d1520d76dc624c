"""What happened to a branch before it was one, as another run: part of its curves, so part of its story."""

from bitlm.session import Event, RunRecord, RunStore


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
