"""`bitlm replay`: do a run again and see whether every bit comes out as it was saved."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.history.replay import Replay, Replayed


def replay(
    run: RunArgument = "latest",
    until: Annotated[int | None, typer.Option(min=0, help="Step to end with (default: the last).")] = None,
    verify_random: Annotated[
        int | None, typer.Option(min=1, help="Only so many random stretches between checkpoints.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which stretches --verify-random takes.")] = 0,
    progress_lines: Annotated[
        bool, typer.Option("--progress", help="Each step reached as a line of JSON on the error stream.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Do a run again, with every slider move, text and anneal of its journal, and compare.

    At each checkpoint ever saved, the hashes of weights and optimizer must be those recorded. Nothing
    is written. The exit code is 0 if all agree and 1 if not.

    Examples:
      python -m bitlm replay latest

      python -m bitlm replay 20261122-120000-ab12 --until 500

      python -m bitlm replay latest --verify-random 3 --json
    """
    console = Console(stderr=True, quiet=as_json or progress_lines, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with open_store(data_dir, run) as (store, run_id), Progress(*columns, console=console) as progress:
        task = progress.add_task(f"replaying {run_id}", total=None)

        def note(step: int, last: int) -> None:
            if progress_lines:
                sys.stderr.write(json.dumps({"step": step, "until": last}) + "\n")
            progress.update(task, completed=step, total=last, description=f"step {step} of {last}")

        again = Replay(store, run_id)
        if verify_random is None:
            stretches = [again.all(until=until, progress=note)]
        else:
            stretches = list(again.random_stretches(verify_random, seed=seed, progress=note))
        other_version = again.record.config.version if again.version_differs else None
    same = all(stretch.same for stretch in stretches)
    if as_json:
        answer = {"run_id": run_id, "same": same, "stretches": [_record(one) for one in stretches]}
        typer.echo(json.dumps(answer | {"made_by_version": other_version}))
    else:
        _print(run_id, stretches, other_version)
    if not same:
        raise typer.Exit(1)


def _record(stretch: Replayed) -> dict[str, Any]:
    checkpoints = [
        {
            "step": comparison.step,
            "same": comparison.same,
            "expected": vars(comparison.expected),
            "found": vars(comparison.found) if comparison.found else None,
        }
        for comparison in stretch.comparisons
    ]
    return {"from_step": stretch.from_step, "until": stretch.until, "checkpoints": checkpoints}


def _print(run_id: str, stretches: list[Replayed], other_version: str | None) -> None:
    console = Console(highlight=False)
    if other_version:
        console.print(f"run {run_id} was made by BitLM {other_version}: this version may round differently.")
    for stretch in stretches:
        console.print(f"steps {stretch.from_step} to {stretch.until}:")
        for comparison in stretch.comparisons:
            word = "same" if comparison.same else f"DIFFERENT {comparison.detail}"
            console.print(f"  step {comparison.step:>8}  {comparison.expected.weights[:12]}  {word}")
    compared = sum(len(stretch.comparisons) for stretch in stretches)
    differing = sum(not one.same for stretch in stretches for one in stretch.comparisons)
    verdict = "every bit came out again" if not differing else f"{differing} of them differ"
    console.print(f"{compared} checkpoint{'s' if compared != 1 else ''} compared: {verdict}.")
