"""Larger models that predict what the smaller one did; docs/growth.md has the mathematics."""

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from bitlm.errors import ConfigError
from bitlm.growth.widening import widening_of
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import generator

Growth = Literal["layer", "width", "context"]
"""A layer more, everything twice as wide, or a window twice as long."""

GROWTHS: tuple[Growth, ...] = get_args(Growth)

GAINS = ("attention.out_norm.weight", "feedforward.out_norm.weight")
"""What a block's branches are multiplied by before they are added to the streams."""


def grown_config(config: ModelConfig, growth: Growth) -> ModelConfig:
    """Return the shape after a growth.

    Raises:
        ConfigError: It would be out of a setting's range; or there is no such growth.
    """
    if growth == "layer":
        return replace(config, num_layers=config.num_layers + 1)
    if growth == "width":
        return replace(
            config,
            d_model=2 * config.d_model,
            nhead=2 * config.nhead,
            dim_feedforward=2 * config.dim_feedforward,
            sinusoid_width=config.sinusoid_width or config.d_model,
        )
    if growth == "context":
        return replace(config, max_seq_len=2 * config.window_bytes * config.frame_bits)
    raise ConfigError("growth", growth, f"use one of {', '.join(GROWTHS)}.")


def grow(model: BitTransformer, growth: Growth, *, seed: int = 0) -> BitTransformer:
    """Return what `add_layer`, `double_width` or `double_length` does.

    Args:
        model: Stays as it is.
        growth: Which of them.
        seed: Decides what is new, alone.

    Raises:
        ConfigError: The new shape would be out of a setting's range; or there is no such growth.
    """
    grown = BitTransformer(grown_config(model.config, growth), seed=seed)
    if growth == "layer":
        _silence(grown, model.config.num_layers)
    weights = grown.state_dict()
    for name, weight in model.state_dict().items():
        weights[name] = _wider(name, weight, seed) if growth == "width" else weight
    grown.load_state_dict(weights)
    grown.reference = model.reference
    grown.trunk.memory, grown.trunk.autocast = model.trunk.memory, model.trunk.autocast
    return grown.to(model.head.weight.device).train(model.training)


def add_layer(model: BitTransformer, *, seed: int = 0) -> BitTransformer:
    """Return a model of one layer more that predicts the same, to the last bit.

    The new layer is the last, with weights as fresh ones are, but for the gains of the norms after its
    branches, which are 0. What is before a norm cannot be: a norm makes the least output as great as any. The
    gains learn from the first update on, all that is behind them from the second.

    On top the numbers of layers stay, and with them what dropout draws; and with ACT nothing is halted by the
    unit that the former last layer gets but a layer that adds nothing. The mean depth is greater, of course.

    Args:
        model: Stays as it is; the new one has copies of its weights, its reference, memory mode and mode.
        seed: Decides the new weights, alone.

    Raises:
        ConfigError: There would be too many layers or parameters.

    Source: Chen et al., "Net2Net", ICLR 2016; gains of 0 as in Bachlechner et al., "ReZero", UAI 2021.
    """
    return grow(model, "layer", seed=seed)


def double_width(model: BitTransformer, *, seed: int = 0) -> BitTransformer:
    """Return a model of twice the width that predicts the same, up to rounding.

    Streams, heads and hidden units are there twice, heads as wide as before; `bitlm.growth.widening` says
    how, and why the copies part. Sums have another order, so what they give may fall on the next step of the
    activation grid: logits differ by less than a thousandth, or, where they are great, by less than a
    ten-thousandth of the greatest, as they do between `forward` and decoding. With ACT a position whose
    accumulated halting is that near to its threshold may halt a layer sooner or later, which is more.

    Args:
        model: Stays as it is; the new one has its reference, memory mode and mode.
        seed: Decides how weights are split, alone.

    Raises:
        ConfigError: It would be too wide.
    """
    return grow(model, "width", seed=seed)


def double_length(model: BitTransformer) -> BitTransformer:
    """Return a model whose window has twice the bytes; in the old one it predicts the same, to the last bit.

    Positions are functions of where they are alone, so there is no new weight. What it says further on it
    has yet to learn.

    Args:
        model: Stays as it is; the new one has copies of its weights, its reference, memory mode and mode.

    Raises:
        ConfigError: The window would be too long.
    """
    return grow(model, "context")


@torch.no_grad()
def _silence(model: BitTransformer, layer: int) -> None:
    """Let a layer add exactly nothing."""
    for gain in GAINS:
        model.get_parameter(f"trunk.blocks.{layer}.{gain}").zero_()


def _wider(name: str, weight: Tensor, seed: int) -> Tensor:
    return widening_of(name).weight(weight.cpu(), generator(seed, 0, f"split of {name}"))
