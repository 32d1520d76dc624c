"""Students of a run's model, made beside the live run."""

from typing import Any, Literal

from app.service.jobs import JobReport, Jobs
from bitlm.history.distilling import Student
from bitlm.session import RunStore
from bitlm.session.events import Source
from bitlm.session.records import DistillationReceipt


class DistillationReport(JobReport):
    """How far a distillation is, or how it ended.

    Attributes:
        state: "done" when there is a student, whether or not it meets its floors; "failed" when there is
            none, and "cancelled" when somebody wanted it no more.
        round: Of the students that are tried, from 0.
        rounds: How many there will be at most; 0 before the first update.
        steps: Updates done, of all rounds.
        until: Updates of all rounds together, if each is needed; 0 before the first.
        bits_per_byte: Of the student's last batch; None before the first.
        student: The new run's id; None before it is done.
        step: Of the teacher's checkpoint; None before it is done.
        receipt: What became of the model; None before it is done.
    """

    state: Literal["running", "done", "failed", "cancelled"] = "running"
    round: int = 0
    rounds: int = 0
    steps: int = 0
    until: int = 0
    bits_per_byte: float | None = None
    student: str | None = None
    step: int | None = None
    receipt: DistillationReceipt | None = None


def distillations(store: RunStore) -> Jobs[DistillationReport]:
    """Return what makes students with `python -m bitlm distil`."""
    return Jobs(store, "distil", "distillation", DistillationReport, _outcome)


def options_of(wanted: Student, *, step: int | None, source: Source) -> list[str]:
    """Return a wish as the command's options."""
    told: dict[str, Any] = {
        "share": wanted.share,
        "steps": wanted.steps,
        "rounds": wanted.max_rounds,
        "width-scale": wanted.width_scale,
        "c-floor": wanted.floors.C,
        "s-floor": wanted.floors.S,
        "most-worse": wanted.floors.most_worse,
        "representatives": wanted.representatives,
        "teacher-weight": wanted.teacher_weight,
        "heads": wanted.heads,
        "source": source,
        "checkpoint": step,
    }
    return [f"--{name}={value}" for name, value in told.items() if value is not None]


def _outcome(run_id: str, answer: dict[str, Any]) -> DistillationReport:
    receipt = DistillationReceipt.model_validate(answer)
    return DistillationReport(
        run_id=run_id,
        state="done",
        round=receipt.rounds - 1,
        rounds=receipt.rounds,
        steps=receipt.steps,
        until=receipt.steps,
        student=answer["run_id"],
        step=answer["step"],
        receipt=receipt,
    )
