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
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64, Num, UInt8, UInt64

from bitlm.compiled import compiled, ones_in

MAX_ORDER = 8
MOST_BYTES = 2**31 - 1

LEVELS = 8
_WORD_BITS = 64


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
        counts: At each node on the way to each byte.
        stretches: At (begin or end, row, byte, order), where what followed the context lies; nothing did
            where they are equal.
    """

    counts: Counts
    stretches: Int32[np.ndarray, "2 row byte order"]


class Matrix(NamedTuple):
    """A wavelet matrix, for compiled functions.

    Attributes:
        words: 64 bits a word; level i has the i-th bit of every byte.
        ones_before: How many ones of the level lie before each word.
        zeros: How many zeros each level has.
        steps: What leads from a byte's place below the last level to its place among what follows that byte.
    """

    words: UInt64[np.ndarray, "8 word"]
    ones_before: Int32[np.ndarray, "8 word"]
    zeros: Int64[np.ndarray, "8"]
    steps: Int64[np.ndarray, "256"]


class ContextIndex:
    """The counts of one text.

    Attributes:
        matrix: Its bytes in context order, as a wavelet matrix.
        length: Bytes counted.
    """

    def __init__(self, words: UInt64[np.ndarray, "8 word"], length: int) -> None:
        self.length = length
        ones = np.bitwise_count(words).astype(np.int32)
        ones_before = np.zeros_like(ones)
        np.cumsum(ones[:, :-1], axis=1, out=ones_before[:, 1:])
        zeros = length - ones.sum(axis=1, dtype=np.int64)
        self.matrix = Matrix(words, ones_before, zeros, _steps(words, ones_before, zeros, length))

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
        zeros, ones = np.zeros((2, *values.shape, LEVELS, order + 1), dtype=np.int32)
        stretches = np.zeros((2, *values.shape, order + 1), dtype=np.int32)
        _descend_rows(self.matrix, self.length, np.ascontiguousarray(values), zeros, ones, stretches)
        return Descent(Counts(zeros, ones), stretches)

    def path_counts(self, values: UInt8[np.ndarray, "row byte"], order: int) -> Counts:
        """Return the counts of `descent`, order by order within each bit."""
        return self.descent(values, order).counts

    # One context at a time, for generation

    def begin(self, rows: int, orders: int) -> Int32[np.ndarray, "2 row order"]:
        """Return the stretches of texts of which nothing is known: all of order 0, none of the others."""
        stretches = np.zeros((2, rows, orders), dtype=np.int32)
        stretches[1, :, 0] = self.length
        return stretches

    def descend(
        self, stretches: Int32[np.ndarray, "2 row order"], level: int, bit: Bool[np.ndarray, "row"]
    ) -> None:
        """Lead the stretches one bit further: of the same contexts, in the next level."""
        _descend(self.matrix, stretches, level, bit)

    def lengthen(self, stretches: Int32[np.ndarray, "2 row order"], value: UInt8[np.ndarray, "row"]) -> None:
        """Lead the stretches from the bottom, where `value` was read, to the next byte."""
        _lengthen(self.matrix, stretches, value, self.length)

    def read(self, stretches: Int32[np.ndarray, "2 row order"], value: UInt8[np.ndarray, "row"]) -> None:
        """Lead the stretches past a whole byte."""
        _read(self.matrix, stretches, value, self.length)

    def node_counts(
        self, stretches: Int32[np.ndarray, "2 row order"], levels: range
    ) -> Int32[np.ndarray, "2 row node order"]:
        """Return zeros and ones at every node of these levels, the first of them the stretches' own."""
        rows, orders = stretches.shape[1:]
        counts = np.zeros((2, rows, (1 << len(levels)) - 1, orders), dtype=np.int32)
        _count_nodes(self.matrix, stretches, levels.start, counts)
        return counts


@compiled
def _rank(matrix: Matrix, level: int, place: int) -> int:
    """Return how many ones of a level lie before a place."""
    word = place >> 6
    below = matrix.words[level, word] & ((np.uint64(1) << np.uint64(place & 63)) - np.uint64(1))
    return matrix.ones_before[level, word] + np.int64(ones_in(below))  # type: ignore[no-any-return]


@compiled
def _down(matrix: Matrix, level: int, bit: int, place: int) -> int:
    """Return where a place goes in the next level, if its byte has this bit."""
    ones = _rank(matrix, level, place)
    return ones + matrix.zeros[level] if bit else place - ones


