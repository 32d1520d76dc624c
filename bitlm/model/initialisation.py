"""First weights, from a seed alone: torch's global generator is neither read nor moved."""

from math import log, sqrt

import torch
from torch import Tensor, nn

from bitlm.model.halting import INITIAL_HALTING
from bitlm.randomness import generator

WEIGHT_DEVIATION = 0.02
HEAD_DEVIATION = 0.002
MIXER_DEVIATION = 0.1
FIRST_COUNT_WEIGHTS = (0.0, 0.0, 0.0, 0.2, 0.2, 0.3, 0.1, 0.1, 0.1)
"""How far contexts of 0, 1, … bytes are believed at first."""
BRANCH_GAIN = 0.2
"""What a branch adds to a stream at first, per channel: small beside what the layers before have added."""


@torch.no_grad()
def initialise(model: nn.Module, seed: int, num_layers: int) -> None:
    """Fill every weight, each from a stream of its own name.

    Matrices are normal with deviation 0.02; those before a stream are scaled by 1/√(2·layers) (Radford et al.
    2019). The head starts near zero: the first predictions are near one half, the first loss near ln 2 nats a
    bit. Norms start at one, those after a branch at 0.2, biases at zero. What weighs counts starts with
    weights that make a fair model of them. Halting units start without an opinion: all positions halt alike,
    and hardly.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("out_norm.weight"):
            parameter.fill_(BRANCH_GAIN)
        elif name == "mixer.project_out.bias":
            of_counts = FIRST_COUNT_WEIGHTS[: parameter.numel() - 1]
            parameter.copy_(torch.tensor([*of_counts, 0.0]))  # the last: what the tree is believed beyond 1
        elif name.endswith("halting.weight"):
            parameter.zero_()
        elif name.endswith("halting.bias"):
            share = INITIAL_HALTING / (num_layers - 1)
            parameter.fill_(log(share / (1 - share)))
        elif name.endswith("norm.weight"):
            parameter.fill_(1.0)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            draw = generator(seed, 0, f"weights of {name}")
            normal = torch.empty(parameter.shape).normal_(generator=draw)
            parameter.copy_(normal * _deviation(name, parameter, num_layers))


def _deviation(name: str, parameter: Tensor, num_layers: int) -> float:
    if name.startswith("head."):
        return HEAD_DEVIATION
    if name.startswith("mixer."):
        return 0.0 if name == "mixer.project_out.weight" else MIXER_DEVIATION
    if name in {"embedding.bits.weight", "denoiser.bits.weight"}:
        return 1.0
    if name in {"embedding.project.weight", "denoiser.project.weight"}:
        return WEIGHT_DEVIATION / sqrt(parameter.shape[1])
    if name.endswith("project_out.weight"):
        return WEIGHT_DEVIATION / sqrt(2 * num_layers)
    return WEIGHT_DEVIATION
