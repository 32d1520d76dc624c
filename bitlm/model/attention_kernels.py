"""Causal attention of whole windows and its gradients, compiled; never all of a T × T map.

Source: Dao et al., "FlashAttention", NeurIPS 2022 (blocks, and the maps computed again for the gradients).
A block's map is kept [key, query], so that every product runs along many queries or along the channels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlm.compiled import compiled
from bitlm.model.head_kernels import Heads, make, make_back, turn_over
from bitlm.model.kernels import ONE, ZERO, Array, exponential, logarithm, total
from bitlm.tiles import LANES, ROWS, add_tile_16, add_tile_32, add_turned_16, add_turned_32

IntArray = npt.NDArray[np.int64]

QUERIES = 128
"""Of a block; a multiple of a tile's columns."""

KEYS = ROWS
"""That share a tile."""


class Sight(NamedTuple):
    """Who sees whom.

    Attributes:
        first: For each query, the first key it sees; the last is its own.
        until: For each key, the first later query that does not see it.
    """

    first: IntArray
    until: IntArray


@compiled
def multiply_keys(
    keys: Array, queries: Array, sight: Sight, begin: int, end: int, first: int, out: Array
) -> None:
    """Write keys · queries of a block, [key - first, query - begin], where a key's tile is seen at all.

    Args:
        keys: [position, channel], from 4 more rows on zeros.
        queries: [channel, position], from its length on zeros for another block.
        sight: Who sees whom.
        begin: The block's first query.
        end: The first after it.
        first: The first key that one of them sees.
        out: Room for a number for each key and query.
    """
    channels = keys.shape[1]
    for g in range(first, end, KEYS):
        low, high = seen_by(sight, g, begin, end)
        for row in range(g - first, g - first + KEYS):
            out[row][low:high] = ZERO
        for column in range(low, high - LANES, 2 * LANES):
            add_tile_32(out, g - first, column, keys, g, 0, queries, 0, begin + column, channels)
        if (high - low) % (2 * LANES):
            add_tile_16(out, g - first, high - LANES, keys, g, 0, queries, 0, begin + high - LANES, channels)


@compiled
def seen_by(sight: Sight, key: int, begin: int, end: int) -> tuple[int, int]:
    """Return which columns of a block have the queries that see one of four keys: whole sixteens."""
    low = max(key, begin) - begin
    high = min(sight.until[min(key + KEYS, end) - 1], end) - begin
    return low - low % LANES, high + (-high) % LANES


@compiled
def hide(sight: Sight, begin: int, end: int, first: int, weights: Array) -> None:
    """Write -inf in the tiles of `multiply_keys` where a query does not see a key."""
    for g in range(first, end, KEYS):
        low, high = seen_by(sight, g, begin, end)
        for key in range(g, g + KEYS):
            row = weights[key - first]
            row[low : min(max(key - begin, low), high)] = -np.inf
            row[max(min(sight.until[min(key, end - 1)] - begin, high), low) : high] = -np.inf


@compiled
def attend_block(
    keys: Array,
    queries: Array,
    values: Array,
    sight: Sight,
    begin: int,
    end: int,
    weights: Array,
    out: Array,
    log_sums: Array,
) -> None:
    """Write what a block's queries take, and the logarithm of what their weights are divided by.

    Args:
        keys: As for `multiply_keys`, like all that is not named here.
        queries: The block's.
        values: As keys.
        sight: Who sees whom.
        begin: The first query.
        end: The first after them.
        weights: Room for a number for each key and query.
        out: [query, channel].
        log_sums: One number a position.
    """
    first = sight.first[begin]
    multiply_keys(keys, queries, sight, begin, end, first, weights)
    hide(sight, begin, end, first, weights)
    highest, sums = np.full(QUERIES, -np.inf, np.float32), np.zeros(QUERIES, np.float32)
    for g in range(first, end, KEYS):
        low, high = seen_by(sight, g, begin, end)
        highest_here = highest[low:high]
        for r in range(g - first, g - first + KEYS):
            row = weights[r][low:high]
            for q in range(len(row)):
                highest_here[q] = max(highest_here[q], row[q])
    for g in range(first, end, KEYS):
        low, high = seen_by(sight, g, begin, end)
        highest_here, sums_here = highest[low:high], sums[low:high]
        for r in range(g - first, g - first + KEYS):
            row = weights[r][low:high]
            for q in range(len(row)):
                row[q] = exponential(row[q] - highest_here[q])
                sums_here[q] += row[q]
    out[:] = ZERO
    take(weights, values, sight, begin, end, first, out)
    for q in range(end - begin):
        log_sums[begin + q] = highest[q] + logarithm(sums[q])
        row, share = out[q], ONE / sums[q]
        for c in range(len(row)):
            row[c] *= share


