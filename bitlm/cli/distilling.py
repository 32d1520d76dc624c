"""What `distil` and `train --auto-collapse` tell, and how the latter is asked for."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bitlm.cli.printing import text_console
from bitlm.distillation import Floors, Progress, Standing
from bitlm.history.distilling import Student, distil
from bitlm.session import Origin, RunStore
from bitlm.session.records import DistillationReceipt

AutoCollapse = Annotated[
    bool, typer.Option("--auto-collapse", help="--grow: distil in the end what it has become.")
]
CollapsedShare = Annotated[
    float | None,
    typer.Option("--share", help="--auto-collapse: the student's parameters, at most (default: 0.4)."),
]
StudentSteps = Annotated[
    int | None, typer.Option(min=2, help="--auto-collapse: updates of each round (default: 1000).")
]
CollapsedC = Annotated[
    float | None,
    typer.Option("--c-floor", min=0, max=1, help="--auto-collapse: least C of its texts (default: 0.3)."),
]
CollapsedS = Annotated[
    float | None,
    typer.Option("--s-floor", min=0, max=1, help="--auto-collapse: least S of its texts (default: 0.5)."),
]
CollapsedWorse = Annotated[
    float | None,
    typer.Option("--most-worse", min=0, help="--auto-collapse: bpb it may be worse by (default: 0.1)."),
]


def asked_student(
    auto_collapse: bool,
    grow: bool,
    share: float | None,
    steps: int | None,
    c_floor: float | None,
    s_floor: float | None,
    most_worse: float | None,
) -> Student | None:
    """Return what a grown run is to be distilled to, as the options say; None where it is not.

    Raises:
        BadParameter: It is not to grow, or how it is to be distilled is said, and not that it is to.
        ConfigError: The share is out of range.
    """
    floors = _given(C=c_floor, S=s_floor, most_worse=most_worse)
    wanted = _given(share=share, steps=steps)
    if not auto_collapse:
        if floors or wanted:
            raise typer.BadParameter(
                "--share, --student-steps, --c-floor, --s-floor and --most-worse say how to --auto-collapse; "
                "give that too."
            )
        return None
    if not grow:
        raise typer.BadParameter(
            "--auto-collapse distils what a run has grown to; give --grow too, or use `distil`."
        )
    return Student(floors=Floors(**floors), **wanted)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def collapsed(store: RunStore, run_id: str, wanted: Student, console: Console) -> dict[str, Any] | None:
    """Make a run's student, tell what became of it, and return that; None where Ctrl-C ended it."""
    try:
        with bar(wanted.steps, is_quiet=console.quiet) as tell:
            student, _ = distil(store, run_id, wanted, progress=tell, source="cli")
    except KeyboardInterrupt:
        console.print("stopped early; no student was made.")
        return None
    origin = store.run(student).origin
    assert origin is not None, "a student has one"
    console.print(student_line(student, origin), highlight=False, soft_wrap=True)
    return student_record(student, origin)


def student_record(student: str, origin: Origin) -> dict[str, Any]:
    """Return what became of a run's model as `--json` says it."""
    assert origin.distillation is not None, "it says how it was distilled"
    receipt = origin.distillation.model_dump()
    return {"run_id": student, "student_of": origin.run_id, "step": origin.step, **receipt}


def student_line(student: str, origin: Origin) -> str:
    """Return the same in a sentence."""
    assert origin.distillation is not None, "it says how it was distilled"
    of = f"run {student} is a student of run {origin.run_id} at step {origin.step}"
    return f"{of}: {_receipt(origin.distillation)}"


@contextmanager
def lines(steps: int) -> Iterator[Progress]:
    """Tell each update as a line of JSON on the error stream."""

    def tell(done: Standing) -> None:
        sys.stderr.write(json.dumps({**asdict(done), "until": done.rounds * steps}) + "\n")

    yield tell


@contextmanager
def bar(steps: int, *, is_quiet: bool = False) -> Iterator[Progress]:
    """Tell each update by a bar on the error stream."""
    console = text_console(stderr=True)
    console.quiet = is_quiet
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console) as shown:
        task = shown.add_task("looking at the teacher", total=None)

        def tell(done: Standing) -> None:
            said = f"student {done.round + 1} of at most {done.rounds}  train {done.bits_per_byte:.3f} bpb"
            shown.update(task, total=done.rounds * steps, completed=done.steps, description=said)

        yield tell


def _receipt(receipt: DistillationReceipt) -> str:
    (many, few), (before, after) = receipt.parameters, receipt.bits_per_byte
    has, keeps = receipt.heads or (0, 0)
    heads = f" ({has} → {keeps} heads a layer)" if has != keeps else ""
    verdict = "meets its floors" if receipt.met else "misses a floor"
    tried = "" if receipt.rounds == 1 else f" after {receipt.rounds} rounds"
    return (
        f"{many:,} → {few:,} parameters{heads}, {before:.4f} → {after:.4f} bits per byte, "
        f"{receipt.ms_per_byte[0]:.3f} → {receipt.ms_per_byte[1]:.3f} ms a byte; C {receipt.C:.2f}, "
        f"S {receipt.S:.2f}: it {verdict}{tried}."
    )
