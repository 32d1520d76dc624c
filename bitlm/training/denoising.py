"""What a step minimises when it denoises, and the masks it draws."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import PAYLOAD_BITS
from bitlm.diffusion import hidden_logits, hidden_nats
from bitlm.diffusion.masking import (
    Masking,
    block_count,
    mask_by_count,
    mask_by_time,
    masked_states,
    payload_bits,
    trees_of,
)
from bitlm.model import BitTransformer, ModelConfig
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
        maskable: Bytes that may be masked.
        masking: What is.
    """

    values: UInt8[Tensor, "row byte"]
    maskable: Bool[Tensor, "row byte"]
    masking: Masking

    def rows(self, which: slice) -> "MaskedBatch":
        """Return some of the windows."""
        masking = Masking(self.masking.mask[which], self.masking.shares[which])
        return MaskedBatch(self.values[which], self.maskable[which], masking)


def masked_batch(
    values: UInt8[Tensor, "row byte"], config: ModelConfig, key: int, *, least_share: float = 0.0
) -> MaskedBatch:
    """Mask windows: shares spread evenly over (`least_share`, 1], one in each part of it.

    Half of the rows, as chance has it, begin with a part of any length that is known; with blocks none does,
    as each has those before it.

    Args:
        values: The windows' bytes.
        config: Says what is masked as one, and the length of a block.
        key: Decides everything.
        least_share: In [0, 1]. Above 0 what is reported of the batch still bounds its cost, less closely:
            what is masked costs more where less is known.

    Source: Kingma et al., "Variational Diffusion Models", NeurIPS 2021, for the even spread.
    """
    rows, length = values.shape
    draw = generator(key, 0, "masks")
    blocks = block_count(config, length)
    places = (torch.randperm(rows * blocks, generator=draw) + 1 - torch.rand(1, generator=draw)) / (
        rows * blocks
    )
    places = least_share + (1 - least_share) * places
    first = torch.zeros(rows, dtype=torch.int64)
    if not config.block_bytes:
        known = torch.rand(rows, generator=draw) < PROMPT_SHARE
        first = torch.where(known, torch.randint(0, length, (rows,), generator=draw), 0)
    maskable = torch.arange(length) >= first[:, None]
    mask = mask_by_count if config.block_bytes else mask_by_time
    return MaskedBatch(values, maskable, mask(places.reshape(rows, blocks), maskable, config, draw))


def denoising_objective(
    model: BitTransformer, batch: MaskedBatch, *, mask_floor: float, dropout_seed: int | None
) -> Objective:
    """Score what the model says of the masked part of a batch.

    A block's masked cost is divided by the share masked: over all shares, that is a bound on its whole cost.
    Where little is masked the quotient is rough, so what is minimised divides by `mask_floor` at least;
    what is reported does not.

    With blocks the text as it is is read anyway; what it says of each next bit is minimised as well, as much:
    it is the same trunk that learns from it (docs/decisions/0018).

    Args:
        model: Made to denoise.
        batch: Masked windows.
        mask_floor: In (0, 1].
        dropout_seed: As for `BitTransformer.forward`.

    Returns:
        In nats per payload bit that may be masked; negentropy is that of what is masked, 1 where nothing is.

    Source: Sahoo et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024, equation 10.
    """
    bits, masking = payload_bits(batch.values), batch.masking
    if model.config.block_bytes:
        states = masked_states(bits, masking.mask)
        trees, causal = model.denoise_and_predict(states, batch.values.long(), dropout_seed=dropout_seed)
        of_true = binary_cross_entropy_with_logits(causal, bits.to(causal).flatten(1))
    else:
        trees, of_true = trees_of(model, bits, masking.mask, dropout_seed=dropout_seed), torch.zeros(())
    logits = hidden_logits(trees, bits, masking.mask, model.config.mask_unit)
    nats = hidden_nats(logits, bits, masking.mask).sum(2) / (batch.maskable.sum(1) * PAYLOAD_BITS)[:, None]
    total = (nats / masking.shares.clamp(min=mask_floor)).sum(1).mean() + of_true
    bound = (nats / masking.shares).sum(1).mean()
    scored = torch.sigmoid(logits.detach()[masking.mask])
    certain = bound.new_ones(())
    negentropy = negentropy_score(scored) if len(scored) else certain
    return Objective(total, bound.detach(), negentropy, len(scored))
