"""What followed each context in a text: exact counts of any order up to 8, in one and a half bytes a byte.

The text is closed to a ring, so that every byte has a context of every length. Its bytes, sorted by the
bytes before them read backwards, are its Burrows–Wheeler transform: what followed one context lies side by
side, whatever the context's length. A wavelet matrix over that row of bytes counts the bits of any stretch
with two look-ups, so a node of the bit tree over the next byte costs the same after one byte of context as
after eight, and a byte read leads from a context's stretch to that of the context one byte longer.

Source: Ferragina & Manzini, "Opportunistic data structures with applications", FOCS 2000 (the step from a
context to a longer one); Claude, Navarro & Ordóñez, "The wavelet matrix", Information Systems 47, 2015.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int32, Int64, Num, UInt8, UInt64

MAX_ORDER = 8
MOST_BYTES = 2**31 - 1

LEVELS = 8
_WORD_BITS = 64
_BELOW = (np.uint64(1) << np.arange(_WORD_BITS, dtype=np.uint64)) - np.uint64(1)
"""Of a word, the bits below each place."""

Places = Int32[np.ndarray, "..."]
"""Places in a level of the matrix, such as where stretches of it begin and end."""


@dataclass(frozen=True)
class Counts:
    """How often the bit at a node was 0 and 1.

    Attributes:
        zeros: At (row, byte, bit, order), of the bit's node after the `order` bytes before it.
        ones: The same for the other value.
    """

    zeros: Num[np.ndarray, "row byte bit order"]
    ones: Num[np.ndarray, "row byte bit order"]


@dataclass(frozen=True)
class Descent:
    """What the index has to say of some rows of bytes.

    Attributes:
        counts: At (value of the bit, order, bit, row, byte), how often the node was left to that value.
        stretches: At (begin or end, order, row, byte), where what followed the context lies.
    """

    counts: Int32[np.ndarray, "2 order 8 row byte"]
    stretches: Int32[np.ndarray, "2 order row byte"]


class ContextIndex:
    """The counts of one text.

    Attributes:
        words: The wavelet matrix, 64 bits a word; level i has the i-th bit of every byte.
        length: Bytes counted.
    """

    def __init__(self, words: UInt64[np.ndarray, "8 word"], length: int) -> None:
        self.words = words
        self.length = length
        ones = np.bitwise_count(words).astype(np.int32)
        self._ones_before = np.zeros_like(ones)
        np.cumsum(ones[:, :-1], axis=1, out=self._ones_before[:, 1:])
        self._zeros = (length - ones.sum(axis=1)).astype(np.int32)

    @classmethod
    def of(cls, followers: UInt8[np.ndarray, "byte"]) -> "ContextIndex":
        """Index a text, given its bytes in the order of `context_order`."""
        assert 0 < len(followers) <= MOST_BYTES, "whoever fits a model checks what it is given"
        return cls(_wavelet_matrix(followers), len(followers))

    # Whole rows, for training and evaluation

    def descent(self, values: UInt8[np.ndarray, "row byte"], order: int) -> Descent:
        """Return the counts at each node on the way to each byte, after contexts of 0…`order` bytes.

        A context that reaches back before a row's first byte was not given and counts nothing.
        """
        rows, count = values.shape
        bits = np.unpackbits(values[..., None], axis=-1).astype(bool)
        steps = self._steps[values]
        counts = np.zeros((2, order + 1, LEVELS, rows, count), dtype=np.int32)
        stretches = np.zeros((2, order + 1, rows, count), dtype=np.int32)
        stretches[1, 0] = self.length
        for k in range(order + 1):
            narrowed = stretches[:, k, :, k:]
            for level in range(LEVELS):
                ones_before = self._rank(level, narrowed)
                zeros_before = narrowed - ones_before
                np.subtract(zeros_before[1], zeros_before[0], out=counts[0, k, level, :, k:])
                np.subtract(ones_before[1], ones_before[0], out=counts[1, k, level, :, k:])
                went_to_one = bits[:, k:, level]
                narrowed = np.where(went_to_one, ones_before + self._zeros[level], zeros_before)
            if k < order:
                stretches[:, k + 1, :, k + 1 :] = (narrowed + steps[:, k:])[..., :-1]
        return Descent(counts, stretches)

    def path_counts(self, values: UInt8[np.ndarray, "row byte"], order: int) -> Counts:
        """Return the counts of `descent`, order by order within each bit."""
        zeros, ones = self.descent(values, order).counts.transpose(0, 3, 4, 2, 1)
        return Counts(zeros, ones)

    # One context at a time, for generation

    def begin(self, rows: int, orders: int) -> Int32[np.ndarray, "2 row order"]:
        """Return the stretches of texts of which nothing is known: all of order 0, none of the others."""
        stretches = np.zeros((2, rows, orders), dtype=np.int32)
        stretches[1, :, 0] = self.length
        return stretches

    def descend(
        self, stretches: Int32[np.ndarray, "2 row order"], level: int, bit: Bool[np.ndarray, "row"]
    ) -> Int32[np.ndarray, "2 row order"]:
        """Return the stretches one bit further: of the same contexts, in the next level."""
        ones_before = self._rank(level, stretches)
        below: Places = np.where(bit[:, None], ones_before + self._zeros[level], stretches - ones_before)
        return below

    def lengthen(
        self, stretches: Int32[np.ndarray, "2 row order"], value: UInt8[np.ndarray, "row"]
    ) -> Int32[np.ndarray, "2 row order"]:
        """Return the stretches at the next byte, from those at the bottom, where `value` was read."""
        longer = self.begin(*stretches.shape[1:])
        longer[:, :, 1:] = stretches[:, :, :-1] + self._steps[value][:, None]
        return longer

    def node_counts(
        self, stretches: Int32[np.ndarray, "2 row order"], levels: range
    ) -> tuple[Int32[np.ndarray, "row node order"], Int32[np.ndarray, "row node order"]]:
        """Return zeros and ones at every node of these levels, the first of them the stretches' own."""
        rows, orders = stretches.shape[1:]
        below = stretches.reshape(2, rows, 1, orders)
        zeros, ones = [], []
        for depth in levels:
            ones_before = self._rank(depth, below)
            zeros_before = below - ones_before
            zeros.append(zeros_before[1] - zeros_before[0])
            ones.append(ones_before[1] - ones_before[0])
            halves = np.stack([zeros_before, ones_before + self._zeros[depth]], axis=3)
            below = halves.reshape(2, rows, -1, orders)
        return np.concatenate(zeros, axis=1), np.concatenate(ones, axis=1)

    # Inside the matrix

    def _rank(self, level: int, places: Places) -> Places:
        """Return how many ones of a level lie before each place."""
        word = places >> 6
        below = self.words[level].take(word)
        below &= _BELOW.take(places & (_WORD_BITS - 1))
        ones: Places = np.bitwise_count(below) + self._ones_before[level].take(word)
        return ones

    @cached_property
    def _steps(self) -> Int32[np.ndarray, "256"]:
        """What leads from a byte's place below the last level to its place among what follows that byte."""
        # Below the last level the occurrences of a value lie side by side: from where the text's begin
        # arrives when it is led down along the value, to where its end does.
        places = np.zeros((2, 256), dtype=np.int32)
        places[1] = self.length
        values = np.arange(256)
        for level in range(LEVELS):
            ones_before = self._rank(level, places)
            is_one = ((values >> (LEVELS - 1 - level)) & 1).astype(bool)
            places = np.where(is_one, ones_before + self._zeros[level], places - ones_before)
        counts = places[1] - places[0]
        steps: Places = (np.cumsum(counts) - counts - places[0]).astype(np.int32)
        return steps


def context_order(text: UInt8[np.ndarray, "byte"]) -> Int64[np.ndarray, "byte"]:
    """Return the places of a ring's bytes in the order of the 8 bytes before each, the nearest first."""
    keys = np.zeros(len(text), dtype=np.uint64)
    for distance in range(1, MAX_ORDER + 1):
        keys |= np.roll(text, distance).astype(np.uint64) << np.uint64(64 - 8 * distance)
    return np.argsort(keys, kind="stable")


def _wavelet_matrix(values: UInt8[np.ndarray, "byte"]) -> UInt64[np.ndarray, "8 word"]:
    """Return the bits of a row of bytes, level by level; a level is ordered by the bits above it."""
    words = np.zeros((LEVELS, len(values) // _WORD_BITS + 1), dtype=np.uint64)
    as_bytes = words.view(np.uint8)
    for level in range(LEVELS):
        bits = (values >> (LEVELS - 1 - level)) & 1
        packed = np.packbits(bits, bitorder="little")
        as_bytes[level, : len(packed)] = packed
        is_one = bits.astype(bool)
        values = np.concatenate([values[~is_one], values[is_one]])
    return words
