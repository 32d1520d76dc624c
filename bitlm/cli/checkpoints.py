"""`bitlm checkpoints`: what of a run is on the disk to go back to."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.history.branching import delete_checkpoint

checkpoints = typer.Typer(
    help="List, name and delete checkpoints; `fork`, `generate` and `evaluate` load one.",
    no_args_is_help=True,
)
Step = Annotated[int, typer.Argument(help="Step of the checkpoint.")]


@checkpoints.command("list")
def list_checkpoints(run: RunArgument, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List a run's checkpoints, the newest first.

    Examples:
      python -m bitlm checkpoints list latest
    """
    with open_store(data_dir, run) as (store, run_id):
        records = store.checkpoints.of(run_id)
    if as_json:
        typer.echo(json.dumps({"run_id": run_id, "checkpoints": [one.model_dump() for one in records]}))
        return
    table = Table(title=f"run {run_id}")
    for title in ("step", "name", "held-out bpb", "bytes", "state"):
        table.add_column(title, justify="left" if title in {"name", "state"} else "right")
    for one in records:
        quality = f"{one.validation_bits_per_byte:.3f}" if one.validation_bits_per_byte is not None else ""
        table.add_row(str(one.step), one.name or "", quality, str(one.bytes), one.state)
    Console(highlight=False).print(table)


@checkpoints.command()
def name(
    run: RunArgument, step: Step,
    name: Annotated[str, typer.Argument(help="What to call it; '' takes the name away.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:  # fmt: skip
    """Name a checkpoint, which keeps it until it is deleted.

    Examples:
      python -m bitlm checkpoints name latest 400 "before the anneal"
    """
    with open_store(data_dir, run) as (store, run_id):
        store.checkpoints.rename(store.checkpoints.at(run_id, step), name or None)


@checkpoints.command()
def delete(
    run: RunArgument, step: Step,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:  # fmt: skip
    """Delete a checkpoint for good; what was measured stays.

    Examples:
      python -m bitlm checkpoints delete latest 400
    """
    with open_store(data_dir, run) as (store, run_id):
        store.checkpoints.at(run_id, step, damaged=True)
        if not yes:
            typer.confirm(f"Delete the checkpoint of step {step} of run {run_id} for good?", abort=True)
        delete_checkpoint(store, run_id, step, source="cli")
    typer.echo(f"the checkpoint of step {step} is deleted.")
