"""Counts of what lies earlier in a text: to learn from the text that is counted, or to adapt to another.

A bit must never be predicted from a count that it is part of. In training a byte's counts are therefore those
of the text before it, as if the text were read once from its beginning; in adaptive evaluation, as PPM does
it, the text that has been evaluated so far counts as well.

Source of the second: Cleary & Witten, "Data compression using adaptive coding and partial string matching",
IEEE Transactions on Communications 32(4), 1984.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

from bitlm.compiled import compiled
from bitlm.context_index import LEVELS, ContextIndex, Counts, context_order

FAR_SHARE = 1 / 16
"""How far before its window the text of a far count ends, as a share of the text."""

_SAMPLED = 24
"""Occurrences of a context that are looked at one by one; of a commoner one, as many are sampled."""

_SEGMENT_BYTES = 1 << 16

# Leading bits two bytes have in common, by their exclusive or.
_COMMON_BITS = np.array([LEVELS - value.bit_length() for value in range(256)], dtype=np.uint8)


class EarlierCounts:
    """The counts of a text before each of its bytes, for training on that text.

    Exact for contexts that occur at most 24 times in the whole text. Of a commoner one the whole text's
    counts are scaled by the share of it that lies earlier, judged by 24 occurrences: its statistics hardly
    depend on one byte, and looking at every occurrence would take longer than the rest of the step.

    Takes six and a half bytes of memory a byte of text.

    Attributes:
        length: Bytes of the text.
    """

    def __init__(self, text: UInt8[np.ndarray, "byte"]) -> None:
        places = context_order(text)
        self._places = places.astype(np.int32)
        self._followers = text[places]
        self._index = ContextIndex.of(self._followers)
        self.length = len(text)

    def of_step(
        self, step: int, values: UInt8[np.ndarray, "row byte"], starts: Int64[np.ndarray, "row"], order: int
    ) -> Counts:
        """Return the counts that the rows of a step of training are predicted from.

        Every other row has those before each byte. The others have far ones: of a text that ends a sixteenth
        of its length earlier, as the training text lies before another. From near ones alone a model learns
        to believe counts as one may believe those of the page just read: too much, of another text.

        Args:
            step: Decides which rows are far.
            values: As for `before`, like the others.
            starts: Where in the text each begins.
            order: The longest context, in bytes.
        """
        is_far = (np.arange(len(values)) + step) % 2 == 0
        return self.before(values, starts - is_far * int(self.length * FAR_SHARE), order)

    def before(
        self, values: UInt8[np.ndarray, "row byte"], starts: Int64[np.ndarray, "row"], order: int
    ) -> Counts:
        """Return the counts at each node on the way to each byte of rows cut from the text.

        A context that reaches back before its row counts nothing.

        Args:
            values: The rows.
            starts: Where in the text each begins; below 0 for a row from before it, for which nothing counts.
            order: The longest context, in bytes.
        """
        descent = self._index.descent(values, order)
        zeros, ones = (found.astype(np.float32) for found in (descent.counts.zeros, descent.counts.ones))
        limits = starts[:, None] + np.arange(values.shape[1])
        _keep_earlier(values, limits, descent.stretches, self._places, self._followers, zeros, ones)
        return Counts(zeros, ones)


@compiled
def _keep_earlier(  # noqa: PLR0917 - compiled functions have no named arguments
    values: UInt8[np.ndarray, "row byte"],
    limits: Int64[np.ndarray, "row byte"],
    stretches: Int32[np.ndarray, "2 row byte order"],
    places: Int32[np.ndarray, "place"],
    followers: UInt8[np.ndarray, "place"],
    zeros: Float32[np.ndarray, "row byte 8 order"],
    ones: Float32[np.ndarray, "row byte 8 order"],
) -> None:
    """Reduce the whole text's counts to those of the text before each byte."""
    rows, count, orders = stretches.shape[1:]
    common = np.zeros(LEVELS + 1, np.int64)
    for row in range(rows):
        for i in range(count):
            for k in range(orders):
                begin, size = stretches[0, row, i, k], stretches[1, row, i, k] - stretches[0, row, i, k]
                if size == 0:
                    continue
                common[:] = 0
                looked_at = min(size, _SAMPLED)
                for each in range(looked_at):
                    place = begin + each * size // looked_at
                    if places[place] < limits[row, i]:
                        common[_COMMON_BITS[followers[place] ^ values[row, i]]] += 1
                earlier = common.sum()
                for level in range(LEVELS):
                    if size > _SAMPLED:
                        share = earlier / looked_at
                        zeros[row, i, level, k] *= share
                        ones[row, i, level, k] *= share
                        continue
                    # One that shares just the bits before this node went the other way, one that shares more
                    # the byte's own.
                    earlier -= common[level]
                    bit = (values[row, i] >> (LEVELS - 1 - level)) & 1
                    zeros[row, i, level, k] = common[level] if bit else earlier
                    ones[row, i, level, k] = earlier if bit else common[level]


