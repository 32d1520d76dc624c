"""Incremental decoding: one position at a time, against the keys and values of the earlier ones.

The same mathematics as `Trunk.forward`, arranged for few calls: at one position a call costs more than what
it computes. Dropout is never on here.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float, Integer
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, scaled_dot_product_attention

from bitlm.model.bit_tree import patch_values
from bitlm.model.context_reader import ContextReader
from bitlm.model.embedding import PatchEmbedding
from bitlm.model.grid import LIMIT, STEP, add_on_grid, extremes, round_to_grid, shift_on_grid
from bitlm.model.reversible import check_streams
from bitlm.model.trunk import Block, Trunk

Vector = Float[Tensor, "batch width"]


@dataclass
class DecodingCache:
    """What decoding keeps of one window; void as soon as the weights change.

    Attributes:
        layers: The blocks with their keys and values.
        table: The input vector of every possible patch.
        places: What the input adds at each position.
        batch: Rows decoded side by side.
        length: Positions seen, the start included; at most the window's.
        reader: Where the texts stand in the counts that are mixed in; None without mixing.
    """

    layers: list["LayerDecoder"]
    table: Float[Tensor, "leaf width"]
    places: Float[Tensor, "position width"]
    batch: int
    length: int = 0
    reader: ContextReader | None = None

    @property
    def positions(self) -> int:
        """Positions of the window."""
        return self.places.shape[0]


class LayerDecoder:
    """One block and the keys and values it has computed."""

    def __init__(self, block: Block, turns: Complex64[Tensor, "position pair"], batch: int) -> None:
        self._attention = block.attention
        self._feedforward = block.feedforward
        self._turns = turns
        width = block.attention.norm.weight
        heads, channels = block.attention.nhead, 2 * turns.shape[1]
        self._keys_values = width.new_empty(batch, 2, heads, turns.shape[0], channels)
        self._part_shape = (batch, 3, heads, channels)
        self._pair_shape = (batch, 2, heads, channels // 2, 2)

    def step(self, x1: Vector, x2: Vector, position: int) -> tuple[Vector, Vector]:
        """Run one position that follows all those seen."""
        x1 = shift_on_grid(x1, self._attend(x2, position), STEP)
        return x1, shift_on_grid(x2, self._transform(x1), STEP)

    def prefill(
        self, x1: Float[Tensor, "batch position width"], x2: Float[Tensor, "batch position width"]
    ) -> tuple[Tensor, Tensor]:
        """Run the first positions of a window at once and keep their keys and values."""
        count = x1.shape[1]
        query, key, value = self._attention.heads(x2, self._turns[:count])
        self._keys_values[:, 0, :, :count] = key
        self._keys_values[:, 1, :, :count] = value
        x1 = add_on_grid(x1, self._attention.attend(query, key, value))
        return x1, add_on_grid(x2, self._feedforward(x1))

    def _attend(self, stream: Vector, position: int) -> Vector:
        attention = self._attention
        weight = attention.norm.weight
        parts = attention.project_in.forward(layer_norm(stream, weight.shape, weight))
        parts = parts.view(self._part_shape)
        channels = attention.query_key_norm.weight
        normed = layer_norm(parts[:, :2], channels.shape, channels)
        pairs = torch.view_as_complex(normed.view(self._pair_shape)) * self._turns[position]
        turned = torch.view_as_real(pairs).flatten(3)
        self._keys_values[:, 0, :, position] = turned[:, 1]
        self._keys_values[:, 1, :, position] = parts[:, 2]
        first = attention.visibility.first(position)
        key, value = self._keys_values.narrow(3, first, position + 1 - first).unbind(1)
        attended = scaled_dot_product_attention(turned[:, 0].unsqueeze(2), key, value)
        gain = attention.out_norm.weight
        return layer_norm(attention.project_out.forward(attended.flatten(1)), gain.shape, gain)

    def _transform(self, stream: Vector) -> Vector:
        feedforward = self._feedforward
        weight = feedforward.norm.weight
        inner = feedforward.project_in.forward(layer_norm(stream, weight.shape, weight))
        gain = feedforward.out_norm.weight
        return layer_norm(feedforward.project_out.forward(gelu(inner)), gain.shape, gain)


def new_cache(patch_embedding: PatchEmbedding, trunk: Trunk, batch: int) -> DecodingCache:
    """Return the cache of an empty window."""
    places = patch_embedding.place(0, trunk.config.positions)
    layers = [LayerDecoder(block, trunk.turns, batch) for block in trunk.typed_blocks]
    return DecodingCache(layers, patch_embedding.table(), places, batch)


def decode_step(
    trunk: Trunk, cache: DecodingCache, last: Float[Tensor, "batch width"]
) -> Float[Tensor, "batch width"]:
    """Run the next position.

    Args:
        trunk: The trunk the cache was made for.
        cache: Not full; extended by one position.
        last: The vector of the patch before this position, or of the start.

    Raises:
        GridOverflowError: An activation left the exact range; names the layer. The cache is as it was.
    """
    x1 = x2 = round_to_grid(last + cache.places[cache.length])
    streams = [x1, x2]
    for layer in cache.layers:
        x1, x2 = layer.step(x1, x2, cache.length)
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
) -> Float[Tensor, "batch width"]:
    """Run the start and these patches through an empty cache at once; return the last position's output.

    Raises:
        GridOverflowError: An activation left the exact range; names the layer. The cache is as it was.
    """
    seen = embedding(patch_values(patches), cache.table)
    hidden = torch.cat([start.expand(cache.batch, 1, -1), seen], dim=1)
    x1 = x2 = round_to_grid(hidden + cache.places[: hidden.shape[1]])
    ranges = [extremes(x1), extremes(x2)]
    for layer in cache.layers:
        x1, x2 = layer.prefill(x1, x2)
        ranges += [extremes(x1), extremes(x2)]
    check_streams(ranges)
    cache.length = hidden.shape[1]
    return trunk.norm.forward((x1[:, -1] + x2[:, -1]) * 0.5)
