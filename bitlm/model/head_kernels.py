"""From a head's queries and keys to what meets in attention, and gradients back; compiled.

Everything is [channel, position] here: loops along many positions are fast, sums over a few channels not.
"""

from typing import NamedTuple

import numpy as np

from bitlm.compiled import compiled
from bitlm.model.kernels import NORM_EPSILON, ONE, ZERO, Array, total


class Heads(NamedTuple):
    """How queries and keys are made: normed, then turned.

    Attributes:
        gain: Of the norm.
        cosines: What rotates a pair of channels, at (pair, position).
        sines: Likewise.
    """

    gain: Array
    cosines: Array
    sines: Array


@compiled
def columns_of(parts: Array, head: int, columns: Array) -> None:
    """Write one head's part of [position, head, channel] as [channel, position]."""
    for c in range(parts.shape[2]):
        column = columns[c][: len(parts)]
        for t in range(len(column)):
            column[t] = parts[t, head, c]


@compiled
def turn_over(rows: Array, out: Array) -> None:
    """Write rows as columns, as many of both as there is room for."""
    for c in range(min(len(out), rows.shape[1])):
        column = out[c][: len(rows)]
        for t in range(len(column)):
            column[t] = rows[t, c]


@compiled
def norm_columns(columns: Array, channels: int, length: int, spread: Array) -> None:
    """Norm each position, in place, without a gain; write what distances from the mean were multiplied by."""
    share = ONE / np.float32(channels)
    mean, spread = np.zeros(length, np.float32), spread[:length]
    spread[:] = ZERO
    for c in range(channels):
        column = columns[c][:length]
        for t in range(len(column)):
            mean[t] += column[t]
    for t in range(len(mean)):
        mean[t] *= share
    for c in range(channels):
        column = columns[c][:length]
        for t in range(len(column)):
            column[t] -= mean[t]
            spread[t] += column[t] * column[t]
    for t in range(len(spread)):
        spread[t] = ONE / np.sqrt(spread[t] * share + NORM_EPSILON)
    for c in range(channels):
        column = columns[c][:length]
        for t in range(len(column)):
            column[t] *= spread[t]


@compiled
def make(parts: Array, head: int, heads: Heads, scale: np.float32, columns: Array, spread: Array) -> None:
    """Write the normed, turned and scaled queries or keys of one head: [channel, position].

    Args:
        parts: Of all heads, before that: [position, head, channel].
        head: Which of them; 0 is the first head's query, then come all queries, keys, values.
        heads: How it is done.
        scale: What the result is multiplied by.
        columns: As many channels or more, as many positions or more.
        spread: Room for a number a position.
    """
    length, channels = len(parts), len(heads.gain)
    columns_of(parts, head, columns)
    norm_columns(columns, channels, length, spread)
    for pair in range(len(heads.cosines)):
        even, odd = columns[2 * pair][:length], columns[2 * pair + 1][:length]
        even_gain, odd_gain = heads.gain[2 * pair] * scale, heads.gain[2 * pair + 1] * scale
        cosines, sines = heads.cosines[pair], heads.sines[pair]
        for t in range(len(even)):
            real, imaginary = even[t] * even_gain, odd[t] * odd_gain
            even[t] = real * cosines[t] - imaginary * sines[t]
            odd[t] = real * sines[t] + imaginary * cosines[t]


@compiled
def make_back(
    parts: Array,
    head: int,
    heads: Heads,
    scale: np.float32,
    of_columns: Array,
    normed: Array,
    spread: Array,
    of_parts: Array,
    of_gain: Array,
) -> None:
    """Write the gradient of `make` for `parts` and add that for the gain.

    Args:
        parts: As there, like all that is not named here.
        head: Which of them.
        heads: How it is done.
        scale: What the result was multiplied by.
        of_columns: The gradient of the result; used up.
        normed: Room for as much.
        spread: Room for a number a position.
        of_parts: As `parts`.
        of_gain: One number a channel.
    """
    length, channels = len(parts), len(heads.gain)
    columns_of(parts, head, normed)
    norm_columns(normed, channels, length, spread)
    mean, slope, product = (
        np.zeros(length, np.float32),
        np.zeros(length, np.float32),
        np.empty(length, np.float32),
    )
    for pair in range(len(heads.cosines)):
        even, odd = of_columns[2 * pair][:length], of_columns[2 * pair + 1][:length]
        cosines, sines = heads.cosines[pair], heads.sines[pair]
        for t in range(len(even)):
            real, imaginary = even[t] * scale, odd[t] * scale
            even[t] = real * cosines[t] + imaginary * sines[t]
            odd[t] = imaginary * cosines[t] - real * sines[t]
    for c in range(channels):
        column, along, gain = of_columns[c][:length], normed[c][:length], heads.gain[c]
        for t in range(len(column)):
            product[t] = column[t] * along[t]
            column[t] *= gain
            mean[t] += column[t]
            slope[t] += product[t] * gain
        of_gain[c] += total(product)
    share = ONE / np.float32(channels)
    for t in range(len(mean)):
        mean[t] *= share
        slope[t] *= share
    for c in range(channels):
        column, along = of_columns[c][:length], normed[c][:length]
        for t in range(len(column)):
            column[t] = (column[t] - mean[t] - along[t] * slope[t]) * spread[t]
    for t in range(length):
        row = of_parts[t, head]
        for c in range(len(row)):
            row[c] = of_columns[c, t]
