"""What a step minimises when it denoises, and the masks it draws."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS
from bitlm.diffusion import draw_mask, hidden_logits, hidden_nats
from bitlm.diffusion.masking import masked_states, payload_bits
from bitlm.model import BitTransformer
from bitlm.randomness import generator
from bitlm.telemetry import negentropy_score
from bitlm.training.objective import Objective

PROMPT_SHARE = 0.5
"""Of the windows of a batch, how many begin with a part that is known, as a prompt is."""


@dataclass(frozen=True)
class MaskedBatch:
    """Windows to denoise.

    Attributes:
        values: Their bytes.
        shares: Of each row, the share masked of what may be, in (0, 1].
        maskable: Bytes that may be masked.
        mask: The bits that are.
    """

    values: UInt8[Tensor, "row byte"]
    shares: Float[Tensor, " row"]
    maskable: Bool[Tensor, "row byte"]
    mask: Bool[Tensor, "row byte 8"]


def masked_batch(values: UInt8[Tensor, "row byte"], mask_unit: str, key: int) -> MaskedBatch:
    """Mask windows: shares spread evenly over (0, 1], one in each part of it.

    Half of the rows, as chance has it, begin with a part of any length that is known.

    Args:
        values: The windows' bytes.
        mask_unit: "byte" or "bit".
        key: Decides everything.

    Source: Kingma et al., "Variational Diffusion Models", NeurIPS 2021, for the even spread.
    """
    rows, length = values.shape
    draw = generator(key, 0, "masks")
    shares = (torch.randperm(rows, generator=draw) + 1 - torch.rand(1, generator=draw)) / rows
    known = torch.rand(rows, generator=draw) < PROMPT_SHARE
    first = torch.where(known, torch.randint(0, length, (rows,), generator=draw), 0)
    maskable = torch.arange(length) >= first[:, None]
    return MaskedBatch(values, shares, maskable, draw_mask(shares, maskable, mask_unit, draw))


def denoising_objective(
    model: BitTransformer, batch: MaskedBatch, *, mask_floor: float, dropout_seed: int | None
) -> Objective:
    """Score what the model says of the masked part of a batch.

    Each row's masked cost is divided by the share masked: over all shares, that is a bound on the row's whole
    cost. Where little is masked the quotient is rough, so what is minimised divides by `mask_floor` at least;
    what is reported does not.

    Args:
        model: Made to denoise.
        batch: Masked windows.
        mask_floor: In (0, 1].
        dropout_seed: As for `BitTransformer.forward`.

    Returns:
        In nats per payload bit that may be masked; negentropy is that of what is masked, 1 where nothing is.

    Source: Sahoo et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024, equation 10.
    """
    bits = payload_bits(batch.values)
    trees = model.denoise(masked_states(bits, batch.mask), dropout_seed=dropout_seed)
    logits = hidden_logits(trees, bits, batch.mask, model.config.mask_unit)
    per_bit = hidden_nats(logits, bits, batch.mask).sum((1, 2)) / (batch.maskable.sum(1) * PAYLOAD_BITS)
    total = (per_bit / batch.shares.clamp(min=mask_floor)).mean()
    bound = (per_bit / batch.shares).mean()
    scored = torch.sigmoid(logits.detach()[batch.mask])
    certain = bound.new_ones(())
    return Objective(total, bound.detach(), negentropy_score(scored) if len(scored) else certain)
