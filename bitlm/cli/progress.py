"""How far a training is, as a bar or as lines."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bitlm.session import Session, StepEvent

LINE_INTERVAL_S = 15.0
"""Seconds of training between two lines of progress where there is no terminal for a bar."""


@dataclass(frozen=True)
class Plan:
    """When to end: after so many more steps, or after so many more seconds of training.

    Attributes:
        from_step: The step the plan begins at.
        from_s: The seconds of training that had been spent by then.
    """

    steps: int | None
    seconds: float | None
    from_step: int = 0
    from_s: float = 0.0

    def share_done(self, session: Session) -> float:
        """Return how much of the plan is behind it, in [0, 1]."""
        if self.steps is not None:
            return min(1.0, (session.step_count - self.from_step) / self.steps)
        assert self.seconds is not None, "a plan has steps or seconds"
        return min(1.0, (session.elapsed_s - self.from_s) / self.seconds)

    def steps_left(self, session: Session) -> int:
        """Return the steps still to come, for a plan in seconds at the pace so far."""
        done = session.step_count - self.from_step
        if self.steps is not None:
            return self.steps - done
        assert self.seconds is not None, "a plan has steps or seconds"
        spent = session.elapsed_s - self.from_s
        return round(done * (self.seconds - spent) / spent)


def with_bar(session: Session, plan: Plan, console: Console, events: Iterable[StepEvent]) -> None:
    """Show a bar while events come."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task(f"run {session.run_id}", total=1.0)
        validation = None
        for event in events:
            validation = event.validation_bits_per_byte or validation
            line = _progress_line(event, validation)
            progress.update(task, completed=plan.share_done(session), description=line)


def with_lines(
    session: Session,
    plan: Plan,
    console: Console,
    events: Iterable[StepEvent],
    *,
    interval_s: float = LINE_INTERVAL_S,
) -> None:
    """Print a line for the first step, one every so many seconds of training, and one for the last."""
    console.print(f"run {session.run_id}", highlight=False)
    validation, line, said, due_s = None, "", "", 0.0
    for event in events:
        validation = event.validation_bits_per_byte or validation
        line = f"{plan.share_done(session):4.0%}  {_progress_line(event, validation)}"
        if event.elapsed_s >= due_s:
            console.print(line, highlight=False, soft_wrap=True)
            said, due_s = line, event.elapsed_s + interval_s
    if line != said:
        console.print(line, highlight=False, soft_wrap=True)


def _progress_line(event: StepEvent, validation: float | None) -> str:
    held_out = f"{validation:.3f}" if validation is not None else "  …  "
    speed = event.bytes_per_s / 1000
    return f"step {event.step}  train {event.bits_per_byte:.3f}  held out {held_out} bpb  {speed:.1f} kB/s"
