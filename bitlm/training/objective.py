"""What a step minimises, and the unit quality is reported in."""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import PAYLOAD_BITS
from bitlm.errors import MissingReferenceError
from bitlm.model import ModelOutput
from bitlm.telemetry import expected_complexity, expected_symbiosis, negentropy_score


def bits_per_byte(nats_per_bit: float) -> float:
    """Convert a cross-entropy in nats per payload bit to bits per byte; a coin scores 8.0."""
    return nats_per_bit * PAYLOAD_BITS / log(2)


@dataclass(frozen=True)
class Lambdas:
    """Weights of the objective's telemetry terms, each in [0, 1]; at 0 a term is not there.

    Attributes:
        K: Of negentropy: sharper predictions.
        C: Of expected complexity: leaving phrases that occur before.
        S: Of expected symbiosis: towards the reference model.
    """

    K: float = 0.0
    C: float = 0.0
    S: float = 0.0


NO_LAMBDAS = Lambdas()


@dataclass(frozen=True)
class SoftTargets:
    """What is to be learned in place of bits: how probable a one is, where a teacher has a say.

    The cross-entropy to a bit and that to a teacher's probability, weighted, are the cross-entropy to both
    weighted in the same way: one target does for both.

    Attributes:
        mixed: At each payload bit.
        unmixed: What the tree's own logits are to learn; None without mixing.

    Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    mixed: Float[Tensor, "batch payload"]
    unmixed: Float[Tensor, "batch payload"] | None = None


@dataclass(frozen=True)
class Objective:
    """One batch's objective.

    Attributes:
        total: What is minimised: cross_entropy − λ_K·K − λ_C·C̃ − λ_S·S̃ + ponder_cost · layers charged; with
            mixing the cross-entropy of the tree's own logits as well.
        cross_entropy: Nats per payload bit, λ terms and ponder cost excluded.
        negentropy: K of the batch's predictive probabilities, in [0, 1].
        predicted: Payload bits that these are of.
        depth_mean: As of the model's output.
    """

    total: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""]
    negentropy: Float[Tensor, ""]
    predicted: int
    depth_mean: Float[Tensor, ""] | None = None


def causal_objective(  # noqa: PLR0917 - weights beside each other
    output: ModelOutput,
    bits: Integer[Tensor, "batch bit"],
    lambdas: Lambdas = NO_LAMBDAS,
    ponder_cost: float = 0.0,
    free_layers: float = 0.0,
    reference_probabilities: Float[Tensor, "batch payload"] | None = None,
    *,
    soft_targets: SoftTargets | None = None,
) -> Objective:
    """Score the model's predictions of `bits`; parity bits are never counted.

    With every λ at 0 no λ's term is there at all: an untouched slider changes not one bit. Ponder cost is
    charged where positions can halt (ACT), and nowhere else. With mixing the tree is to predict by itself,
    too: a tree that only mends what counts say learns nothing of a text that they know by heart.

    Args:
        output: Of the model on these bits.
        bits: Whole frames.
        lambdas: Weights of K, C̃ (`expected_complexity` of each row) and S̃ (`expected_symbiosis`).
        ponder_cost: In nats per payload bit for each layer that is charged.
        free_layers: Mean layers run that are not.
        reference_probabilities: The reference's P(bit = 1) at each payload bit; needed where λ_S is above 0.
        soft_targets: What is minimised is the cross-entropy to these; what is reported is that to the bits.

    Raises:
        MissingReferenceError: λ_S is above 0 and there are none.

    Source: Graves, "Adaptive Computation Time for Recurrent Neural Networks", 2016, for ponder cost.
    """
    logits, payload = output.logits[:, output.is_payload], bits[:, output.is_payload].to(output.logits.dtype)
    cross_entropy = total = binary_cross_entropy_with_logits(logits, payload)
    targets = SoftTargets(payload, payload)
    if soft_targets is not None:
        targets, total = soft_targets, binary_cross_entropy_with_logits(logits, soft_targets.mixed)
    if output.unmixed is not None:
        assert targets.unmixed is not None, "a teacher of a model with mixing mixes as well"
        unmixed = output.unmixed[:, output.is_payload]
        total = total + binary_cross_entropy_with_logits(unmixed, targets.unmixed)
    with torch.set_grad_enabled(torch.is_grad_enabled() and lambdas != NO_LAMBDAS):
        probabilities = torch.sigmoid(logits)
        negentropy = negentropy_score(probabilities)
    if lambdas.K > 0:
        total = total - lambdas.K * negentropy
    if lambdas.C > 0:
        total = total - lambdas.C * expected_complexity(probabilities, payload.byte())
    if lambdas.S > 0:
        if reference_probabilities is None:
            raise MissingReferenceError
        total = total - lambdas.S * expected_symbiosis(probabilities, reference_probabilities)
    if output.depth_mean is not None:
        total = total + ponder_cost * (output.depth_mean - free_layers).clamp(min=0)
    return Objective(total, cross_entropy.detach(), negentropy.detach(), payload.numel(), output.depth_mean)
