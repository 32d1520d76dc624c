"""Runs done again beside the live one, to see whether every saved hash comes out."""

from typing import Any, Literal

from app.service.jobs import JobReport, Jobs
from bitlm.session import RunStore


class ReplayReport(JobReport):
    """How far a replay is, or how it ended.

    Attributes:
        state: "same" when the hashes of every checkpoint came out again, "different" when one did not,
            "failed" when it could not be done, and "cancelled" when somebody wanted it no more.
        step: The step reached.
        until: The step aimed at; 0 before that is known.
        checkpoints: Those compared; 0 before it has ended.
        first_difference: Step of the first checkpoint that came out otherwise, or None.
        detail: Why it failed, or what to know of the outcome.
    """

    state: Literal["running", "same", "different", "failed", "cancelled"] = "running"
    step: int = 0
    until: int = 0
    checkpoints: int = 0
    first_difference: int | None = None


def replays(store: RunStore) -> Jobs[ReplayReport]:
    """Return what does runs again with `python -m bitlm replay`."""
    return Jobs(store, "replay", "replay", ReplayReport, _outcome)


def _outcome(run_id: str, answer: dict[str, Any]) -> ReplayReport:
    stretch, version = answer["stretches"][0], answer["made_by_version"]
    differing = [checkpoint["step"] for checkpoint in stretch["checkpoints"] if not checkpoint["same"]]
    return ReplayReport(
        run_id=run_id,
        state="different" if differing else "same",
        step=stretch["until"],
        until=stretch["until"],
        checkpoints=len(stretch["checkpoints"]),
        first_difference=differing[0] if differing else None,
        detail=f"BitLM {version} made the run; this version may round otherwise." if version else "",
    )
