"""Incremental decoding: one position at a time, against the keys and values of the earlier ones.

The same mathematics as `Trunk.forward`, arranged for few calls, for at one position a call costs more than
what it computes. And the same rounding (decision 0007): a product of another shape may add up in another
order, and the grid now and then turns a different last bit into a whole step. So products get shapes that add
up alike: rows in fours, keys in blocks of which those to come are masked. Dropout is never on here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Complex64, Float, Integer
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, linear, pad, scaled_dot_product_attention

from bitlm.model.bit_tree import patch_values
from bitlm.model.config import ModelConfig
from bitlm.model.context_reader import ContextReader
from bitlm.model.embedding import PatchEmbedding
from bitlm.model.grid import LIMIT, add_fresh_on_grid, add_on_grid, extremes, round_to_grid
from bitlm.model.reversible import check_streams
from bitlm.model.rows import ROWS_TOGETHER, rounded_up
from bitlm.model.trunk import Block, Trunk
from bitlm.model.visibility import Visibility

FEW_KEYS, KEYS_TOGETHER = 16, 128
"""Keys are attended to in multiples of 16 up to 128, in multiples of 128 beyond: sums in forward's order."""

MOST_WEIGHTS_ALONE = 2**18
"""A step whose matrices are no larger runs on one thread: handing over takes longer than half the work."""

Rows = Float[Tensor, "row width"]


@dataclass(frozen=True)
class Position:
    """What all layers need to know of the position being decoded.

    Attributes:
        index: 0 for the first of the window.
        first: The first position it sees.
        turns: What query and key are multiplied by.
        mask: What is added to the scores of the keys attended to: 0 up to this position, then -inf.
    """

    index: int
    first: int
    turns: Complex64[Tensor, " pair"]
    mask: Float[Tensor, "1 key"]


@dataclass
class DecodingCache:
    """What decoding keeps of one window; void as soon as the weights change.

    Attributes:
        layers: The blocks with their keys and values.
        table: The input vector of every possible patch.
        places: What the input adds at each position.
        turns: What query and key are multiplied by at each position.
        visibility: Which positions a position sees.
        horizon: As many zeros as positions, then as many -inf: every position's mask is a slice of it.
        batch: Rows decoded side by side.
        length: Positions seen, the start included; at most the window's.
        reader: Where the texts stand in the counts that are mixed in; None without mixing.
    """

    layers: list["LayerDecoder"]
    table: Float[Tensor, "leaf width"]
    places: Float[Tensor, "position width"]
    turns: Complex64[Tensor, "position pair"]
    visibility: Visibility
    horizon: Float[Tensor, "1 twice_the_positions"]
    batch: int
    length: int = 0
    reader: ContextReader | None = None

    @property
    def positions(self) -> int:
        """Positions of the window."""
        return self.places.shape[0]

    def next_position(self) -> Position:
        """Return the position after those seen."""
        index = self.length
        first = self.visibility.first(index)
        keys = keys_attended(index + 1 - first, self.positions - first)
        mask = self.horizon.narrow(1, self.positions - 1 - (index - first), keys)
        return Position(index, first, self.turns.select(0, index), mask)


