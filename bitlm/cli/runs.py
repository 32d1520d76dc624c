"""`bitlm runs`: what there is, what it is called, and getting rid of it."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from bitlm.cli.opening import LATEST, open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.errors import ConfigError
from bitlm.history.narration import branch_of
from bitlm.session import RunRecord, RunStore
from bitlm.session.run_lock import RunLock

runs = typer.Typer(help="List, rename, tag, archive, throw away and delete runs.", no_args_is_help=True)


@runs.command("list")
def list_runs(
    everything: Annotated[bool, typer.Option("--all", help="Archived runs as well.")] = False,
    trashed: Annotated[bool, typer.Option("--trashed", help="The runs in the trash instead.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List the runs, the newest first.

    Examples:
      python -m bitlm runs list

      python -m bitlm runs list --all --json
    """
    with closing(RunStore(data_dir)) as store:
        found = store.runs(trashed=trashed)
    records = [record for record in found if everything or trashed or not record.archived]
    if as_json:
        typer.echo(json.dumps({"runs": [record.model_dump(mode="json") for record in records]}))
        return
    if not records:
        typer.echo(_none(found, data_dir, trashed=trashed))
        return
    table = Table()
    for title in ("run", "name", "tags", "step", "held-out bpb", "branch of"):
        justify: Literal["left", "right"] = "right" if title in {"step", "held-out bpb"} else "left"
        table.add_column(title, justify=justify, no_wrap=title == "run", overflow="fold")
    for record in records:
        table.add_row(*_row(record))
    Console(highlight=False).print(table)


def _none(found: list[RunRecord], data_dir: Path, *, trashed: bool) -> str:
    if trashed:
        return "the trash is empty."
    if found:
        return f"every run in {data_dir} is archived: --all lists them."
    return f"there are no runs in {data_dir} yet; next: python -m bitlm train"


def _row(record: RunRecord) -> tuple[str, ...]:
    quality, origin = record.validation_bits_per_byte, record.origin
    return (
        record.run_id,
        record.name or "",
        " ".join(record.tags),
        str(record.last_step),
        f"{quality:.3f}" if quality is not None else "",
        branch_of(origin) if origin else "",
    )


@runs.command()
def rename(
    run: RunArgument, name: Annotated[str, typer.Argument(help="What to call it; '' takes the name away.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Give a run a name.

    Examples:
      python -m bitlm runs rename latest "higher lambda"
    """
    with open_store(data_dir, run) as (store, run_id):
        record = store.run(run_id)
        store.label_run(run_id, name=name or None, tags=record.tags, archived=record.archived)
        said = f"run {run_id} is called {name!r}." if name else f"run {run_id} has no name."
        _tell(store, run_id, said, as_json=as_json)


@runs.command()
def tag(
    run: RunArgument,
    tags: Annotated[list[str] | None, typer.Argument(help="All its tags; none removes them.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Set a run's tags.

    Examples:
      python -m bitlm runs tag latest baseline keep
    """
    with open_store(data_dir, run) as (store, run_id):
        record = store.run(run_id)
        store.label_run(run_id, name=record.name, tags=tuple(tags or ()), archived=record.archived)
        said = f"run {run_id} is tagged {', '.join(tags)}." if tags else f"run {run_id} has no tags."
        _tell(store, run_id, said, as_json=as_json)


@runs.command()
def archive(
    run: RunArgument,
    back: Annotated[bool, typer.Option("--back", help="Take it out of the archive.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Put a run away: it is listed only with --all and not taken up by the dashboard.

    Examples:
      python -m bitlm runs archive 20261122-120000-ab12
    """
    with open_store(data_dir, run) as (store, run_id):
        record = store.run(run_id)
        store.label_run(run_id, name=record.name, tags=record.tags, archived=not back)
        undo = "" if back else f"; back: python -m bitlm runs archive {run_id} --back"
        said = f"run {run_id} is {'no longer ' if back else ''}archived{undo}."
        _tell(store, run_id, said, as_json=as_json)


@runs.command()
def trash(run: RunArgument, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Throw a run away, as the page does: it keeps all it has until it is restored or deleted.

    Examples:
      python -m bitlm runs trash 20261122-120000-ab12
    """
    with open_store(data_dir, run) as (store, run_id), _kept_from_others(store, run_id):
        store.trash_run(run_id, time.time())
        said = f"run {run_id} is in the trash; back: python -m bitlm runs restore {run_id}"
        _tell(store, run_id, said, as_json=as_json)


@runs.command()
def restore(
    run: Annotated[str, typer.Argument(help="The run's id or name.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Take a run out of the trash.

    Examples:
      python -m bitlm runs list --trashed

      python -m bitlm runs restore 20261122-120000-ab12
    """
    with open_store(data_dir, run) as (store, run_id):
        store.trash_run(run_id, None)
        _tell(store, run_id, f"run {run_id} is back.", as_json=as_json)


@runs.command()
def delete(
    run: Annotated[str, typer.Argument(help="The run's id or name; 'latest' is not taken.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Delete a run for good, with its metrics, journal and checkpoints; `trash` can be undone.

    Examples:
      python -m bitlm runs delete 20261122-120000-ab12
    """
    if run == LATEST:
        raise ConfigError("run", run, "name the run that is to be deleted by its id.")
    with open_store(data_dir, run) as (store, run_id):
        record = store.run(run_id)
        if not yes:
            typer.confirm(f"Delete run {run_id} ({record.last_step} steps) for good?", abort=True, err=True)
        with _kept_from_others(store, run_id):
            store.delete_run(run_id)
    typer.echo(json.dumps({"run_id": run_id}) if as_json else f"run {run_id} is deleted.")


def _tell(store: RunStore, run_id: str, said: str, *, as_json: bool) -> None:
    """Say what was done; as JSON what the run is now, as `list` has it."""
    typer.echo(store.run(run_id).model_dump_json() if as_json else said)


@contextmanager
def _kept_from_others(store: RunStore, run_id: str) -> Iterator[None]:
    """Let nobody write the run meanwhile.

    Raises:
        RunBusyError: Somebody does.
    """
    lock = RunLock(store.run_dir(run_id))
    try:
        yield
    finally:
        lock.release()
