"""What a run does about an alert: say so, and then what it was told to do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from bitlm.errors import HaltedError
from bitlm.session.drift_monitor import Alert
from bitlm.session.events import EventKind
from bitlm.training import StepResult

if TYPE_CHECKING:
    from bitlm.session.session import Session

TROUBLES: tuple[EventKind, ...] = ("drift_alert", "spike_alert", "nonfinite_alert")
"""Alerts about what is learned."""

ALERT_ANNEAL_STEPS = 500
"""Steps over which the learning rate falls where an alert anneals."""


@dataclass(frozen=True)
class Interruption:
    """Why whoever drives a run shall not simply go on; a run knows no thread and makes no other run.

    Attributes:
        action: To pause, or to go on from the state before in a branch (`bitlm.history.branching.roll_back`).
        since: The last step that was as before.
        reason: What was alerted, in a few words.
    """

    action: Literal["pause", "rollback"]
    since: int
    reason: str


def respond(session: "Session", alert: Alert) -> None:
    """Let an alert be known and act on it; both are in the journal before the next step.

    While a run repeats what is written down, of its own past or of a twin's original, what was done about
    alerts is written there, too: then it only says so.
    """
    action = "notify" if session.is_repeating else session.alert_action
    session.announce(alert.kind, {**alert.payload, "action": action})
    reason = f"{alert.kind.replace('_', ' ')} of {alert.payload['metric']}"
    if action == "anneal" and session.annealing is None:
        rate = session.learning_rate
        cause = {"kind": alert.kind, "metric": alert.payload["metric"]}
        session.decide(
            "anneal_started", {"steps": ALERT_ANNEAL_STEPS, "from_learning_rate": rate, "cause": cause}
        )
    elif action in {"pause", "rollback"}:
        session.interruption = Interruption(action, alert.payload["since"], reason)


def require_finite(session: "Session", result: StepResult) -> None:
    """Halt a run whose update was not done, as its loss or gradient is not finite.

    Raises:
        HaltedError: That is so; the weights are those of the last good step.
    """
    if not result.finite:
        norm = result.gradient_norm
        halt(session, f"the loss ({result.loss}) or its gradient ({norm}) is not finite.", session.step_count)


def halt(session: "Session", cause: str, good: int) -> NoReturn:
    """End a run at a step that cannot be done, or whose model cannot be computed any more.

    Args:
        session: Its weights are those of step `good`, unless it was looking at them that failed.
        cause: A sentence.
        good: The last step that is whole; nothing after it is kept.

    Raises:
        HaltedError: Always; it says why, and what to do.
    """
    session.is_sound = session.step_count == good
    session.halted = (
        f"step {good + 1} failed: {cause} The last good state is that of step {good}; roll the run back, and "
        "it goes on from its last checkpoint with a lower learning rate."
    )
    goes_back = session.alert_action == "rollback" and not session.is_repeating
    if goes_back:
        session.interruption = Interruption("rollback", good, "a step was not finite")
    action = "rollback" if goes_back else "notify"
    session.record("nonfinite_alert", {"detail": session.halted, "since": good, "action": action})
    raise HaltedError(session.halted)
