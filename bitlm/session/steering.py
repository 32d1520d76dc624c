"""What whoever drives a run for others does when they ask for it: nothing twice, and nothing in vain."""

from bitlm.errors import HaltedError, JournalError
from bitlm.session.commands import (
    Anneal,
    Command,
    ScheduleSamples,
    SetAlertAction,
    SetGrowthRule,
    SetTelemetry,
)
from bitlm.session.events import Event, Source
from bitlm.session.session import Session

BY_HAND = "saved by hand"
"""The name of a checkpoint that was asked for without one: what has a name is kept."""


def steer(session: Session, command: Command, *, source: Source) -> Event | None:
    """Apply a command; return its event, or None where all is as the command wants it already.

    Raises:
        ConfigError: The run has nothing that the command could change.
        HaltedError: The learning rate is to fall, and the run does no more steps.
        JournalError: It is to fall, and has fallen already.
        StorageFullError: The command could not be recorded; nothing changes.
    """
    if isinstance(command, Anneal):
        _require_fall(session)
    return None if _changes_nothing(command, session) else session.apply(command, source=source)


def save_by_hand(session: Session, name: str | None, *, source: Source) -> Event | None:
    """Save the run as it is; return the event, or None where this step had been saved, which is named now.

    Raises:
        HaltedError: The run could not be computed up to where it was.
        StorageFullError: It did not fit; the checkpoints before are as they were.
    """
    checkpoints = session.store.checkpoints
    newest = next(iter(checkpoints.of(session.run_id)), None)
    if newest is None or newest.step != session.step_count or newest.state != "good":
        return session.checkpoint(name or BY_HAND, source=source)
    if name is not None or newest.name is None:
        checkpoints.rename(newest, name or BY_HAND)
    return None


def _require_fall(session: Session) -> None:
    if session.halted is not None:
        raise HaltedError(session.halted)
    if session.annealing is not None and session.step_count >= session.annealing.end_step:
        raise JournalError(
            f"the learning rate of run {session.run_id!r} has fallen already; fork it from a checkpoint up "
            f"to step {session.annealing.start_step}, or with another learning_rate, to train on."
        )


def _changes_nothing(command: Command, session: Session) -> bool:
    if isinstance(command, SetTelemetry):
        return command.changed(session.telemetry) == session.telemetry
    if isinstance(command, ScheduleSamples):
        return command.schedule == session.sample_schedule
    if isinstance(command, SetGrowthRule):
        return command.rule == session.growth_rule
    return isinstance(command, SetAlertAction) and command.action == session.alert_action
