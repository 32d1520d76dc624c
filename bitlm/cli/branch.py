"""`bitlm fork`, `rollback`, `twin`, `compare` and `journal`: arguing with a run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from bitlm.cli.growing import receipt_line
from bitlm.cli.opening import open_folder, open_store, resolved
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, RunArgument, Settings, parsed
from bitlm.cli.printing import text_console
from bitlm.errors import ConfigError
from bitlm.growth import GROWTHS, Growth
from bitlm.history.branching import fork as make_fork
from bitlm.history.branching import roll_back
from bitlm.history.branching import twin as make_twin
from bitlm.history.comparison import Comparison
from bitlm.history.comparison import compare as compare_runs
from bitlm.history.narration import TOLD_KINDS, sentence, source_name
from bitlm.session import Session, SetTelemetry, TelemetrySettings


def fork(
    run: RunArgument = "latest",
    checkpoint: Checkpoint = None,
    settings: Settings = None,
    growth: Annotated[
        str | None,
        typer.Option(
            "--grow", metavar="layer|width|context", help="Make the model larger; it predicts the same."
        ),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a run that begins at a checkpoint of another, with other settings or a larger model if you like.

    Settings are those of training, dropout, act_threshold, memory, seed, the λ and the floors. With --grow
    the model has a layer more, twice the width or twice the window, and a receipt says what that changed.

    Examples:
      python -m bitlm fork latest --checkpoint 400 --set learning_rate=0.001

      python -m bitlm fork 20261122-120000-ab12 --set lambda_K=0.1

      python -m bitlm fork latest --grow layer
    """
    chosen = parsed(settings)
    told = {name: chosen.pop(name) for name in list(chosen) if name in TelemetrySettings.model_fields}
    with open_store(data_dir, run) as (store, run_id):
        branch = make_fork(
            store, run_id, step=checkpoint, settings=chosen, telemetry=_command(told),
            growth=_growth(growth), source="cli",
        )  # fmt: skip
        origin = store.run(branch).origin
        assert origin is not None, "a fork has one"
        session = Session.open(store, branch)
        session.close()
        answer = {"run_id": branch, "fork_of": run_id, "step": session.step_count}
    grown = origin.growth
    answer |= {"growth": grown.model_dump()} if grown else {}
    _tell(
        answer,
        f"run {branch} begins at step {session.step_count} of run {run_id}."
        + (f" {receipt_line(grown)}" if grown else ""),
        data_dir,
        as_json=as_json,
    )


def _growth(asked: str | None) -> Growth | None:
    for growth in GROWTHS:
        if asked == growth:
            return growth
    if asked is not None:
        raise ConfigError("grow", asked, f"use one of {', '.join(GROWTHS)}.")
    return None


