"""Masking a text, and what the masked part costs."""

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor

from bitlm.bits import MASK, PAYLOAD_BITS
from bitlm.model import bit_marginals
from bitlm.model.bit_tree import NEVER, leaf_bits

LEAST_PROBABILITY = 1e-37
"""Below it a float of 32 bits is nothing, and its logarithm not a number to learn from."""

Bits = Integer[Tensor, "row byte bit"]
Mask = Bool[Tensor, "row byte bit"]


def masked_states(bits: Bits, mask: Mask) -> Bits:
    """Return what a model is told of a text."""
    return torch.where(mask, MASK, bits.long())


def units_of(mask_unit: str) -> int:
    """Return how many things of a byte are masked each by itself: 1, or its bits."""
    return 1 if mask_unit == "byte" else PAYLOAD_BITS


def draw_mask(
    shares: Float[Tensor, " row"], maskable: Bool[Tensor, "row byte"], mask_unit: str, draw: torch.Generator
) -> Mask:
    """Mask each unit by itself with its row's probability.

    Args:
        shares: Of each row, in [0, 1].
        maskable: Bytes that may be masked; the others are known.
        mask_unit: "byte" or "bit".
        draw: Decides which.
    """
    uniforms = torch.rand((*maskable.shape, units_of(mask_unit)), generator=draw)
    drawn = (uniforms < shares[:, None, None]) & maskable[..., None]
    return drawn.expand(*maskable.shape, PAYLOAD_BITS)


def draw_mask_of_size(
    counts: Int64[Tensor, " row"], maskable: Bool[Tensor, "row byte"], mask_unit: str, draw: torch.Generator
) -> Mask:
    """Mask so many units of each row, all sets of that size being equally likely.

    Args:
        counts: Units of each row to mask, at most as many as may be.
        maskable: As for `draw_mask`.
        mask_unit: As for `draw_mask`.
        draw: As for `draw_mask`.
    """
    units = units_of(mask_unit)
    uniforms = torch.rand((*maskable.shape, units), generator=draw, dtype=torch.float64)
    keys = uniforms.masked_fill(~maskable[..., None], torch.inf).flatten(1)
    ranks = keys.argsort(dim=1).argsort(dim=1)
    drawn = (ranks < counts[:, None]).reshape(*maskable.shape, units)
    return drawn.expand(*maskable.shape, PAYLOAD_BITS)


def hidden_nats(
    known: Float[Tensor, "row byte leaf"], bits: Bits, mask: Mask, mask_unit: str
) -> Float[Tensor, "row byte"]:
    """Return what each byte's masked part costs, in nats; 0 where nothing is masked.

    Args:
        known: The model's `known_log_probabilities`, given what is not masked.
        bits: What is true.
        mask: What was masked of it.
        mask_unit: With "byte" the cost of a whole byte at once. With "bit" the sum of what each masked bit
            costs by itself, given those of its byte that are known: in continuous time no two are revealed at
            once.
    """
    if mask_unit == "byte":
        places = torch.arange(PAYLOAD_BITS - 1, -1, -1)
        values = (bits.long() << places).sum(-1, keepdim=True)
        return -known.gather(-1, values)[..., 0]
    true = bit_marginals(known, PAYLOAD_BITS).gather(-1, bits.long()[..., None])[..., 0]
    return -(true.clamp(min=LEAST_PROBABILITY).log() * mask).sum(-1)


def revealed_nats(known: Float[Tensor, "row byte leaf"], bits: Bits, left: Mask) -> Float[Tensor, "row byte"]:
    """Return what the bits of each byte that one step reveals cost together, in nats.

    Args:
        known: As for `hidden_nats`, before the step.
        bits: As for `hidden_nats`.
        left: What is masked after it.
    """
    after = masked_states(bits, left)[..., None, :]
    agrees = ((after == MASK) | (after == leaf_bits(PAYLOAD_BITS))).all(-1)
    return -known.masked_fill(~agrees, NEVER).logsumexp(-1)
