"""How widely each head looks: the entropy of its attention, measured a block of queries at a time."""

from dataclasses import dataclass
from math import isqrt, log, log2, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from bitlm.errors import ConfigError
from bitlm.model.attention import Heads
from bitlm.model.grid import round_to_grid
from bitlm.model.trunk import Hidden, Trunk
from bitlm.model.visibility import Visibility

FULL_CHUNK = 64
"""Positions summed up together where attention is full and has no chunks of its own."""

BLOCK = 64
"""Most queries whose weights exist at a time."""

MOST_MAP_WEIGHTS = 2**25
"""Numbers that full maps may hold, 128 MiB: one window of 512 positions with 128 heads in all."""


@dataclass(frozen=True)
class AttentionSummary:
    """What heads look at, as one number per layer, head and chunk of positions.

    Attributes:
        entropy_bits: The figure to read: -Σ a log₂ a over a position's attention weights a, averaged over the
            chunk's positions and the batch. From 0, one position, to log₂ of the visible positions, all of
            them evenly; 2 to this power is the number of positions it amounts to.
        evenness: The chunk's entropy as a share of the most it could be, the mean of log₂ of the visible
            positions; in [0, 1]. Compares chunks that see more with chunks that see fewer. 0 where each
            position sees only itself.
        head_entropy_bits: A head's mean over all positions, in bits.
        layer_entropy_bits: A layer's mean over its heads and all positions, in bits.
        chunk_positions: Positions of a chunk (the last may have fewer): the model's chunks, or with full
            attention blocks of 64.
        maps: Each position's weights over all positions, zeros where it may not look; None unless asked for.

    Source: Shannon 1948; evenness, Pielou 1966; entropy of attention as a sign of (un)healthy training, Zhai
    et al., "Stabilizing Transformer Training by Preventing Attention Entropy Collapse", ICML 2023.
    """

    entropy_bits: Float[Tensor, "layer head chunk"]
    evenness: Float[Tensor, "layer head chunk"]
    head_entropy_bits: Float[Tensor, "layer head"]
    layer_entropy_bits: Float[Tensor, " layer"]
    chunk_positions: int
    maps: Float[Tensor, "batch layer head position position"] | None = None


def summarise_attention(trunk: Trunk, hidden: Hidden, *, full_attn_logging: bool = False) -> AttentionSummary:
    """Run a window without dropout and measure every head's attention; with ACT, as if no position halted.

    Args:
        trunk: Its attention is computed a second time, block by block, so memory stays linear in length.
        hidden: One vector per position.
        full_attn_logging: Whether to keep the full maps as well, quadratic in length.

    Raises:
        ConfigError: The window is too long for its full maps.
    """
    rows, length, _ = hidden.shape
    chunk = trunk.config.visibility.chunk or FULL_CHUNK
    maps = _empty_maps(trunk, rows, length, hidden) if full_attn_logging else None
    x1 = x2 = round_to_grid(hidden)
    summed = []
    layers = trunk.reversible_layers(length, None)
    for index, (block, layer) in enumerate(zip(trunk.typed_blocks, layers, strict=True)):
        query, key = block.attention.queries_and_keys(x2, trunk.turns[:length])
        layer_maps = maps[:, index] if maps is not None else None
        summed.append(_summed_entropy(query, key, trunk.config.visibility, chunk, layer_maps))
        x1, x2 = layer.forward(x1, x2)
    entropy = torch.stack(summed)
    counts, most = _positions_and_most_bits(trunk.config.visibility, length, chunk)
    evenness = (entropy / most.to(entropy).clamp(min=torch.finfo(entropy.dtype).tiny)).clamp(0, 1)
    by_head = entropy.sum(-1)
    by_layer = by_head.mean(-1) / length
    return AttentionSummary(entropy / counts.to(entropy), evenness, by_head / length, by_layer, chunk, maps)


def _summed_entropy(
    query: Heads,
    key: Heads,
    visibility: Visibility,
    chunk: int,
    maps: Float[Tensor, "batch head position position"] | None,
) -> Float[Tensor, "head chunk"]:
    """Return the sum of each chunk's entropies in bits, averaged over the batch; write the maps, if any."""
    length = query.shape[2]
    summed = query.new_zeros(query.shape[1], -(-length // chunk))
    for block in visibility.blocks(length, BLOCK):
        first = visibility.first(block.start)
        weights = _weights(query[:, :, block.start : block.stop], key[:, :, first : block.stop])
        summed[:, block.start // chunk] += torch.special.entr(weights).sum((-1, -2)).mean(0) / log(2)
        if maps is not None:
            maps[:, :, block.start : block.stop, first : block.stop] = weights
    return summed


def _weights(
    query: Float[Tensor, "batch head query channel"], key: Float[Tensor, "batch head key channel"]
) -> Float[Tensor, "batch head query key"]:
    """Return the attention of consecutive positions to those up to the last of them."""
    count, seen = query.shape[2], key.shape[2]
    products = query @ key.transpose(-1, -2) / sqrt(query.shape[-1])
    future = torch.ones(count, seen, dtype=torch.bool, device=query.device).triu(seen - count + 1)
    return products.masked_fill(future, -torch.inf).softmax(-1)


def _positions_and_most_bits(
    visibility: Visibility, length: int, chunk: int
) -> tuple[Float[Tensor, " chunk"], Float[Tensor, " chunk"]]:
    """Return each chunk's positions and the sum of the greatest entropies they could have."""
    counts, most = torch.zeros(2, -(-length // chunk), dtype=torch.float64)
    for position in range(length):
        counts[position // chunk] += 1
        most[position // chunk] += log2(position - visibility.first(position) + 1)
    return counts, most


def _empty_maps(
    trunk: Trunk, rows: int, length: int, like: Tensor
) -> Float[Tensor, "batch layer head position position"]:
    heads = trunk.config.num_layers * trunk.config.nhead
    weights = rows * heads * length**2
    if weights > MOST_MAP_WEIGHTS:
        raise ConfigError(
            "full_attn_logging",
            True,  # noqa: FBT003 - the value refused
            f"the maps of {rows} x {length} positions hold {weights:,} weights; give one row of at most "
            f"{isqrt(MOST_MAP_WEIGHTS // heads)} positions, or leave it out: the summary has no limit.",
        )
    return like.new_zeros(rows, trunk.config.num_layers, trunk.config.nhead, length, length)
