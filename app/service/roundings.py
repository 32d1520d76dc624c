"""What runs' models in fewer bits take and cost, measured beside the live run."""

from typing import Any, Literal

from app.service.jobs import JobReport, Jobs
from bitlm.rounding import RoundedFile
from bitlm.session import RunStore


class RoundingReport(JobReport):
    """How far a measurement is, or how it ended.

    Attributes:
        state: "done" when it was measured, "failed" when it could not be, and "cancelled" when somebody
            wanted it no more.
        measured: Precisions done, of two.
        step: Of the checkpoint; None before it is done.
        files: What a file in eight and one in four bits takes, and costs; none before it is done.
    """

    state: Literal["running", "done", "failed", "cancelled"] = "running"
    measured: int = 0
    step: int | None = None
    files: tuple[RoundedFile, ...] = ()


def roundings(store: RunStore) -> Jobs[RoundingReport]:
    """Return what measures with `python -m bitlm rounding`."""
    return Jobs(store, "rounding", "measurement of rounding", RoundingReport, _outcome)


def _outcome(run_id: str, answer: dict[str, Any]) -> RoundingReport:
    files = tuple(RoundedFile.model_validate(file) for file in answer["files"])
    return RoundingReport(run_id=run_id, state="done", measured=len(files), step=answer["step"], files=files)