@compiled
def _descend_rows(  # noqa: PLR0917 - compiled functions have no named arguments
    matrix: Matrix,
    length: int,
    values: UInt8[np.ndarray, "row byte"],
    zeros: Int32[np.ndarray, "row byte 8 order"],
    ones: Int32[np.ndarray, "row byte 8 order"],
    stretches: Int32[np.ndarray, "2 row byte order"],
) -> None:
    """Fill in `Descent`, all zeros until now."""
    rows, count, orders = stretches.shape[1:]
    begins, ends = np.zeros(orders, np.int64), np.zeros(orders, np.int64)
    for row in range(rows):
        for i in range(count):
            known = min(i + 1, orders)
            begins[0], ends[0] = 0, length
            stretches[0, row, i, :known], stretches[1, row, i, :known] = begins[:known], ends[:known]
            value = values[row, i]
            step = matrix.steps[value]
            # Level by level, so that the orders' look-ups, far apart in memory, wait for it together.
            for level in range(LEVELS):
                is_one = (value >> (LEVELS - 1 - level)) & 1
                for k in range(known):
                    begin, end = begins[k], ends[k]
                    if begin == end:
                        break  # nor has a longer context been seen
                    ones_at_begin, ones_at_end = _rank(matrix, level, begin), _rank(matrix, level, end)
                    ones[row, i, level, k] = ones_at_end - ones_at_begin
                    zeros[row, i, level, k] = (end - ones_at_end) - (begin - ones_at_begin)
                    if is_one:
                        begins[k], ends[k] = (
                            ones_at_begin + matrix.zeros[level],
                            ones_at_end + matrix.zeros[level],
                        )
                    else:
                        begins[k], ends[k] = begin - ones_at_begin, end - ones_at_end
            # From the longest context down, as each leads to the one that is a byte longer.
            for k in range(min(known, orders - 1), 0, -1):
                begin, end = begins[k - 1], ends[k - 1]
                begins[k], ends[k] = (0, 0) if begin == end else (begin + step, end + step)


@compiled
def _descend(
    matrix: Matrix, stretches: Int32[np.ndarray, "2 row order"], level: int, bits: Bool[np.ndarray, "row"]
) -> None:
    for row in range(len(bits)):
        for k in range(stretches.shape[2]):
            for end in range(2):
                stretches[end, row, k] = _down(matrix, level, bits[row], stretches[end, row, k])


@compiled
def _lengthen(
    matrix: Matrix, stretches: Int32[np.ndarray, "2 row order"], values: UInt8[np.ndarray, "row"], length: int
) -> None:
    for row in range(len(values)):
        for k in range(stretches.shape[2] - 1, 0, -1):
            for end in range(2):
                stretches[end, row, k] = stretches[end, row, k - 1] + matrix.steps[values[row]]
        stretches[0, row, 0], stretches[1, row, 0] = 0, length


@compiled
def _read(
    matrix: Matrix, stretches: Int32[np.ndarray, "2 row order"], values: UInt8[np.ndarray, "row"], length: int
) -> None:
    for level in range(LEVELS):
        _descend(matrix, stretches, level, (values >> (LEVELS - 1 - level)) & 1 == 1)
    _lengthen(matrix, stretches, values, length)


@compiled
def _count_nodes(
    matrix: Matrix,
    stretches: Int32[np.ndarray, "2 row order"],
    level: int,
    counts: Int32[np.ndarray, "2 row node order"],
) -> None:
    """Fill in the counts of a tree, all zeros until now, whose root lies at a level."""
    _, rows, nodes, orders = counts.shape
    begins, ends = np.empty(2 * nodes + 1, np.int64), np.empty(2 * nodes + 1, np.int64)
    for row in range(rows):
        for k in range(orders):
            begins[0], ends[0] = stretches[0, row, k], stretches[1, row, k]
            depth, next_depth = level, 1
            for node in range(nodes):
                if node == next_depth:
                    depth, next_depth = depth + 1, 2 * next_depth + 1
                begin, end = begins[node], ends[node]
                left, right = 2 * node + 1, 2 * node + 2
                if begin == end:
                    begins[left] = ends[left] = begins[right] = ends[right] = 0
                    continue
                ones_at_begin, ones_at_end = _rank(matrix, depth, begin), _rank(matrix, depth, end)
                begins[left], ends[left] = begin - ones_at_begin, end - ones_at_end
                zeros = matrix.zeros[depth]
                begins[right], ends[right] = ones_at_begin + zeros, ones_at_end + zeros
                counts[0, row, node, k] = ends[left] - begins[left]
                counts[1, row, node, k] = ones_at_end - ones_at_begin


def _steps(
    words: UInt64[np.ndarray, "8 word"],
    ones_before: Int32[np.ndarray, "8 word"],
    zeros: Int64[np.ndarray, "8"],
    length: int,
) -> Int64[np.ndarray, "256"]:
    """Return the `steps` of a matrix.

    Below the last level the occurrences of a value lie side by side: from where the text's begin arrives when
    it is led down along the value, to where its end does.
    """
    matrix = Matrix(words, ones_before, zeros, np.zeros(256, dtype=np.int64))
    places = np.array([[_bottom(matrix, value, place) for value in range(256)] for place in (0, length)])
    counts = places[1] - places[0]
    steps: Int64[np.ndarray, 256] = np.cumsum(counts) - counts - places[0]
    return steps


@compiled
def _bottom(matrix: Matrix, value: int, place: int) -> int:
    """Return where a place arrives below the last level, along a byte's bits."""
    for level in range(LEVELS):
        place = _down(matrix, level, (value >> (LEVELS - 1 - level)) & 1, place)
    return place


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