class AdaptiveCounts:
    """The counts of a training text, and of another text as far as it has been read; exact.

    Args:
        trained: The index of the training text.
        text: The other text.
        order: The longest context, in bytes.
    """

    def __init__(self, trained: ContextIndex, text: UInt8[np.ndarray, "byte"], order: int) -> None:
        self._trained = trained
        self._text = text
        self._order = order
        self._begin = self._end = 0

    def before(self, starts: Int64[np.ndarray, "row"], row_bytes: int) -> Counts:
        """Return the counts at each node on the way to each byte of rows of the text.

        Args:
            starts: Where each begins; calls go through the text forwards.
            row_bytes: Length of the rows.
        """
        first, last = int(starts.min()), int(starts.max()) + row_bytes
        if first < self._begin or last > self._end:
            self._begin_segment(first, last)
        where = starts[:, None] + np.arange(row_bytes)
        values = self._text[where]
        counts = self._trained.path_counts(values, self._order)
        zeros, ones = (
            found[where - self._begin] for found in (self._earlier.zeros[0], self._earlier.ones[0])
        )
        if self._read is not None:
            read = self._read.path_counts(values, self._order)
            zeros, ones = zeros + read.zeros, ones + read.ones
        return Counts(counts.zeros + zeros, counts.ones + ones)

    def _begin_segment(self, begin: int, end: int) -> None:
        """Index what was read before `begin`, and count one by one what comes after it."""
        self._begin, self._end = begin, min(max(end, begin + _SEGMENT_BYTES), len(self._text))
        read = self._text[:begin]
        self._read = ContextIndex.of(read[context_order(read)]) if begin else None
        self._earlier = earlier_in_row(self._text[begin : self._end], self._order)


def earlier_in_row(text: UInt8[np.ndarray, "byte"], order: int) -> Counts:
    """Return the counts at each node on the way to each byte, of the bytes before it in this row; exact."""
    counts = np.zeros((2, order + 1, LEVELS, len(text)), dtype=np.int32)
    contexts = np.zeros(len(text), dtype=np.uint64)
    wide = text.astype(np.uint64)
    for k in range(min(order, len(text) - 1) + 1):
        if k:
            contexts[k:] |= wide[:-k] << np.uint64(8 * (k - 1))
        _, context = np.unique(contexts[k:], return_inverse=True)
        for level in range(LEVELS):
            node = (1 << level) | (text[k:] >> (LEVELS - level)) if level else 1
            bit = (text[k:] >> (LEVELS - 1 - level)) & 1
            counts[:, k, level, k:] = _earlier_in_group(context * 256 + node, bit.astype(bool))
    zeros, ones = counts.transpose(0, 3, 2, 1)[:, None]
    return Counts(zeros, ones)


def _earlier_in_group(
    group: Int64[np.ndarray, "element"], bit: Bool[np.ndarray, "element"]
) -> Int32[np.ndarray, "2 element"]:
    """Return how many zeros and ones come earlier in each element's group."""
    order = np.argsort(group, kind="stable")
    ones = np.cumsum(bit[order]) - bit[order]
    begins = np.concatenate([[True], np.diff(group[order]) != 0])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    ones -= ones[first]
    earlier = np.empty((2, len(order)), dtype=np.int32)
    earlier[:, order] = np.arange(len(order)) - first - ones, ones
    return earlier
