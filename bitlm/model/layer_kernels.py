"""The layers, position by position, compiled: any number of positions of any number of texts at once.

The same mathematics as `Trunk.forward`. What one position gets is added up in one order, whatever stands
beside it (`kernels`), so a text is the same bits alone and in a batch, with the cache and without, here and
on another processor. With `forward`, whose libraries add up in orders of their own, it agrees up to rounding.

Weights of all layers lie side by side, the layer first; a product's are [input, output].
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlm.compiled import compiled, fused, to_whole
from bitlm.model.grid import STEP, STEPS_PER_UNIT
from bitlm.model.kernels import (
    HALF,
    ONE,
    ZERO,
    Array,
    add_product,
    add_scaled,
    bend,
    exponential,
    normalise,
    product,
    total,
)  # fmt: skip

LANES = 16
"""Positions whose keys lie side by side."""

GRID_STEP, GRID_STEPS = np.float32(STEP), np.float32(STEPS_PER_UNIT)


class Weights(NamedTuple):
    """What the layers multiply by."""

    attention_norm: Array
    project_queries: Array
    project_keys_values: Array
    query_key_norm: Array
    project_back: Array
    attention_gain: Array
    feedforward_norm: Array
    project_in: Array
    project_out: Array
    feedforward_gain: Array


class Ends(NamedTuple):
    """What lies before and after the layers.

    Attributes:
        table: The input vector of every possible patch, then that of the start.
        vectors: What is added for more than the last byte, a row each.
        places: What the input adds at each position.
        norm: The last norm's gain.
        head: [width, node].
        bias: One number a node.
    """

    table: Array
    vectors: Array
    places: Array
    norm: Array
    head: Array
    bias: Array


class Halting(NamedTuple):
    """What decides how many layers a position runs (`model.halting`); without it, units of no layer.

    Attributes:
        weights: Of both streams, [layer, 2 * width], as they are used, of all layers but the last.
        biases: One number a layer.
        threshold: A position halts when its sum reaches it.
    """

    weights: Array
    biases: Array
    threshold: np.float32


class Memory(NamedTuple):
    """What the layers keep of the positions seen.

    Attributes:
        keys: At (layer, text, head, block, channel, lane): position 16·block + lane, so that one channel's
            of 16 positions lie side by side.
        values: At (layer, text, head, position, channel).
    """

    keys: Array
    values: Array


class Turns(NamedTuple):
    """What rotates a pair of channels, at (position, pair)."""

    cosines: Array
    sines: Array


@compiled
def turn(row: Array, cosines: Array, sines: Array) -> None:
    """Rotate each pair of channels, in place."""
    for pair in range(len(cosines)):
        real, imaginary = row[2 * pair], row[2 * pair + 1]
        row[2 * pair] = real * cosines[pair] - imaginary * sines[pair]
        row[2 * pair + 1] = real * sines[pair] + imaginary * cosines[pair]


@compiled
def attend(
    query: Array, keys: Array, values: Array, first: int, last: int, scores: Array, out: Array
) -> None:
    """Write what one head's query takes from the positions first…last.

    Args:
        query: One number a channel, scaled.
        keys: [block, channel, lane].
        values: [position, channel].
        first: The first position seen.
        last: The query's own.
        scores: Room for a number a position.
        out: One number a channel.
    """
    block = first // LANES
    for b in range(block, last // LANES + 1):
        weights = scores[(b - block) * LANES : (b - block + 1) * LANES]
        weights[:] = ZERO
        add_product(query, keys[b], weights)
    weights = scores[first - block * LANES : last + 1 - block * LANES]
    seen = last + 1 - first
    highest = weights[0]
    for p in range(seen):
        highest = max(highest, weights[p])
    for p in range(seen):
        weights[p] = exponential(weights[p] - highest)
    scale = ONE / total(weights)
    out[:] = ZERO
    add_product(weights, values[first : last + 1], out)
    for c in range(len(out)):
        out[c] *= scale


@compiled
def add_whole_steps(branch: Array, stream: Array) -> np.int32:
    """Add a branch to a stream on the grid; return the greatest magnitude's bits.

    Magnitudes of floats are ordered as their bits are, infinity and what is no number above all others.
    """
    greatest = np.int32(0)
    for j in range(len(stream)):
        moved = np.float32(fused(to_whole(branch[j] * GRID_STEPS), GRID_STEP, stream[j]))
        stream[j] = moved
        greatest = max(greatest, np.int32(moved.view(np.int32) & np.int32(0x7FFFFFFF)))
    return greatest


@compiled
def extend(
    x1: Array,
    x2: Array,
    start: int,
    first_seen: npt.NDArray[np.int64],
    weights: Weights,
    halting: Halting,
    memory: Memory,
    turns: Turns,
    greatest: npt.NDArray[np.int32],
) -> int:
    """Run the next positions of some texts through all layers, in place, and keep their keys and values.

    A position that has halted keeps its streams, and still offers keys and values to those that have not.

    Args:
        x1: The first stream, on the grid: the texts one after the other, each as many positions.
        x2: The second.
        start: The first of the positions.
        first_seen: For each position of the window, the first it sees.
        weights: Of all layers.
        halting: Of all layers but the last.
        memory: Of the positions before.
        turns: For each position of the window.
        greatest: Set to the greatest magnitude's bits in each stream after each layer; zeros until now.

    Returns:
        How many layers were run by how many positions, all told.
    """
    count = len(x1)
    each = count // memory.keys.shape[1]
    normed = np.empty_like(x1)
    pairs = np.empty((count, weights.project_keys_values.shape[2]), np.float32)
    runs, halted = 0, np.zeros(count, np.float32)
    for layer in range(len(weights.attention_norm)):
        gain = weights.query_key_norm[layer]
        for t in range(count):
            normalise(x2[t], weights.attention_norm[layer], normed[t])
        product(normed, weights.project_keys_values[layer], pairs)
        for t in range(count):
            keep_keys_and_values(pairs[t], gain, turns, memory, layer, t // each, start + t % each)
        awake = np.flatnonzero(halted < halting.threshold)
        if len(awake) == 0:
            continue
        runs += len(awake)
        asked = take_from_all(normed, awake, start, first_seen, weights, memory, turns, layer)
        for i, at in enumerate(awake):
            normalise(asked[i], weights.attention_gain[layer], normed[at])
            greatest[2 * layer] = max(greatest[2 * layer], add_whole_steps(normed[at], x1[at]))
        transformed = transform(x1, awake, weights, layer)
        for i, at in enumerate(awake):
            normalise(transformed[i], weights.feedforward_gain[layer], normed[at])
            greatest[2 * layer + 1] = max(greatest[2 * layer + 1], add_whole_steps(normed[at], x2[at]))
        if layer < len(halting.biases):
            for at in awake:
                halted[at] += grow(x1[at], x2[at], halting.weights[layer], halting.biases[layer])
    return runs


@compiled
def take_from_all(
    normed: Array,
    awake: npt.NDArray[np.int64],
    start: int,
    first_seen: npt.NDArray[np.int64],
    weights: Weights,
    memory: Memory,
    turns: Turns,
    layer: int,
) -> Array:
    """Return what attention adds to those positions that are awake, before its last norm."""
    heads, channels = memory.values.shape[2], memory.values.shape[4]
    each, scale = len(normed) // memory.keys.shape[1], ONE / np.sqrt(np.float32(channels))
    rows = np.empty((len(awake), normed.shape[1]), np.float32)
    queries = np.empty((len(awake), heads * channels), np.float32)
    taken = np.empty_like(queries)
    turned, scores = np.empty(channels, np.float32), np.empty(memory.values.shape[3] + LANES, np.float32)
    for i, t in enumerate(awake):
        rows[i] = normed[t]
    product(rows, weights.project_queries[layer], queries)
    for i, t in enumerate(awake):
        text, position = t // each, start + t % each
        for head in range(heads):
            normalise(
                queries[i][head * channels : (head + 1) * channels], weights.query_key_norm[layer], turned
            )
            turn(turned, turns.cosines[position], turns.sines[position])
            for c in range(channels):
                turned[c] *= scale
            out = taken[i][head * channels : (head + 1) * channels]
            keys, values = memory.keys[layer, text, head], memory.values[layer, text, head]
            attend(turned, keys, values, first_seen[position], position, scores, out)
    product(taken, weights.project_back[layer], rows)
    return rows


@compiled
def transform(x1: Array, awake: npt.NDArray[np.int64], weights: Weights, layer: int) -> Array:
    """Return what the perceptron adds to those positions that are awake, before its last norm."""
    rows = np.empty((len(awake), x1.shape[1]), np.float32)
    inner = np.empty((len(awake), weights.project_in.shape[2]), np.float32)
    for i, t in enumerate(awake):
        normalise(x1[t], weights.feedforward_norm[layer], rows[i])
    product(rows, weights.project_in[layer], inner)
    for i in range(len(awake)):
        bend(inner[i])
    product(inner, weights.project_out[layer], rows)
    return rows


@compiled
def grow(y1: Array, y2: Array, weights: Array, bias: np.float32) -> np.float32:
    """Return by how much a layer brings a position nearer to its end, on the grid."""
    width = len(y1)
    parts = np.empty(2 * width, np.float32)
    for j in range(width):
        parts[j], parts[width + j] = y1[j] * weights[j], y2[j] * weights[width + j]
    pull = total(parts) + bias
    small = exponential(-abs(pull))
    share = (ONE if pull >= ZERO else small) / (ONE + small)
    return to_whole(share * GRID_STEPS) * GRID_STEP


@compiled
def keep_keys_and_values(
    pair: Array, gain: Array, turns: Turns, memory: Memory, layer: int, text: int, position: int
) -> None:
    """Norm and turn a position's keys; keep keys and values."""
    heads, channels = memory.values.shape[2], memory.values.shape[4]
    turned = np.empty(channels, np.float32)
    for head in range(heads):
        normalise(pair[head * channels : (head + 1) * channels], gain, turned)
        turn(turned, turns.cosines[position], turns.sines[position])
        memory.keys[layer, text, head, position // LANES, :, position % LANES] = turned
        begin = (heads + head) * channels
        memory.values[layer, text, head, position] = pair[begin : begin + channels]


@compiled
def decode(
    values: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
    start: int,
    first_seen: npt.NDArray[np.int64],
    ends: Ends,
    weights: Weights,
    halting: Halting,
    memory: Memory,
    turns: Turns,
) -> tuple[Array, npt.NDArray[np.int32], int]:
    """Run the next positions of some texts, and predict the tree after the last of them.

    Args:
        values: What each position is told, a row of the table: [text, position].
        found: Which rows of the vectors each is told as well, [lookup, text, position]; -1 for none.
        start: The first of the positions.
        first_seen: For each position of the window, the first position it sees.
        ends: What lies before and after the layers.
        weights: Of all layers.
        halting: Of all layers but the last.
        memory: Of the positions before; extended.
        turns: For each position of the window.

    Returns:
        The trees' logits, [text, node]; the greatest magnitude's bits in both streams at the input and after
        each layer; and how many layers were run by how many positions, all told.
    """
    texts, count = values.shape
    width = ends.table.shape[1]
    x1 = np.zeros((texts * count, width), np.float32)
    told = np.empty(width, np.float32)
    greatest = np.zeros(2 + 2 * len(weights.attention_norm), np.int32)
    for t in range(texts * count):
        for j in range(width):
            told[j] = ends.table[values[t // count, t % count], j] + ends.places[start + t % count, j]
        for lookup in range(len(found)):
            if found[lookup, t // count, t % count] >= 0:
                add_scaled(ONE, ends.vectors[found[lookup, t // count, t % count]], told)
        greatest[0] = max(greatest[0], add_whole_steps(told, x1[t]))
    greatest[1] = greatest[0]
    x2 = x1.copy()
    runs = extend(x1, x2, start, first_seen, weights, halting, memory, turns, greatest[2:])
    last = np.empty((texts, width), np.float32)
    for text in range(texts):
        t = text * count + count - 1
        for j in range(width):
            told[j] = (x1[t, j] + x2[t, j]) * HALF
        normalise(told, ends.norm, last[text])
    logits = np.empty((texts, len(ends.bias)), np.float32)
    product(last, ends.head, logits)
    for text in range(texts):
        add_scaled(ONE, ends.bias, logits[text])
    return logits, greatest, runs
