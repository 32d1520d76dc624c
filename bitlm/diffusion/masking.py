"""Masking a text, and what the masked part costs."""

import torch
from jaxtyping import Bool, Float, Int64, Integer, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import MASK, PAYLOAD_BITS, encode_frames
from bitlm.model import bit_marginals, known_log_probabilities
from bitlm.model.bit_tree import NEVER, gather_paths, leaf_bits, patch_values

LEAST_PROBABILITY = 1e-37
"""Below it a float of 32 bits is nothing, and its logarithm not a number to learn from."""

Bits = Integer[Tensor, "row byte bit"]
Mask = Bool[Tensor, "row byte bit"]


def payload_bits(values: UInt8[Tensor, "row byte"]) -> Bits:
    """Return the bits of each byte, most significant first."""
    return encode_frames(values, parity=False).reshape(*values.shape, PAYLOAD_BITS)


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


def hidden_logits(
    node_logits: Float[Tensor, "row byte node"], bits: Bits, mask: Mask, mask_unit: str
) -> Float[Tensor, "row byte bit"]:
    """Return the logit of P(bit = 1) of each masked bit, as it is scored; of other bits it means nothing.

    Args:
        node_logits: Of the trees that a model gave for the states.
        bits: What is true.
        mask: What was masked of it.
        mask_unit: With "byte" a bit is scored given the byte's bits before it, as a causal model's are, so
            that together they cost what the byte costs. With "bit" it is scored given those of its byte that
            are known: in continuous time no two are revealed at once.
    """
    if mask_unit == "byte":
        return gather_paths(node_logits, patch_values(bits), PAYLOAD_BITS)
    known = known_log_probabilities(node_logits, masked_states(bits, mask))
    zero, one = bit_marginals(known, PAYLOAD_BITS).clamp(min=LEAST_PROBABILITY).log().unbind(-1)
    return one - zero


def hidden_nats(
    scored: Float[Tensor, "row byte bit"], bits: Bits, mask: Mask
) -> Float[Tensor, "row byte bit"]:
    """Return what each masked bit costs, in nats, by its `hidden_logits`; 0 for the others."""
    return binary_cross_entropy_with_logits(scored, bits.to(scored), reduction="none") * mask


def revealed_nats(
    node_logits: Float[Tensor, "row byte node"], bits: Bits, mask: Mask, left: Mask
) -> Float[Tensor, "row byte"]:
    """Return what the bits of each byte that one step reveals cost together, in nats.

    Args:
        node_logits: Of the trees that a model gave before the step.
        bits: What is true.
        mask: What was masked of it then.
        left: What is masked after the step.
    """
    known = known_log_probabilities(node_logits, masked_states(bits, mask))
    after = masked_states(bits, left)[..., None, :]
    agrees = ((after == MASK) | (after == leaf_bits(PAYLOAD_BITS))).all(-1)
    return -known.masked_fill(~agrees, NEVER).logsumexp(-1)
