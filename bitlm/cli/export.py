"""`bitlm export`: a run's past for other programs and for people."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.errors import ConfigError
from bitlm.history.aside import written_aside
from bitlm.history.export import export_csv, export_jsonl, export_tensorboard
from bitlm.history.report import report_html
from bitlm.session import RunStore

Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Format = Literal["csv", "jsonl", "tensorboard", "report"]


def export(
    run: RunArgument = "latest",
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = "csv",
    output: Annotated[
        Path | None, typer.Option(help="File, or folder for tensorboard (default: standard output).")
    ] = None,
    force: Force = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write a run's metrics (csv), metrics and events (jsonl), TensorBoard's files or a report.

    csv and jsonl hold every step at full precision. The report is one HTML page that needs no network.

    Examples:
      python -m bitlm export latest --format csv --output metrics.csv

      python -m bitlm export latest --format jsonl | tail -n 1

      python -m bitlm export 20261122-120000-ab12 --format report --output report.html
    """
    if output is None and (as_json or form in {"tensorboard", "report"}):
        raise typer.BadParameter("say with --output where to write it.")
    with open_store(data_dir, run) as (store, run_id):
        if output is None:
            for piece in _pieces(store, run_id, form):
                typer.echo(piece, nl=False)
            return
        if form == "tensorboard":
            place = _write_tensorboard(store, run_id, output, force=force)
        else:
            place = output
            refuse_to_overwrite(place, force=force)
            with written_aside(place) as file:
                for piece in _pieces(store, run_id, form):
                    file.write(piece.encode())
    if as_json:
        typer.echo(json.dumps({"run_id": run_id, "format": form, "output": str(place)}))
    else:
        typer.echo(f"run {run_id} is written to {place}.")


def refuse_to_overwrite(path: Path, *, force: bool) -> None:
    """Check that nothing is lost.

    Raises:
        ConfigError: There is a file already, and it is not to be replaced; or a folder is in the way.
    """
    if path.is_dir():
        raise ConfigError("output", str(path), "it is a folder; name a file.")
    if path.exists() and not force:
        raise ConfigError("output", str(path), "there is such a file; give --force to replace it.")


def _pieces(store: RunStore, run_id: str, form: Format) -> Iterator[str]:
    if form == "csv":
        return export_csv(store, run_id)
    if form == "jsonl":
        return export_jsonl(store, run_id)
    return iter([report_html(store, run_id)])


def _write_tensorboard(store: RunStore, run_id: str, folder: Path, *, force: bool) -> Path:
    before = sorted((folder / run_id).glob("events.out.tfevents.*"))
    if before and not force:
        raise ConfigError("output", str(folder), "it has this run already; give --force to replace it.")
    place = export_tensorboard(store, run_id, folder)
    for path in before:
        path.unlink()
    return place
