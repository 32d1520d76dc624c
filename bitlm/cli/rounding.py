"""`bitlm rounding`: what a run's model in fewer bits a weight takes and costs."""

import json
import sys
from typing import Annotated

import typer

from bitlm.cli.opening import open_run
from bitlm.cli.options import DEFAULT_DATA_DIR, Checkpoint, DataDir, Json, RunArgument
from bitlm.cli.save import MEASURED_BYTES
from bitlm.rounding import RoundedFile, rounded_files


def rounding(
    run: RunArgument = "latest",
    checkpoint: Checkpoint = None,
    progress_lines: Annotated[
        bool, typer.Option("--progress", help="How many are measured as a line of JSON on the error stream.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Say what a run's model in eight and four bits a weight takes, and what it costs; keep nothing.

    The figures are those of the files that `save --weights` writes, and of their receipts: bytes, and bits
    per byte on held-out text before and after.

    Examples:
      python -m bitlm rounding latest

      python -m bitlm rounding 20261122-120000-ab12 --checkpoint 400 --json
    """
    session = open_run(data_dir, run, checkpoint)
    files = []
    for file in rounded_files(session, MEASURED_BYTES):
        files.append(file)
        if progress_lines:
            sys.stderr.write(json.dumps({"measured": len(files)}) + "\n")
    if as_json:
        told = [file.model_dump(mode="json") for file in files]
        typer.echo(json.dumps({"run_id": session.run_id, "step": session.step_count, "files": told}))
        return
    for file in files:
        typer.echo(_line(file))


def _line(file: RoundedFile) -> str:
    before, after = file.receipt.bits_per_byte
    size = f"{file.bytes:,} bytes, {file.share:.3f} of float32's"
    cost = f"{before:.4f} → {after:.4f} bits per byte held out"
    return f"{file.precision}: {size}; {cost}, logits change by {file.receipt.logit_difference:.3g} at most"
