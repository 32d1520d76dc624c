"""`bitlm distil`: a smaller run made of another one's model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bitlm.cli.distilling import bar, lines, student_line, student_record
from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, RunArgument
from bitlm.cli.printing import text_console
from bitlm.cli.train import INTERRUPTED
from bitlm.distillation import TEACHER_WEIGHT, Floors, save_distilled_model
from bitlm.history.distilling import Student
from bitlm.history.distilling import distil as make_student
from bitlm.session import Origin
from bitlm.session.events import Source


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
    heads: Annotated[
        int | None,
        typer.Option(min=1, help="Of each layer, how many it keeps (default: all in proportion)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the student's weights and metrics.json as well.")
    ] = None,
    source: Annotated[Source, typer.Option(help="Who asks, for the new run's first event.")] = "cli",
    progress_lines: Annotated[
        bool, typer.Option("--progress", help="Each update as a line of JSON on the error stream.")
    ] = False,
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
    wanted = Student(share, floors, rounds, width_scale, steps, representatives, teacher_weight, heads)
    with open_store(data_dir, run) as (store, run_id):
        try:
            with lines(steps) if progress_lines else bar(steps) as tell:
                student, distilled = make_student(
                    store, run_id, wanted, step=checkpoint, progress=tell, source=source
                )
        except KeyboardInterrupt:
            text_console(stderr=True).print("stopped early; no run was made.")
            raise typer.Exit(INTERRUPTED) from None
        origin = store.run(student).origin
    if output is not None:
        save_distilled_model(distilled, output)
    assert origin is not None, "a student has one"
    _tell(student, origin, data_dir, as_json=as_json)


def _tell(student: str, origin: Origin, data_dir: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(student_record(student, origin)))
        return
    typer.echo(student_line(student, origin))
    where = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
    typer.echo(f'next: python -m bitlm generate --run {student} --prompt "The "{where}')
