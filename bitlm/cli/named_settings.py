"""Options of `train` that stand for a `--set`, under the names that people look for."""

from typing import Annotated

import typer

from bitlm.errors import ConfigError

Diffusion = Annotated[bool, typer.Option("--diffusion", help="Learn to denoise: --set objective=diffusion.")]
Qat = Annotated[bool, typer.Option("--qat", help="Train for weights of four bits: --set qat=true.")]
Reversible = Annotated[
    bool, typer.Option("--reversible", help="Memory that depth does not add to: --set memory=recompute.")
]
CheckpointLayers = Annotated[
    bool | None,
    typer.Option(
        "--checkpoint/--no-checkpoint",
        help="Keep each layer's input alone, or everything: --set memory=checkpoint, memory=store.",
    ),
]

STANDS_FOR: dict[str, dict[bool | None, str]] = {
    "diffusion": {True: "objective=diffusion"},
    "qat": {True: "qat=true"},
    "reversible": {True: "memory=recompute"},
    "checkpoint": {True: "memory=checkpoint", False: "memory=store"},
}
"""The settings, by option and its value."""


def with_named(
    settings: list[str] | None, diffusion: bool, qat: bool, reversible: bool, checkpoint: bool | None
) -> list[str]:
    """Return the settings, those that an option stands for among them.

    Raises:
        ConfigError: A setting is given twice.
    """
    asked = {"diffusion": diffusion, "qat": qat, "reversible": reversible, "checkpoint": checkpoint}
    every = list(settings or [])
    given = {setting.partition("=")[0] for setting in every}
    for option, value in asked.items():
        setting = STANDS_FOR[option].get(value)
        if setting is None:
            continue
        name = setting.partition("=")[0]
        if name in given:
            raise ConfigError(f"--{option}", setting, f"{name} is given already; say it once.")
        given.add(name)
        every.append(setting)
    return every
