"""`bitlm capsule` and `bitlm verify`: handing a run over, and checking one that was handed over."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bitlm.cli.export import Force, refuse_to_overwrite
from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.history.capsule import write_capsule
from bitlm.history.verification import CapsuleReport, verify_capsule


def capsule(
    output: Annotated[Path, typer.Option(help="The file to write.")],
    run: RunArgument = "latest",
    with_text: Annotated[
        bool, typer.Option("--with-text/--without-text", help="Put in the texts it was trained on.")
    ] = True,
    force: Force = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write a run as one file that anyone can verify: texts, settings, journal, hashes and report.

    Without the texts it can still be read, but be done again only by who has them. Names, samples and
    prompts are in it either way.

    Examples:
      python -m bitlm capsule latest --output run.zip

      python -m bitlm capsule 20261122-120000-ab12 --output run.zip --without-text
    """
    refuse_to_overwrite(output, force=force)
    with open_store(data_dir, run) as (store, run_id):
        manifest = write_capsule(store, run_id, output, with_text=with_text)
    size = output.stat().st_size
    if as_json:
        answer = {"run_id": run_id, "output": str(output), "bytes": size, "members": sorted(manifest.members)}
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"run {run_id} is written to {output} ({size:,} bytes).")
        typer.echo(f"next: python -m bitlm verify {output}")


def verify(
    file: Annotated[Path, typer.Argument(help="The capsule.")],
    until: Annotated[
        int | None, typer.Option(min=0, help="Step to end with (default: the last checkpoint).")
    ] = None,
    integrity_only: Annotated[
        bool, typer.Option("--integrity-only", help="Check the bytes; do not do the run again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that a capsule is whole, then do its run again and compare every checkpoint's hashes.

    The exit code is 0 if the capsule is whole and every checkpoint came out again to the last bit, and
    1 if not, or if the run could not be done again.

    Examples:
      python -m bitlm verify run.zip

      python -m bitlm verify run.zip --until 500

      python -m bitlm verify run.zip --integrity-only --json
    """
    console = Console(stderr=True, quiet=as_json, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"verifying {file.name}", total=None)

        def note(step: int, last: int) -> None:
            progress.update(task, completed=step, total=last, description=f"step {step} of {last}")

        report = verify_capsule(file, until=until, integrity_only=integrity_only, progress=note)
    if as_json:
        typer.echo(json.dumps(_record(report)))
    else:
        _print(report)
    if not report.same or (report.not_executed and not integrity_only):
        raise typer.Exit(1)


def _record(report: CapsuleReport) -> dict[str, Any]:
    return {
        "run_id": report.manifest.run_id if report.manifest else None,
        "intact": report.intact,
        "same": report.same,
        "problems": list(report.problems),
        "not_executed": report.not_executed or None,
        "checkpoints": [
            {
                "step": comparison.step,
                "same": comparison.same,
                "expected": vars(comparison.expected),
                "found": vars(comparison.found) if comparison.found else None,
            }
            for comparison in report.comparisons
        ],
        "environment": [
            {"field": field, "there": there, "here": here} for field, there, here in report.differences
        ],
    }


def _print(report: CapsuleReport) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for problem in report.problems:
        console.print(problem)
    if report.intact and report.manifest is not None:
        count = len(report.manifest.members)
        console.print(f"run {report.manifest.run_id}: all {count} members are what was written.")
    for field, there, here in report.differences:
        console.print(
            f"{field} was {there} where it was written and is {here} here: the last bits may differ."
        )
    for comparison in report.comparisons:
        word = "same" if comparison.same else f"DIFFERENT {comparison.detail}"
        console.print(f"  step {comparison.step:>8}  {comparison.expected.weights[:12]}  {word}")
    if report.not_executed:
        console.print(f"The run was not done again: {report.not_executed}.")
        return
    differing = sum(not comparison.same for comparison in report.comparisons)
    verdict = "every bit came out again" if not differing else f"{differing} of them differ"
    compared = len(report.comparisons)
    console.print(f"{compared} checkpoint{'s' if compared != 1 else ''} compared: {verdict}.")
