"""What a step minimises when it denoises, and the masks it draws."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS
from bitlm.diffusion import draw_mask, hidden_nats
from bitlm.diffusion.masking import masked_states
from bitlm.model import BitTransformer, bit_marginals, known_log_probabilities
from bitlm.randomness import generator
from bitlm.telemetry import negentropy_score
from bitlm.training.objective import Objective

PROMPT_SHARE = 0.5
"""Of the windows of a batch, how many begin with a part that is known, as a prompt is."""


@dataclass(frozen=True)
class Masks:
    """The masks of one batch.

    Attributes:
        shares: Of each row, the share masked of what may be, in (0, 1].
        maskable: Bytes that may be masked.
        mask: The bits that are.
    """

    shares: Float[Tensor, " row"]
    maskable: Bool[Tensor, "row byte"]
    mask: Bool[Tensor, "row byte 8"]


def draw_masks(rows: int, length: int, mask_unit: str, key: int, lowest: float = 0.0) -> Masks:
    """Draw masks for a batch: shares spread evenly over (lowest, 1], one in each part of it.

    Half of the rows, as chance has it, begin with a part of any length that is known.

    Args:
        rows: Windows.
        length: Bytes of each.
        mask_unit: "byte" or "bit".
        key: Decides everything.
        lowest: The smallest share drawn, in [0, 1).

    Source: Kingma et al., "Variational Diffusion Models", NeurIPS 2021, for the even spread.
    """
    draw = generator(key, 0, "masks")
    offset = torch.rand(1, generator=draw)
    spread = (torch.randperm(rows, generator=draw) + 1 - offset) / rows
    shares = lowest + (1 - lowest) * spread
    known = torch.rand(rows, generator=draw) < PROMPT_SHARE
    first = torch.where(known, torch.randint(0, length, (rows,), generator=draw), 0)
    maskable = torch.arange(length) >= first[:, None]
    return Masks(shares, maskable, draw_mask(shares, maskable, mask_unit, draw))


def denoising_objective(
    model: BitTransformer,
    values: UInt8[Tensor, "row byte"],
    masks: Masks,
    *,
    mask_floor: float,
    dropout_seed: int | None,
) -> Objective:
    """Score what the model says of the masked part of a batch.

    Each row's masked cost is divided by the share masked: over all shares, that is a bound on the row's whole
    cost. Where little is masked the quotient is rough, so what is minimised divides by `mask_floor` at least;
    what is reported does not.

    Args:
        model: Made to denoise.
        values: The bytes.
        masks: What is masked of them.
        mask_floor: In (0, 1].
        dropout_seed: As for `BitTransformer.forward`.

    Returns:
        In nats per payload bit that may be masked; negentropy is that of what is masked.

    Source: Sahoo et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024, equation 10.
    """
    bits = (values[..., None].long() >> torch.arange(PAYLOAD_BITS - 1, -1, -1)) & 1
    states = masked_states(bits, masks.mask)
    known = known_log_probabilities(model.denoise(states, dropout_seed=dropout_seed), states)
    nats = hidden_nats(known, bits, masks.mask, model.config.mask_unit).sum(1)
    per_bit = nats / (masks.maskable.sum(1) * PAYLOAD_BITS)
    total = (per_bit / masks.shares.clamp(min=mask_floor)).mean()
    bound = (per_bit / masks.shares).mean()
    return Objective(total, bound.detach(), _negentropy(known.detach(), masks.mask))


def _negentropy(known: Float[Tensor, "row byte leaf"], mask: Bool[Tensor, "row byte 8"]) -> Float[Tensor, ""]:
    """Return K of the masked bits; where there are none, nothing is uncertain."""
    ones = bit_marginals(known, PAYLOAD_BITS)[..., 1][mask]
    return negentropy_score(ones.clamp(0, 1)) if len(ones) else known.new_ones(())
