"""The counts beside a decoder: what follows what was read, one patch after the other."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float32, Int32, Int64

from bitlm.bits import PAYLOAD_BITS
from bitlm.compiled import compiled, fused
from bitlm.context_index import ContextIndex
from bitlm.model.config import ModelConfig
from bitlm.model.kernels import ONE, bend, logarithm, product
from bitlm.model.mixing import COUNT_PRIOR, Mixer

PRIOR = np.float32(COUNT_PRIOR)

Array = npt.NDArray[np.float32]


class Weights(NamedTuple):
    """A mixer's, products' as [input, output]."""

    depths: Array
    project_in: Array
    project_out: Array
    bias: Array


class ContextReader:
    """Where some texts, decoded side by side, stand in the counts of the training text.

    Args:
        mixer: Weighs the counts.
        index: Has them.
        config: The model's.
        batch: How many texts.
    """

    def __init__(self, mixer: Mixer, index: ContextIndex, config: ModelConfig, batch: int) -> None:
        self._order = mixer.order
        self._index = index
        self._patch_bits = config.patch_bits
        self._cycle = PAYLOAD_BITS if config.patch_bits == PAYLOAD_BITS else config.frame_bits
        self._stretches = index.begin(batch, mixer.order + 1)
        self._bits_read = 0
        self._value = np.zeros(batch, dtype=np.uint8)
        matrices = (mixer.depths.weight, mixer.project_in.weight.T, mixer.project_out.weight.T)
        bias = mixer.project_out.bias
        self._weights = Weights(*(plain_array(weight) for weight in (*matrices, bias)))

    def read(self, patches: Int64[np.ndarray, "batch patch"]) -> None:
        """Take in the values of the texts' next patches; of many, only the last can matter."""
        kept = self._order * (self._cycle // self._patch_bits) or patches.shape[1]
        for patch in patches[:, -kept:].T:
            if self._patch_bits == PAYLOAD_BITS:
                self._index.read(self._stretches, patch.astype(np.uint8))
            else:
                self._read_bit(patch.astype(bool))

    def mix_into(self, logits: Float32[np.ndarray, "batch node"]) -> None:
        """Mix the counts into the logits of the next patch's nodes, in place."""
        if self._bits_read == PAYLOAD_BITS:  # the parity bit comes next, of which they say nothing
            return
        levels = range(self._bits_read, self._bits_read + self._patch_bits)
        zeros, ones = self._index.node_counts(self._stretches, levels)
        mix(zeros, ones, levels.start, self._weights, logits)

    def path(self) -> "ContextPath":
        """Return the way down the next patch's tree, at its root; the texts stay where they are."""
        return ContextPath(self._index, self._stretches.copy(), self._bits_read, self._weights)

    def _read_bit(self, bit: Bool[np.ndarray, "batch"]) -> None:
        if self._bits_read < PAYLOAD_BITS:
            self._index.descend(self._stretches, self._bits_read, bit)
            self._value = self._value << 1 | bit
        self._bits_read += 1
        if self._bits_read == PAYLOAD_BITS:
            self._index.lengthen(self._stretches, self._value)
            self._value = np.zeros_like(self._value)
        self._bits_read %= self._cycle


class ContextPath:
    """The way from a tree's root to a leaf in the counts, bit by bit, for texts side by side.

    Args:
        index: Has the counts.
        stretches: Of the texts; they are led along.
        level: How many bits of its byte come before the root.
        weights: The mixer's.
    """

    def __init__(
        self, index: ContextIndex, stretches: Int32[np.ndarray, "2 row order"], level: int, weights: Weights
    ) -> None:
        self._index, self._stretches, self._level, self._weights = index, stretches, level, weights

    def mix_into(self, logits: Float32[np.ndarray, "row 1"]) -> None:
        """Mix the counts into the logits of the nodes where the texts stand, in place.

        To the last bit this is what `ContextReader.mix_into` does to these nodes.
        """
        if self._level == PAYLOAD_BITS:  # the parity bit, of which they say nothing
            return
        zeros, ones = self._index.node_counts(self._stretches, range(self._level, self._level + 1))
        mix(zeros, ones, self._level, self._weights, logits)

    def descend(self, bits: Bool[np.ndarray, "row"]) -> None:
        """Go on to the node that each text's bit leads to."""
        if self._level < PAYLOAD_BITS:
            self._index.descend(self._stretches, self._level, bits)
        self._level += 1


def plain_array(weight: torch.Tensor) -> Array:
    """Return a copy of a weight, its numbers side by side in its own order, for compiled functions."""
    return np.array(weight.detach().float().cpu().numpy(), order="C")


@compiled
def mix(
    zeros: Int32[np.ndarray, "row node order"],
    ones: Int32[np.ndarray, "row node order"],
    level: int,
    weights: Weights,
    logits: Float32[np.ndarray, "row node"],
) -> None:
    """Do what `Mixer` does to the nodes of trees whose roots lie at a level, in place."""
    rows, _, orders = zeros.shape
    for row in range(rows):
        # What no context has seen, the shortest has not; there the logit stays.
        seen = np.flatnonzero(zeros[row, :, 0] + ones[row, :, 0])
        features = np.empty((len(seen), 2 * orders), np.float32)
        for at, node in enumerate(seen):
            for k in range(orders):
                zero, one = np.float32(zeros[row, node, k]), np.float32(ones[row, node, k])
                features[at, k] = logarithm(one + PRIOR) - logarithm(zero + PRIOR)
                features[at, orders + k] = logarithm(zero + one + ONE)
        inner = np.empty((len(seen), weights.project_in.shape[1]), np.float32)
        product(features, weights.project_in, inner)
        depth, next_depth = level, 1
        for at, node in enumerate(seen):
            while node >= next_depth:
                depth, next_depth = depth + 1, 2 * next_depth + 1
            for j in range(inner.shape[1]):
                inner[at, j] += weights.depths[depth, j]
            bend(inner[at])
        believed = np.empty((len(seen), orders + 1), np.float32)
        product(inner, weights.project_out, believed)
        for at, node in enumerate(seen):
            mixed = fused(believed[at, orders] + weights.bias[orders], logits[row, node], logits[row, node])
            for k in range(orders):
                mixed = fused(believed[at, k] + weights.bias[k], features[at, k], mixed)
            logits[row, node] = mixed
