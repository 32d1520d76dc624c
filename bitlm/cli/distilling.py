"""What `distil` and `train --auto-collapse` share: their options, what they tell meanwhile and in the end."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bitlm.cli.printing import text_console
from bitlm.distillation import Progress, Standing
from bitlm.session.records import DistillationReceipt

MostWorse = Annotated[float, typer.Option(min=0, help="Bits per byte it may be worse than its teacher.")]
ParameterShare = Annotated[float, typer.Option(help="Of the parameters, how many it may have at most.")]
LeastC = Annotated[float, typer.Option(min=0, max=1, help="Least C of its texts.")]
LeastS = Annotated[float, typer.Option(min=0, max=1, help="Least S of its texts.")]


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


def receipt_line(receipt: DistillationReceipt) -> str:
    """Return what became of the model, in a sentence."""
    (many, few), (before, after) = receipt.parameters, receipt.bits_per_byte
    verdict = "meets its floors" if receipt.met else "misses a floor"
    tried = "" if receipt.rounds == 1 else f" after {receipt.rounds} rounds"
    return (
        f"{many:,} → {few:,} parameters, {before:.4f} → {after:.4f} bits per byte, "
        f"{receipt.ms_per_byte[0]:.3f} → {receipt.ms_per_byte[1]:.3f} ms a byte; C {receipt.C:.2f}, "
        f"S {receipt.S:.2f}: it {verdict}{tried}."
    )
