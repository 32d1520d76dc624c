"""Masking a text, and what the masked part costs."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, Integer, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from bitlm.bits import MASK, PAYLOAD_BITS, encode_frames
from bitlm.model import BitTransformer, ModelConfig, bit_marginals, known_log_probabilities
from bitlm.model.bit_tree import NEVER, gather_paths, leaf_bits, patch_values

LEAST_PROBABILITY = 1e-37
"""Below it a float of 32 bits is nothing, and its logarithm not a number to learn from."""

Bits = Integer[Tensor, "row byte bit"]
Mask = Bool[Tensor, "row byte bit"]
Rows = Bool[Tensor, "row byte"]


@dataclass(frozen=True)
class Masking:
    """What is masked of some rows.

    Attributes:
        mask: The bits that are.
        shares: Of each byte's block the share masked of what may be, in (0, 1]; 1 where nothing may.
    """

    mask: Mask
    shares: Float[Tensor, "row byte"]


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
    drawn = (ranks < counts[:, None]).reshape(*maskable.shape, units) & maskable[..., None]
    return drawn.expand(*maskable.shape, PAYLOAD_BITS)


def block_count(config: ModelConfig, length: int) -> int:
    """Return in how many blocks a text of so many bytes is denoised."""
    return -(-length // (config.block_bytes or length))


def mask_by_time(
    places: Float[Tensor, "row block"], maskable: Rows, config: ModelConfig, draw: torch.Generator
) -> Masking:
    """Mask each unit by itself, in each block with its own probability, `places` in (0, 1]."""
    blocks, length = _in_blocks(maskable, places.shape[1]), maskable.shape[1]
    shares = places.flatten()
    mask = draw_mask(shares, blocks, config.mask_unit, draw)
    return _joined(mask, shares, places.shape[0], length)


def mask_by_count(
    places: Float[Tensor, "row block"], maskable: Rows, config: ModelConfig, draw: torch.Generator
) -> Masking:
    """Mask so many units of each block: the share `places`, in (0, 1], of those that may be, rounded up."""
    blocks, length = _in_blocks(maskable, places.shape[1]), maskable.shape[1]
    units = blocks.sum(1) * units_of(config.mask_unit)
    counts = (places.flatten() * units).ceil().long().clamp(min=1)
    mask = draw_mask_of_size(counts, blocks, config.mask_unit, draw)
    shares = torch.where(units > 0, counts / units, 1.0)
    return _joined(mask, shares, places.shape[0], length)


def _in_blocks(maskable: Rows, count: int) -> Bool[Tensor, "part place"]:
    """Return every block of every row as a row of its own."""
    length = maskable.shape[1]
    size = -(-length // count)
    return pad(maskable, (0, size * count - length)).reshape(-1, size)


def _joined(
    mask: Bool[Tensor, "part place bit"], shares: Float[Tensor, " part"], rows: int, length: int
) -> Masking:
    """Put the blocks of each row together again."""
    of_bytes = shares[:, None].expand(mask.shape[:2])
    return Masking(mask.reshape(rows, -1, PAYLOAD_BITS)[:, :length], of_bytes.reshape(rows, -1)[:, :length])


def trees_of(
    model: BitTransformer, bits: Bits, mask: Mask, *, dropout_seed: int | None = None
) -> Float[Tensor, "row byte node"]:
    """Return the trees that a model gives for what is not masked of a text."""
    return model.denoise(masked_states(bits, mask), values=patch_values(bits), dropout_seed=dropout_seed)


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
