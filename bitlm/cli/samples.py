"""`bitlm samples`: what a run made of one prompt, along its training."""

import json

import typer
from rich.console import Console

from bitlm.cli.opening import open_store
from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, RunArgument


def samples(run: RunArgument = "latest", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the samples that were drawn along a run's training, the newest last.

    `train --sample-every` has them drawn, always with the same seed.

    Examples:
      python -m bitlm samples

      python -m bitlm samples latest --json
    """
    with open_store(data_dir, run) as (store, run_id):
        found = store.samples.page(run_id)
    if as_json:
        records = [one.model_dump(mode="json") for one in found]
        typer.echo(json.dumps({"run_id": run_id, "samples": records}))
        return
    if not found:
        typer.echo(
            f"run {run_id} has no samples along training; "
            f"next: python -m bitlm train --run {run_id} --sample-every 500"
        )
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for one in found:
        figures = f"{one.bits_per_byte:.2f} bpb  K {one.K:.2f}  C {one.C:.2f}  S {one.S:.2f}"
        console.rule(f"step {one.step}  {figures}", align="left", style="dim")
        console.print(one.schedule.prompt, style="dim", end="")
        console.print(one.text)
