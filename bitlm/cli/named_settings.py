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


def with_named(
    settings: list[str] | None, diffusion: bool, qat: bool, reversible: bool, checkpoint: bool | None
) -> list[str]:
    """Return the settings, those that an option stands for among them.

    Raises:
        ConfigError: A setting is given twice.
    """
    asked = {
        "--diffusion": "objective=diffusion" if diffusion else None,
        "--qat": "qat=true" if qat else None,
        "--reversible": "memory=recompute" if reversible else None,
        "--checkpoint": None if checkpoint is None else f"memory={'checkpoint' if checkpoint else 'store'}",
    }
    every = list(settings or [])
    given = {setting.partition("=")[0] for setting in every}
    for option, setting in asked.items():
        if setting is None:
            continue
        name = setting.partition("=")[0]
        if name in given:
            raise ConfigError(option, setting, f"{name} is given already; say it once.")
        given.add(name)
        every.append(setting)
    return every