def rollback(
    run: RunArgument = "latest", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Make a run that begins where another was still well, at half its learning rate.

    Where that was is what its last alert says; without one, its newest checkpoint. The new run pauses at its
    next alert.

    Examples:
      python -m bitlm rollback latest
    """
    with open_store(data_dir, run) as (store, run_id):
        branch = roll_back(store, run_id, source="cli")
        session = Session.open(store, branch)
        session.close()
        answer = {"run_id": branch, "rollback_of": run_id, "step": session.step_count}
    begins = f"run {branch} begins at step {session.step_count} of run {run_id}"
    _tell(
        answer,
        f"{begins}, with a learning rate of {session.config.training.learning_rate:g}.",
        data_dir,
        as_json=as_json,
    )


def twin(
    run: RunArgument,
    event: Annotated[int, typer.Argument(help="Id of the change in the run's journal.")],
    settings: Settings = None,
    undo: Annotated[bool, typer.Option("--undo", help="End where the change was, and go on freely.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Train the run that would have been without one change, or with another in its place.

    It goes as far as the original did, under the same other commands.

    Examples:
      python -m bitlm journal latest

      python -m bitlm twin latest 17

      python -m bitlm twin latest 17 --set lambda_K=0.3

      python -m bitlm twin latest 17 --undo
    """
    instead = parsed(settings) or None
    with open_store(data_dir, run) as (store, run_id):
        branch = make_twin(store, run_id, event, instead=instead, undo=undo, source="cli")
        session = Session.open(store, branch)
        assert session.plan_ends_at is not None, "a twin has a plan"
        console = Console(stderr=True, quiet=as_json)
        with console.status("") as status:
            while session.step_count < session.plan_ends_at:
                done = session.step()
                status.update(f"step {done.step} of {session.plan_ends_at}  {done.bits_per_byte:.3f} bpb")
        session.save()
        session.close()
        found = compare_runs(store, [run_id, branch])
    answer = {"run_id": branch, "twin_of": run_id, "step": session.step_count}
    answer["first_difference"] = found.first_difference
    if undo:
        said = f"run {branch} is run {run_id} as it was before event {event}, at step {session.step_count}."
    else:
        said = f"run {branch} is the twin of {run_id}: of {found.compared_steps} steps it {_where(found)}."
    _tell(answer, said, data_dir, as_json=as_json)


def compare(
    runs: Annotated[list[str], typer.Argument(help="Ids or names of 2 to 8 runs.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show what differs between runs: settings, commands, figures, and from which step on.

    Examples:
      python -m bitlm compare 20261122-120000-ab12 20261122-130000-cd34
    """
    with open_folder(data_dir) as store:
        found = compare_runs(store, [resolved(store, run) for run in runs])
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _print_comparison(found)


def journal(run: RunArgument = "latest", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List every command a run was given: its id, step, who asked, and what.

    Examples:
      python -m bitlm journal latest
    """
    with open_store(data_dir, run) as (store, run_id):
        entries = store.all_events(run_id, kinds=TOLD_KINDS)
        origin = store.run(run_id).origin
    if as_json:
        said = [entry.model_dump(mode="json") for entry in entries]
        typer.echo(json.dumps({"run_id": run_id, "entries": said}))
        return
    table = Table(title=f"journal of run {run_id}")
    for title in ("event", "step", "by", "what"):
        table.add_column(title)
    for entry in entries:
        table.add_row(str(entry.event_id), str(entry.step), source_name(entry), sentence(entry))
    console = text_console()
    if entries:
        console.print(table)
    else:
        console.print(f"run {run_id} was not told anything yet.")
    if origin is not None:
        began = f"it began as run {origin.run_id} at step {origin.step}"
        console.print(f"{began}; what that was told: python -m bitlm journal {origin.run_id}")


def _where(found: Comparison) -> str:
    if found.first_difference is None:
        return "differs nowhere"
    return f"differs from step {found.first_difference} on"


def _command(told: dict[str, Any]) -> SetTelemetry | None:
    try:
        return SetTelemetry(**told) if told else None
    except ValidationError as error:
        raise ConfigError.of(error, SetTelemetry) from error


def _tell(answer: dict[str, Any], said: str, data_dir: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer))
        return
    typer.echo(said)
    where = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
    typer.echo(f"next: python -m bitlm train --run {answer['run_id']} --minutes 5{where}")


def _print_comparison(found: Comparison) -> None:
    console = text_console()
    table = Table(title="only what differs")
    table.add_column("")
    for run in found.runs:
        table.add_column(run.name or run.run_id)
    table.add_row("step", *(str(run.step) for run in found.runs))
    for title, name in (("train bpb", "bits_per_byte"), ("held-out bpb", "validation_bits_per_byte")):
        figures = [getattr(run, name) for run in found.runs]
        table.add_row(title, *("" if figure is None else f"{figure:.3f}" for figure in figures))
    for row in found.config:
        table.add_row(row.field, *(str(value) for value in row.values))
    for entry in found.journal:
        table.add_row(f"step {entry.step} {entry.kind}", *("yes" if told else "" for told in entry.values))
    console.print(table)
    where = f"from step {found.first_difference} on" if found.first_difference is not None else "nowhere"
    console.print(f"{found.compared_steps} steps done by all; the losses differ {where}.")
