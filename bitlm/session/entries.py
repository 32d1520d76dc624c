"""What the journal says of a command, or of a request for steps."""

from typing import TYPE_CHECKING, Any

from bitlm.errors import ConfigError
from bitlm.growth import require_growable
from bitlm.session.commands import (
    Anneal,
    Command,
    ScheduleSamples,
    SetAlertAction,
    SetGrowthRule,
    SetTelemetry,
)
from bitlm.session.events import EventKind
from bitlm.session.store import RunStore

if TYPE_CHECKING:
    from bitlm.session.session import Session


def entry_of(command: Command, session: "Session") -> tuple[EventKind, dict[str, Any]]:
    """Return kind and payload of the entry that makes `command` take effect in the session as it is now.

    Raises:
        ConfigError: The run has nothing that the command could change.
    """
    if isinstance(command, SetTelemetry):
        command.require_fitting(session.config.model.objective)
        changes = session.telemetry.differences(command.changed(session.telemetry))
        return "telemetry_changed", {"changes": changes}
    if isinstance(command, SetAlertAction):
        return "alert_action_changed", {"old": session.alert_action, "new": command.action}
    if isinstance(command, ScheduleSamples):
        old, new = (one and one.model_dump() for one in (session.sample_schedule, command.schedule))
        return "samples_scheduled", {"old": old, "new": new}
    if isinstance(command, SetGrowthRule):
        if command.rule is not None:
            require_growable(session.config.training)
        before, after = (one and one.model_dump() for one in (session.growth_rule, command.rule))
        return "growth_rule_changed", {"old": before, "new": after}
    assert isinstance(command, Anneal), "a command is one of the union"
    return "anneal_started", {"steps": command.steps, "from_learning_rate": session.learning_rate}


def request_of(
    store: RunStore, steps: int, data: bytes | None, asked: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the payload of a request for steps; the text to train on, if there is one, is kept by its hash.

    Raises:
        ConfigError: `data` is empty.
    """
    payload: dict[str, Any] = {"steps": steps, **(asked or {})}
    if data is not None:
        _require_text(data)
        payload |= {"sha256": store.put_data(data), "bytes": len(data)}
    return payload


def changes_course(kind: EventKind, payload: dict[str, Any]) -> bool:
    """Return whether what a run measures is expected to move after such an entry.

    What alerts lead to, what is looked at and when a larger run goes on move nothing, and steps on the run's
    own text are the same steps unasked.
    """
    if kind == "steps_requested":
        return "sha256" in payload
    return kind not in {"alert_action_changed", "samples_scheduled", "growth_rule_changed"}


def _require_text(data: bytes) -> None:
    """Check that there is something to train on.

    Raises:
        ConfigError: There is not.
    """
    if not data:
        raise ConfigError(
            "text", "", "give at least one byte to train on, or leave it out to use the corpus."
        )
