"""`bitlm distil`: a smaller run made of another one's model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, RunArgument
from bitlm.cli.printing import text_console
from bitlm.cli.train import INTERRUPTED
from bitlm.distillation import TEACHER_WEIGHT, Floors, Progress, Standing, save_distilled_model
from bitlm.history.distilling import Student
from bitlm.history.distilling import distil as make_student
from bitlm.session.records import DistillationReceipt


def distil(
    run: RunArgument = "latest",
    checkpoint: Checkpoint = None,
    share: Annotated[float, typer.Option(help="Of the parameters, how many it may have at most.")] = 0.4,
    steps: Annotated[int, typer.Option(min=2, help="Updates of each round.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="Students, at most; 1: the largest at once.")] = 3,
    width_scale: Annotated[float, typer.Option(min=1, help="Of the last widening.")] = 1.5,
    c_floor: Annotated[float, typer.Option(min=0, max=1, help="Least C of its texts.")] = 0.3,
    s_floor: Annotated[float, typer.Option(min=0, max=1, help="Least S of its texts.")] = 0.5,
    most_worse: Annotated[
        float, typer.Option(min=0, help="Bits per byte it may be worse than its teacher.")
    ] = 0.1,
    representatives: Annotated[int, typer.Option(min=1, help="Windows that decide what is kept.")] = 8,
    teacher_weight: Annotated[
        float, typer.Option(min=0, max=1, help="Of the teacher's say; the rest is the text's.")
    ] = TEACHER_WEIGHT,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the student's weights and metrics.json as well.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a run whose model is smaller: cut out of a run's model, and taught what that says of every bit.

    It begins with few layers, and gets more as long as it misses a floor, up to the share. Ctrl-C ends it,
    leaves nothing behind, and exits with code 130. The new run is trained on, sampled and compared as any.

    Examples:
      python -m bitlm distil latest

      python -m bitlm distil latest --share 0.25 --rounds 1 --steps 2000

      python -m bitlm distil 20261122-120000-ab12 --output student
    """
    floors = Floors(c_floor, s_floor, most_worse)
    wanted = Student(share, floors, rounds, width_scale, steps, representatives, teacher_weight)
    with open_store(data_dir, run) as (store, run_id):
        try:
            with _bar(steps) as progress:
                student, distilled = make_student(
                    store, run_id, wanted, step=checkpoint, progress=progress, source="cli"
                )
        except KeyboardInterrupt:
            text_console(stderr=True).print("stopped early; no run was made.")
            raise typer.Exit(INTERRUPTED) from None
        origin = store.run(student).origin
    if output is not None:
        save_distilled_model(distilled, output)
    assert origin is not None, "a student has one"
    assert origin.distillation is not None, "and it says how it was distilled"
    if as_json:
        receipt = origin.distillation.model_dump()
        typer.echo(json.dumps({"run_id": student, "student_of": run_id, "step": origin.step, **receipt}))
        return
    told = _told(origin.distillation)
    typer.echo(f"run {student} is a student of run {run_id} at step {origin.step}: {told}")
    where = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
    typer.echo(f'next: python -m bitlm generate --run {student} --prompt "The "{where}')


@contextmanager
def _bar(steps: int) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=text_console(stderr=True)) as shown:
        task = shown.add_task("looking at the teacher", total=None)

        def tell(done: Standing) -> None:
            said = f"student {done.round + 1} of at most {done.rounds}  train {done.bits_per_byte:.3f} bpb"
            shown.update(task, total=done.rounds * steps, completed=done.steps, description=said)

        yield tell


def _told(receipt: DistillationReceipt) -> str:
    (many, few), (before, after) = receipt.parameters, receipt.bits_per_byte
    verdict = "meets its floors" if receipt.met else "misses a floor"
    tried = "" if receipt.rounds == 1 else f" after {receipt.rounds} rounds"
    return (
        f"{many:,} → {few:,} parameters, {before:.4f} → {after:.4f} bits per byte, "
        f"{receipt.ms_per_byte[0]:.3f} → {receipt.ms_per_byte[1]:.3f} ms a byte; C {receipt.C:.2f}, "
        f"S {receipt.S:.2f}: it {verdict}{tried}."
    )
