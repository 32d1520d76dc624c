"""`bitlm effect`: what a run's figures were before and after something that happened to it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.history.effects import EffectReport, effect_of
from bitlm.telemetry import Estimate

VERDICTS = {
    "unknown": "too few values to say",
    "none": "no effect seen",
    "course": "its course before may explain it",
    "seen": "moved",
}


def effect(
    run: RunArgument,
    event: Annotated[int, typer.Argument(help="Id of the event; the journal lists the changes.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show a run's figures before and after a change, with 95 % intervals.

    It is an observation of some hundred steps on either side; what the change did is what the `twin` without
    it differs by.

    Examples:
      python -m bitlm journal latest

      python -m bitlm effect latest 17
    """
    with open_store(data_dir, run) as (store, run_id):
        found = effect_of(store, run_id, event)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _print_effect(found)


def _print_effect(found: EffectReport) -> None:
    console = Console(highlight=False, markup=False)
    title = f"run {found.run_id} before and after event {found.event_id} (step {found.step})"
    table = Table(title=title)
    for name in ("figure", "before", "after", "difference", ""):
        table.add_column(name, justify="left" if name in {"figure", ""} else "right")
    for name, one in found.quantities.items():
        if one.before or one.after:
            sides = [_written(side.estimate) if side else "" for side in (one.before, one.after)]
            table.add_row(name, *sides, _written(one.difference), VERDICTS[one.verdict])
    console.print(table)
    console.print(f"an observation; the proof: python -m bitlm twin {found.run_id} {found.event_id}")


def _written(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.high is None:
        return f"{estimate.mean:.4g}"
    return f"{estimate.mean:.4g} ± {estimate.high - estimate.mean:.2g}"
