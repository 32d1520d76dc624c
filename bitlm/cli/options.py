"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path, typer.Option(envvar="BITLM_DATA_DIR", help="Folder of the runs, shared with the dashboard.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line, and nothing else.")
]
Run = Annotated[str, typer.Option(help="The run's name, or 'latest'.")]
RunArgument = Annotated[str, typer.Argument(help="The run's id, or 'latest'.")]
Checkpoint = Annotated[
    int | None, typer.Option(min=0, help="Step of a checkpoint to use instead of the newest.")
]

DEFAULT_DATA_DIR = Path(".bitlm")


def default_threads() -> int:
    """Return one thread fewer than there are cores, at least one: the last core serves everything else."""
    return max(1, len(os.sched_getaffinity(0)) - 1) if hasattr(os, "sched_getaffinity") else 1