@compiled
def take(weights: Array, values: Array, sight: Sight, begin: int, end: int, first: int, out: Array) -> None:
    """Add weights · values to what a block's queries take: [query, channel]."""
    for q in range(begin, end, ROWS):
        key = sight.first[q]
        count = min(q + ROWS, end) - key
        for column in range(0, out.shape[1] - LANES, 2 * LANES):
            add_turned_32(out, q - begin, column, weights, key - first, q - begin, values, key, column, count)
        if out.shape[1] % (2 * LANES):
            column = out.shape[1] - LANES
            add_turned_16(out, q - begin, column, weights, key - first, q - begin, values, key, column, count)


@compiled
def give(weights: Array, rows: Array, sight: Sight, begin: int, end: int, first: int, out: Array) -> None:
    """Add weights · rows of the block's queries to the keys that they see: [key, channel]."""
    for g in range(first, end, KEYS):
        low = max(g, begin) - begin
        count = min(sight.until[min(g + KEYS, end) - 1], end) - begin - low
        for column in range(0, out.shape[1] - LANES, 2 * LANES):
            add_tile_32(out, g, column, weights, g - first, low, rows, low, column, count)
        if out.shape[1] % (2 * LANES):
            column = out.shape[1] - LANES
            add_tile_16(out, g, column, weights, g - first, low, rows, low, column, count)


@compiled
def room_of(length: int, sight: Sight) -> Array:
    """Return room for the weights of any block."""
    most = 0
    for begin in range(0, length, QUERIES):
        most = max(most, min(begin + QUERIES, length) - sight.first[begin])
    return np.zeros((most + KEYS, QUERIES), np.float32)


@compiled
def attend(
    parts: Array, heads: Heads, sight: Sight, begin: int, end: int, out: Array, log_sums: Array
) -> None:
    """Write what some heads' queries take.

    Args:
        parts: All queries, all keys and all values, before the norm: [batch, position, 3 * head, channel].
        heads: How they are made.
        sight: Who sees whom.
        begin: Of all rows' heads, row for row, the first.
        end: The first that is not meant.
        out: [batch, position, head, channel].
        log_sums: [batch, head, position].
    """
    _, length, count, channels = out.shape
    weights, scale = room_of(length, sight), ONE / np.sqrt(np.float32(channels))
    most, wide = length + QUERIES, channels + (-channels) % LANES
    queries, columns = np.zeros((wide, most), np.float32), np.zeros((wide, most), np.float32)
    keys, values = np.zeros((most, wide), np.float32), np.zeros((most, wide), np.float32)
    taken, spread = np.empty((QUERIES, wide), np.float32), np.empty(length, np.float32)
    for head in range(begin, end):
        b, h = head // count, head % count
        make(parts[b], h, heads, scale, queries, spread)
        make(parts[b], count + h, heads, ONE, columns, spread)
        turn_over(columns, keys)
        copy_rows(parts[b], 2 * count + h, values)
        for q in range(0, length, QUERIES):
            last = min(q + QUERIES, length)
            attend_block(keys, queries, values, sight, q, last, weights, taken, log_sums[b, h])
            for t in range(q, last):
                row, into = taken[t - q], out[b, t, h]
                for c in range(len(into)):
                    into[c] = row[c]


@compiled
def copy_rows(parts: Array, head: int, rows: Array) -> None:
    """Write one head's part of [position, head, channel]."""
    for t in range(len(parts)):
        part, row = parts[t, head], rows[t]
        for c in range(len(part)):
            row[c] = part[c]


class BackwardRoom(NamedTuple):
    """What a head's gradients need; numbers of positions that are not there are 0.

    Attributes:
        turned: Queries, [channel, position]; at the end their gradient.
        queries: [position, channel], as all that follows but for what is called turned or normed.
        keys: Of the head.
        values: Of the head.
        pulled: The gradient of what the queries take.
        turned_pulled: [channel, position].
        taken: What the queries take, times its gradient.
        normed: Room, [channel, position].
        deltas: At each position, the sum of `taken`.
        log_sums: Of `attend_block`.
        spread: Room for a number a position.
        weights: Room for a number for each key and query of a block.
        pulls: As much room.
        of_queries: The gradient, as for the others.
        of_keys: Likewise.
        of_values: Likewise.
    """

    turned: Array
    queries: Array
    keys: Array
    values: Array
    pulled: Array
    turned_pulled: Array
    taken: Array
    normed: Array
    deltas: Array
    log_sums: Array
    spread: Array
    weights: Array
    pulls: Array
    of_queries: Array
    of_keys: Array
    of_values: Array