class LayerDecoder:
    """One block and the keys and values it has computed.

    Query and key are written as complex pairs of channels, which one product turns, and read as real.
    """

    def __init__(self, block: Block, positions: int, batch: int) -> None:
        self._block = block
        attention, feedforward = block.attention, block.feedforward
        self._attention_norm, self._feedforward_norm = attention.norm.weight, feedforward.norm.weight
        self._project_heads, self._project_back = _bound(attention.project_in), _bound(attention.project_out)
        self._project_in, self._project_out = _bound(feedforward.project_in), _bound(feedforward.project_out)

        width, heads = self._attention_norm.numel(), attention.nhead
        channels = width // heads
        self._batch, self._width = batch, (width,)
        self._parts_shape = (batch, 3, heads, channels)
        self._pairs_shape = (batch, 2, heads, channels // 2, 2)
        self._query_key_norm, self._channels = attention.query_key_norm.weight, (channels,)
        self._attention_gain, self._feedforward_gain = attention.out_norm.weight, feedforward.out_norm.weight
        new = self._attention_norm.new_zeros
        self._queries = new(batch, heads, ROWS_TOGETHER, channels)
        self._keys_values = new(batch, 2, heads, positions, channels)
        self._query_pairs, self._key_pairs = _pairs(self._queries), _pairs(self._keys_values.select(1, 0))
        attended = new(rounded_up(batch, ROWS_TOGETHER), heads, channels)
        self._attended, self._attended_rows = attended[:batch], attended.flatten(1)

    def step(self, x1: Rows, x2: Rows, here: Position) -> tuple[Rows, Rows]:
        """Run one position that follows all those seen."""
        x1 = add_fresh_on_grid(x1, self._attend(x2, here))
        inner = self._project_in(torch.layer_norm(x1, self._width, self._feedforward_norm))
        transformed = torch.layer_norm(self._project_out(gelu(inner)), self._width, self._feedforward_gain)
        return x1, add_fresh_on_grid(x2, transformed)

    def prefill(
        self,
        x1: Float[Tensor, "batch position width"],
        x2: Float[Tensor, "batch position width"],
        turns: Complex64[Tensor, "position pair"],
    ) -> tuple[Tensor, Tensor]:
        """Run the first positions of a window at once and keep their keys and values."""
        attention, count = self._block.attention, x1.shape[1]
        query, key, value = attention.heads(x2, turns)
        self._keys_values[:, 0, :, :count] = key
        self._keys_values[:, 1, :, :count] = value
        x1 = add_on_grid(x1, attention.attend(query, key, value))
        return x1, add_on_grid(x2, self._block.feedforward(x1))

    def _attend(self, stream: Rows, here: Position) -> Rows:
        rows = self._project_heads(torch.layer_norm(stream, self._width, self._attention_norm))
        parts = rows.narrow(0, 0, self._batch).view(self._parts_shape)
        query_key, value = parts.split_with_sizes((2, 1), dim=1)
        normed = torch.layer_norm(query_key, self._channels, self._query_key_norm)
        query, key = (torch.view_as_complex(normed.view(self._pairs_shape)) * here.turns).unbind(1)
        self._query_pairs.copy_(query.unsqueeze(2))
        self._key_pairs.select(2, here.index).copy_(key)
        self._keys_values.select(1, 1).select(2, here.index).copy_(value.squeeze(1))
        key, value = self._keys_values.narrow(3, here.first, here.mask.shape[1]).unbind(1)
        attended = scaled_dot_product_attention(self._queries, key, value, attn_mask=here.mask)
        self._attended.copy_(attended.select(2, 0))
        return torch.layer_norm(self._project_back(self._attended_rows), self._width, self._attention_gain)


@contextmanager
def one_thread(config: ModelConfig) -> Iterator[None]:
    """Compute on one thread in this context if the model is small.

    The number is torch's own, so another thread that uses torch for the first time just now gets one as well.
    """
    threads = torch.get_num_threads()
    if threads == 1 or config.d_model * max(config.dim_feedforward, config.d_model) > MOST_WEIGHTS_ALONE:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def keys_attended(seen: int, most: int) -> int:
    """Return how many keys are attended to, masked ones included, when this many are seen."""
    return min(rounded_up(seen, FEW_KEYS if seen <= KEYS_TOGETHER else KEYS_TOGETHER), most)


def new_cache(patch_embedding: PatchEmbedding, trunk: Trunk, batch: int) -> DecodingCache:
    """Return the cache of an empty window."""
    positions = trunk.config.positions
    places = patch_embedding.place(0, positions)
    horizon = places.new_zeros(1, 2 * positions)
    horizon[:, positions:] = -torch.inf
    layers = [LayerDecoder(block, positions, batch) for block in trunk.typed_blocks]
    visibility = trunk.typed_blocks[0].attention.visibility
    return DecodingCache(layers, patch_embedding.table(), places, trunk.turns, visibility, horizon, batch)


def decode_step(
    trunk: Trunk, cache: DecodingCache, last: Float[Tensor, "batch width"]
) -> Float[Tensor, "row width"]:
    """Run the next position; return a multiple of 4 rows, of which the batch's are the first.

    Args:
        trunk: The trunk the cache was made for.
        cache: Not full; extended by one position.
        last: The vector of the patch before this position, or of the start.

    Raises:
        GridOverflowError: An activation left the exact range; names the layer. The cache is as it was.
    """
    here = cache.next_position()
    x1 = x2 = round_to_grid(_rows_together(last + cache.places.select(0, here.index)))
    streams = [x1, x2]
    for layer in cache.layers:
        x1, x2 = layer.step(x1, x2, here)
        streams += [x1, x2]
    # One look at all streams; naming the place takes longer and is left for when one is out of range.
    if not torch.cat(streams).abs_().max().item() < LIMIT:
        check_streams(streams)
    cache.length += 1
    return trunk.norm.forward((x1 + x2) * 0.5)


def decode_window(
    trunk: Trunk,
    cache: DecodingCache,
    start: Float[Tensor, "width"],
    patches: Integer[Tensor, "batch patch bit"],
) -> Float[Tensor, "row width"]:
    """Run the start and these patches through an empty cache at once; return the last position's output.

    What follows the patches to round their number up is overwritten before any later position sees it.

    Raises:
        GridOverflowError: An activation left the exact range; names the layer. The cache is as it was.
    """
    count = patches.shape[1] + 1
    surplus = keys_attended(count, cache.positions) - count
    seen = embedding(pad(patch_values(patches), (0, surplus)), cache.table)
    hidden = torch.cat([start.expand(cache.batch, 1, -1), seen], dim=1)
    x1 = x2 = round_to_grid(hidden + cache.places[: count + surplus])
    turns = trunk.turns[: count + surplus]
    ranges = [extremes(x1[:, :count])] * 2
    for layer in cache.layers:
        x1, x2 = layer.prefill(x1, x2, turns)
        ranges += [extremes(x1[:, :count]), extremes(x2[:, :count])]
    check_streams(ranges)
    cache.length = count
    return trunk.norm.forward(_rows_together((x1 + x2)[:, count - 1] * 0.5))


def _rows_together(rows: Float[Tensor, "batch width"]) -> Float[Tensor, "row width"]:
    """Add rows of zeros up to a multiple of 4 rows."""
    surplus = rounded_up(rows.shape[0], ROWS_TOGETHER) - rows.shape[0]
    return pad(rows, (0, 0, 0, surplus)) if surplus else rows


def _bound(module: nn.Linear) -> Callable[[Tensor], Tensor]:
    """Return what the module computes, its weights looked up once: that takes as long as a small product."""
    plain = type(module) is nn.Linear
    return partial(linear, weight=module.weight, bias=module.bias) if plain else module.forward


def _pairs(channels: Float[Tensor, "*shape channel"]) -> Complex64[Tensor, "*shape pair"]:
    """Return a view of neighbouring channels as complex numbers."""
    return torch.view_as_complex(channels.view(*channels.shape[:-1], -1, 2))
