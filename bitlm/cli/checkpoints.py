"""`bitlm checkpoints`: what of a run is on the disk to go back to."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.cli.printing import text_console
from bitlm.history.branching import delete_checkpoint
from bitlm.session.checkpoint_table import CheckpointRecord, best_of

checkpoints = typer.Typer(
    help="List, name and delete checkpoints; `fork`, `generate` and `evaluate` load one.",
    no_args_is_help=True,
)
Step = Annotated[int, typer.Argument(help="Step of the checkpoint.")]


@checkpoints.command("list")
def list_checkpoints(
    run: RunArgument = "latest", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """List a run's checkpoints, the newest first.

    Examples:
      python -m bitlm checkpoints list
    """
    with open_store(data_dir, run) as (store, run_id):
        records = store.checkpoints.of(run_id)
    if as_json:
        typer.echo(json.dumps({"run_id": run_id, "checkpoints": _told(records)}))
        return
    best = best_of(records)
    table = Table(title=f"run {run_id}")
    for title in ("step", "saved at", "name", "held-out bpb", "bytes", ""):
        table.add_column(title, justify="left" if title in {"name", ""} else "right")
    for one in records:
        quality = f"{one.validation_bits_per_byte:.3f}" if one.validation_bits_per_byte is not None else ""
        state = "damaged" if one.state == "damaged" else "best" if one is best else ""
        table.add_row(str(one.step), _moment(one.at), one.name or "", quality, f"{one.bytes:,}", state)
    text_console().print(table)


def _told(records: list[CheckpointRecord]) -> list[dict[str, Any]]:
    best = best_of(records)
    return [one.model_dump() | {"is_best": one is best} for one in records]


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@checkpoints.command()
def name(
    run: RunArgument, step: Step,
    name: Annotated[str, typer.Argument(help="What to call it; '' takes the name away.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Name a checkpoint, which keeps it until it is deleted.

    Examples:
      python -m bitlm checkpoints name latest 400 "before the anneal"
    """
    with open_store(data_dir, run) as (store, run_id):
        record = store.checkpoints.at(run_id, step)
        store.checkpoints.rename(record, name or None)
        records = _told(store.checkpoints.of(run_id))
    if as_json:
        (told,) = (one for one in records if one["event_id"] == record.event_id)
        typer.echo(json.dumps(told))
        return
    typer.echo(
        f"the checkpoint of step {step} is called {name!r} and is kept until you delete it."
        if name
        else f"the checkpoint of step {step} has no name."
    )


@checkpoints.command()
def delete(
    run: RunArgument, step: Step,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Delete a checkpoint for good; what was measured stays.

    Examples:
      python -m bitlm checkpoints delete latest 400
    """
    with open_store(data_dir, run) as (store, run_id):
        store.checkpoints.at(run_id, step, damaged=True)
        if not yes:
            question = f"Delete the checkpoint of step {step} of run {run_id} for good?"
            typer.confirm(question, abort=True, err=True)
        delete_checkpoint(store, run_id, step, source="cli")
        left = store.checkpoints.of(run_id)
    if as_json:
        typer.echo(json.dumps({"run_id": run_id, "checkpoints": _told(left)}))
    else:
        typer.echo(f"the checkpoint of step {step} is deleted.")
