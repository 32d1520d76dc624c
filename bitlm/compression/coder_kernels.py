"""Binary arithmetic coding with a model's logits, compiled; several lanes side by side.

An interval of whole numbers stands for what was coded; each bit keeps the part that its probability asks for,
and leading bytes that are settled are written. A carry goes into bytes already written. Everything is whole
numbers but the way from logit to probability, which is 32-bit arithmetic that is the same on every processor.

Source: Rissanen & Langdon, "Arithmetic coding", IBM Journal of Research and Development 23(2), 1979; Martin,
"Range encoding: an algorithm for removing redundancy from a digitised message", 1979 (bytes, and the carry).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlm.compiled import compiled, to_whole
from bitlm.model.kernels import ONE, Array, exponential

PROBABILITY_BITS = 22
"""A probability is a whole number of 2⁻²² from 1 to 2²² - 1: no bit costs more than 22 bits."""

CODE_BYTES = 6
"""Bytes of the interval's ends that can still change."""

MOST_BYTES_OF_A_BIT = 3
"""Bytes that coding one bit can add; the end after the last adds one."""

SCALE = np.float32(1 << PROBABILITY_BITS)
CERTAIN = np.uint64(1 << PROBABILITY_BITS)
PRECISION = np.uint64(PROBABILITY_BITS)
WHOLE = np.uint64(1 << (8 * CODE_BYTES))
SETTLED = np.uint64(1 << (8 * CODE_BYTES - 8))
TOP_BYTE = np.uint64(8 * CODE_BYTES - 8)
BYTE, NOTHING, UNIT = np.uint64(8), np.uint64(0), np.uint64(1)

Logits = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class Writing(NamedTuple):
    """What encoding keeps of each lane.

    Attributes:
        low: The interval's lower end.
        width: The interval's width.
        lengths: Bytes written.
        out: The bytes, with room for as many as were allowed: [lane, byte].
    """

    low: Words
    width: Words
    lengths: Indices
    out: Bytes


class Reading(NamedTuple):
    """What decoding keeps of each lane.

    Attributes:
        code: Where in the interval the lane's bytes point to.
        width: The interval's width.
        places: The next byte to read.
        ends: Where each lane's bytes end; zeros are read from there on.
        data: The bytes: [lane, byte].
    """

    code: Words
    width: Words
    places: Indices
    ends: Indices
    data: Bytes


@compiled
def probability_of_one(logit: float) -> np.uint64:
    """Return P(bit = 1) as a whole number of 2⁻²², never 0 and never 2²²."""
    value = np.float32(logit)
    small = exponential(-abs(value))
    rarer = np.uint64(np.int64(to_whole(small / (ONE + small) * SCALE)))
    rarer = max(rarer, UNIT)
    return CERTAIN - rarer if value >= 0 else rarer


@compiled
def probabilities_of_ones(logits: Logits) -> Words:
    """Return `probability_of_one` of each node: [lane, node]."""
    found = np.empty(logits.shape, np.uint64)
    for lane in range(logits.shape[0]):
        for node in range(logits.shape[1]):
            found[lane, node] = probability_of_one(logits[lane, node])
    return found


@compiled
def carry(out: Bytes, length: int) -> None:
    """Add one to the number that the bytes written are."""
    place = length - 1
    while out[place] == 255:  # noqa: PLR2004 - the highest byte
        out[place] = 0
        place -= 1
    out[place] += 1


@compiled
def encode(logits: Array, bits: Flags, going: Flags, writing: Writing) -> None:
    """Code the next bit of each lane.

    Args:
        logits: Of P(bit = 1).
        bits: The bits.
        going: Which lanes have one; the others are left as they are.
        writing: Of all lanes; there must be room for `MOST_BYTES_OF_A_BIT` more bytes and the end.
    """
    low, width, lengths, out = writing
    for lane in range(len(bits)):
        if not going[lane]:
            continue
        begin, size, length = low[lane], width[lane], lengths[lane]
        of_ones = (size >> PRECISION) * probability_of_one(logits[lane])
        if bits[lane]:
            size = of_ones
        else:
            begin += of_ones
            size -= of_ones
        if begin >= WHOLE:
            carry(out[lane], length)
            begin -= WHOLE
        while size < SETTLED:
            out[lane, length] = np.uint8(begin >> TOP_BYTE)
            length += 1
            begin = (begin << BYTE) & (WHOLE - UNIT)
            size <<= BYTE
        low[lane], width[lane], lengths[lane] = begin, size, length


@compiled
def finish(writing: Writing) -> None:
    """Write what still tells each lane's interval: one byte at most, as zeros are read after the end."""
    low, _, lengths, out = writing
    for lane in range(len(low)):
        begin = low[lane]
        if begin == NOTHING:
            continue
        top = (begin + SETTLED - UNIT) >> TOP_BYTE  # the first multiple of a whole byte in the interval
        if top << TOP_BYTE >= WHOLE:
            carry(out[lane], lengths[lane])
            continue
        out[lane, lengths[lane]] = np.uint8(top)
        lengths[lane] += 1


@compiled
def next_byte(reading: Reading, lane: int) -> np.uint64:
    """Take the lane's next byte."""
    place = reading.places[lane]
    reading.places[lane] = place + 1
    return np.uint64(reading.data[lane, place]) if place < reading.ends[lane] else NOTHING


@compiled
def begin_reading(reading: Reading) -> None:
    """Take in what the interval is told from."""
    for lane in range(len(reading.code)):
        for _ in range(CODE_BYTES):
            reading.code[lane] = (reading.code[lane] << BYTE) | next_byte(reading, lane)


@compiled
def decode(logits: Array, reading: Reading, bits: Flags) -> None:
    """Write the next bit of each lane: undo `encode`, whatever the bytes are."""
    for lane in range(len(bits)):
        code, size = reading.code[lane], reading.width[lane]
        of_ones = (size >> PRECISION) * probability_of_one(logits[lane])
        bits[lane] = code < of_ones
        if bits[lane]:
            size = of_ones
        else:
            code -= of_ones
            size -= of_ones
        while size < SETTLED:
            code = (code << BYTE) | next_byte(reading, lane)
            size <<= BYTE
        reading.code[lane], reading.width[lane] = code, size
