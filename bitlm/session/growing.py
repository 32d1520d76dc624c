"""When a run goes on as a branch whose model is larger, and which way; whoever drives it makes the branch."""

from bitlm.errors import ConfigError
from bitlm.growth import Growth, require_growable
from bitlm.session.session import Session

LARGER: dict[Growth, str] = {
    "layer": "a layer more",
    "width": "twice the width",
    "context": "twice the window",
}


def growth_due(session: Session) -> Growth | None:
    """Return which way a run is to grow now, after the step that it did last; None where it is not time.

    A run whose rate falls does not grow any more: that is its last part, in which it settles. Nor does a twin
    while it repeats its original. Where it is time and the model cannot grow, it is told to grow no more.

    Raises:
        StorageFullError: The figures of the last steps did not fit on the disk.
    """
    rule, last = session.growth_rule, session.last_step
    if rule is None or last is None or last.validation_bits_per_byte is None:
        return None
    if session.annealing is not None or session.interruption is not None or session.is_repeating:
        return None
    schedule = rule.schedule(most_window_bytes=len(session.corpus.held_out))
    origin = session.store.run(session.run_id).origin
    grown, since = (origin.growth, origin.step) if origin is not None else (None, -1)
    session.store.flush()
    told = session.store.values(
        session.run_id, "validation_bits_per_byte", after=since, most=schedule.validations + 1, newest=True
    )
    if not schedule.is_due([figure for _, figure in told]):
        return None
    try:
        require_growable(session.config.training)
    except ConfigError as error:
        stop_growing(session, str(error))
        return None
    growth = schedule.next_growth(session.config.model, grown.by if grown is not None else None)
    if growth is None:
        stop_growing(session, f"no larger model fits {rule.most_memory_mb} MB and this text")
    return growth


def reason(growth: Growth) -> str:
    """Return why a run ends here and a larger one goes on."""
    return f"held-out text hardly improves any more, so {LARGER[growth]}"


def stop_growing(session: Session, why: str) -> None:
    """Let a run grow no more, and its journal say why."""
    assert session.growth_rule is not None, "only a run that grows can end it"
    old = session.growth_rule.model_dump()
    session.decide("growth_rule_changed", {"old": old, "new": None, "reason": why})
