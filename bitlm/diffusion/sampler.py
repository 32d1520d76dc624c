"""Which masked units a step reveals, and which it masks again."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

Units = Bool[Tensor, "text byte unit"]

REMASKED = 0.1
"""The most of what is revealed that a step of "remask" hides again."""


@dataclass(frozen=True)
class Moment:
    """What a step's choice is made from.

    Attributes:
        masked: The units that are masked.
        free: The units that are not given.
        confidence: The probability of what was drawn for each unit.
        uniforms: A draw from [0, 1) for each unit.
        before: The share masked before the step, in (0, 1].
        after: The share masked after it, below that.
    """

    masked: Units
    free: Units
    confidence: Float64[Tensor, "text byte unit"]
    uniforms: Float64[Tensor, "text byte unit"]
    before: float
    after: float


def ancestral(moment: Moment) -> Units:
    """Return what is masked after a step that reveals each masked unit with the same probability.

    The reverse of the noise, exactly: a unit masked at one time still is at an earlier one with probability
    m(earlier) / m(later).

    Source: Sahoo et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024, equation 6.
    """
    return moment.masked & (moment.uniforms < moment.after / moment.before)


def confident(moment: Moment) -> Units:
    """Return what is masked after a step that reveals those units that the model is surest of.

    Source: Chang et al., "MaskGIT", CVPR 2022, without its noise.
    """
    left = (moment.free.flatten(1).sum(1) * moment.after).round()
    keys = moment.confidence.masked_fill(~moment.masked, torch.inf).flatten(1)
    ranks = keys.argsort(dim=1, stable=True).argsort(dim=1)
    return (ranks < left[:, None]).reshape(moment.masked.shape) & moment.masked


def remasking(moment: Moment) -> Units:
    """Return what is masked after a step that also hides some of what was revealed, to be drawn once more.

    The shares masked stay those of the schedule. Given bytes are never hidden, and the last step hides none.

    Source: Wang et al., "Remasking Discrete Diffusion Models with Inference-Time Scaling", 2025 (ReMDM-cap).
    """
    seen = 1 - moment.before
    hide = min(REMASKED, moment.after / seen) if seen > 0 else 0.0
    stay = (moment.after - hide * seen) / moment.before
    return (moment.uniforms < torch.where(moment.masked, stay, hide)) & moment.free


SAMPLERS: dict[str, Callable[[Moment], Units]] = {
    "ancestral": ancestral,
    "confidence": confident,
    "remask": remasking,
}
