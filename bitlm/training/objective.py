"""What a step minimises, and the unit quality is reported in."""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import PAYLOAD_BITS
from bitlm.model import ModelOutput
from bitlm.telemetry import negentropy_score


def bits_per_byte(nats_per_bit: float) -> float:
    """Convert a cross-entropy in nats per payload bit to bits per byte; a coin scores 8.0."""
    return nats_per_bit * PAYLOAD_BITS / log(2)


@dataclass(frozen=True)
class Objective:
    """One batch's objective.

    Attributes:
        total: What is minimised: cross_entropy − λ_K·K + ponder_cost · mean layers run.
        cross_entropy: Nats per payload bit, λ terms and ponder cost excluded.
        negentropy: K of the batch's predictive probabilities, in [0, 1].
    """

    total: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""]
    negentropy: Float[Tensor, ""]


def causal_objective(
    output: ModelOutput, bits: Integer[Tensor, "batch bit"], lambda_K: float = 0.0, ponder_cost: float = 0.0
) -> Objective:
    """Score the model's predictions of `bits`; parity bits are never counted.

    With lambda_K = 0 the total *is* the cross-entropy: an untouched slider changes not one bit. Ponder cost
    is charged where positions can halt (ACT), and nowhere else.

    Source: Graves, "Adaptive Computation Time for Recurrent Neural Networks", 2016, for ponder cost.
    """
    logits = output.logits[:, output.is_payload]
    cross_entropy = binary_cross_entropy_with_logits(logits, bits[:, output.is_payload].to(logits.dtype))
    total = cross_entropy
    if lambda_K == 0.0:
        with torch.no_grad():
            negentropy = negentropy_score(torch.sigmoid(logits))
    else:
        negentropy = negentropy_score(torch.sigmoid(logits))
        total = cross_entropy - lambda_K * negentropy
    if output.depth_mean is not None:
        total = total + ponder_cost * output.depth_mean
    return Objective(total, cross_entropy.detach(), negentropy.detach())