@compiled
def backward_room(length: int, channels: int, sight: Sight) -> BackwardRoom:
    """Return room for one head after the other."""
    rows = (length + QUERIES, channels + (-channels) % LANES)
    columns = (rows[1], rows[0])
    return BackwardRoom(
        np.zeros(columns, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(columns, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(columns, np.float32),
        np.zeros(rows[0], np.float32),
        np.zeros(rows[0], np.float32),
        np.zeros(length, np.float32),
        room_of(length, sight),
        room_of(length, sight),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
    )


@compiled
def attend_block_backward(room: BackwardRoom, sight: Sight, begin: int, end: int) -> None:
    """Add the gradients that the queries from one to below another make."""
    first = sight.first[begin]
    weights, pulls = room.weights, room.pulls
    multiply_keys(room.keys, room.turned, sight, begin, end, first, weights)
    multiply_keys(room.values, room.turned_pulled, sight, begin, end, first, pulls)
    hide(sight, begin, end, first, weights)
    for g in range(first, end, KEYS):
        low, high = seen_by(sight, g, begin, end)
        log_sums_here = room.log_sums[begin + low : begin + high]
        deltas_here = room.deltas[begin + low : begin + high]
        for r in range(g - first, g - first + KEYS):
            row, pull = weights[r][low:high], pulls[r][low:high]
            for q in range(len(row)):
                row[q] = exponential(row[q] - log_sums_here[q])
                pull[q] = row[q] * (pull[q] - deltas_here[q])
    give(weights, room.pulled[begin:], sight, begin, end, first, room.of_values)
    give(pulls, room.queries[begin:], sight, begin, end, first, room.of_keys)
    take(pulls, room.keys, sight, begin, end, first, room.of_queries[begin:])


@compiled
def attend_backward(
    parts: Array,
    heads: Heads,
    sight: Sight,
    begin: int,
    end: int,
    out: Array,
    log_sums: Array,
    gradient: Array,
    of_parts: Array,
    of_gain: Array,
) -> None:
    """Write the gradients of `attend` for some heads.

    Args:
        parts: As there, like all that is not named here.
        heads: How they are made.
        sight: Who sees whom.
        begin: The first head.
        end: The first that is not meant.
        out: What was taken.
        log_sums: Of `attend`.
        gradient: Of `out`.
        of_parts: As `parts`.
        of_gain: [batch * head, channel], zeros until now.
    """
    _, length, count, channels = out.shape
    room = backward_room(length, channels, sight)
    scale = ONE / np.sqrt(np.float32(channels))
    for head in range(begin, end):
        b, h = head // count, head % count
        make(parts[b], h, heads, scale, room.turned, room.spread)
        turn_over(room.turned, room.queries)
        make(parts[b], count + h, heads, ONE, room.normed, room.spread)
        turn_over(room.normed, room.keys)
        copy_rows(parts[b], 2 * count + h, room.values)
        copy_rows(gradient[b], h, room.pulled)
        turn_over(room.pulled, room.turned_pulled)
        copy_rows(out[b], h, room.taken)
        for t in range(length):
            row, other = room.taken[t], room.pulled[t]
            for c in range(len(row)):
                row[c] *= other[c]
            room.deltas[t], room.log_sums[t] = total(row), log_sums[b, h, t]
        room.of_queries[:], room.of_keys[:], room.of_values[:] = ZERO, ZERO, ZERO
        for q in range(0, length, QUERIES):
            attend_block_backward(room, sight, q, min(q + QUERIES, length))
        for t in range(length):
            row, into = room.of_values[t], of_parts[b, t, 2 * count + h]
            for c in range(len(into)):
                into[c] = row[c]
        normed, spread, into_gain = room.normed, room.spread, of_gain[head]
        turn_over(room.of_queries, room.turned)
        make_back(parts[b], h, heads, scale, room.turned, normed, spread, of_parts[b], into_gain)
        turn_over(room.of_keys, room.turned)
        make_back(parts[b], count + h, heads, ONE, room.turned, normed, spread, of_parts[b], into_gain)
