"""Options that several commands share."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from bitlm.errors import ConfigError

DataDir = Annotated[
    Path, typer.Option(envvar="BITLM_DATA_DIR", help="Folder of the runs, shared with the dashboard.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line, and nothing else.")
]
WHICH_RUN = "The run's id or name, or 'latest': the one that something last happened to."
Run = Annotated[str, typer.Option(help=WHICH_RUN)]
RunArgument = Annotated[str, typer.Argument(help=WHICH_RUN)]
Checkpoint = Annotated[
    int | None, typer.Option(min=0, help="Step of a checkpoint to use instead of the newest.")
]
Model = Annotated[
    Path | None, typer.Option("--model", help="A model file that `save` wrote, instead of a run.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="name=value; repeat it for several settings.")
]

Temperature = Annotated[float, typer.Option(min=0.0, max=5.0, help="0 = the likeliest, 1 = as learned.")]
TopP = Annotated[float, typer.Option(min=0.01, max=1.0, help="Keep the likeliest bytes of this total.")]
TextSeed = Annotated[int, typer.Option(min=0, help="The same seed gives the same text.")]
Strict = Annotated[bool, typer.Option(help="Print nothing when the gate refuses; exit code 2.")]
SwitchModes = Annotated[
    bool, typer.Option("--switch-modes", help="Every other retry in the other mode, for objective=mixed.")
]

DEFAULT_DATA_DIR = Path(".bitlm")


def default_threads() -> int:
    """Return one thread fewer than there are cores, at least one: the last core serves everything else."""
    return max(1, len(os.sched_getaffinity(0)) - 1) if hasattr(os, "sched_getaffinity") else 1


def parsed(settings: list[str] | None) -> dict[str, Any]:
    """Return `name=value` pairs, the values being JSON where they can be."""
    parsed: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError("--set", setting, "write name=value, for example learning_rate=0.001.")
        try:
            parsed[name] = json.loads(value)
        except ValueError:
            parsed[name] = value
    return parsed
