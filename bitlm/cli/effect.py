"""`bitlm effect`: what a run's figures were before and after something that happened to it."""

from typing import Annotated

import typer
from rich import box
from rich.table import Table

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument
from bitlm.cli.printing import text_console
from bitlm.history.effects import EffectReport, effect_of
from bitlm.telemetry import Estimate

VERDICTS = {"seen": "moved", "course": "may be its course"}
QUIET = {"none": "no effect seen", "unknown": "too few values to say"}
"""Verdicts that a line is enough for, with no row of their own."""

NAMES = {"bits_per_byte": "train bpb", "validation_bits_per_byte": "held-out bpb"}
OF_THE_MACHINE = ("bytes_per_s", "resident_bytes", "telemetry_share")
"""Figures that say nothing of the model; --json has them."""


def effect(
    run: RunArgument,
    event: Annotated[int, typer.Argument(help="Id of the event: `journal` lists the changes.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show which of a run's figures moved at a change, with the 95 % interval of the difference.

    It is an observation of some hundred steps on either side; what the change did is what the `twin` without
    it differs by. --json has every figure, with an interval before and after.

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
    console = text_console()
    title = f"run {found.run_id} before and after event {found.event_id} (step {found.step})"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for name in ("figure", "before", "after", "difference", ""):
        table.add_column(name, justify="left" if name in {"figure", ""} else "right", no_wrap=True)
    quiet: dict[str, list[str]] = {}
    for column, one in found.quantities.items():
        if column in OF_THE_MACHINE or not (one.before or one.after):
            continue
        name = NAMES.get(column, column.replace("_", " "))
        if one.verdict in QUIET:
            quiet.setdefault(QUIET[one.verdict], []).append(name)
        else:
            means = [f"{side.estimate.mean:.4g}" if side else "" for side in (one.before, one.after)]
            table.add_row(name, *means, _written(one.difference), VERDICTS[one.verdict])
    if table.row_count:
        console.print(table)
    else:
        console.print(title, end="\n\n")
    for verdict, names in quiet.items():
        console.print(f"{verdict}: {', '.join(names)}")
    console.print(f"an observation; the proof: python -m bitlm twin {found.run_id} {found.event_id}")


def _written(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.high is None:
        return f"{estimate.mean:+.4g}"
    return f"{estimate.mean:+.3g} ± {estimate.high - estimate.mean:.2g}"
