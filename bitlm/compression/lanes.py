"""A block of bytes as lanes, coded side by side with the model's predictions, and back.

A block is cut into contiguous stretches of equal length, so many as its length says. Each begins without a
history, which costs it a few bytes; side by side they are read with each weight once. A lane whose code would
be no shorter than its bytes is kept as it is: its length tells.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from bitlm.bits import PAYLOAD_BITS
from bitlm.compression.coder import LaneDecoder, LaneEncoder
from bitlm.compression.coder_kernels import MOST_BYTES_OF_A_BIT
from bitlm.generation import Reader
from bitlm.model import BitTransformer
from bitlm.parallel import share

BLOCK_LOG2 = 20
"""Binary logarithm of the bytes that are cut into lanes together and held in memory."""

MOST_LANES = 32
LEAST_LANE_BYTES = 1 << 13
"""A shorter lane would cost more for its beginning than 1 % of what it takes."""

HOPELESS_BYTES = 128
"""A lane that is so much longer than its bytes so far is given up."""

Progress = Callable[[int], None]
"""Told how many more bytes are done; from any of the threads that share the lanes."""


def untold(_more: int) -> None:
    """Let progress pass without telling anyone."""


def lane_count(length: int) -> int:
    """Return how many lanes a block of this length is cut into."""
    return min(MOST_LANES, max(1, length // LEAST_LANE_BYTES))


def lane_lengths(length: int, lanes: int) -> Int64[np.ndarray, "lane"]:
    """Return how long the lanes of a block are; they differ by one at most, and longer ones come first.

    Args:
        length: Of the block.
        lanes: How many, at most a lane a byte.
    """
    return length // lanes + (np.arange(lanes) < length % lanes)


def encode_block(model: BitTransformer, block: bytes, progress: Progress) -> list[bytes]:
    """Return the lanes of a block; one as long as its bytes is its bytes.

    Args:
        model: Predicts every bit; with its reference, if it mixes counts in.
        block: The bytes, at least one.
        progress: Told of all of them, in the end.

    Raises:
        GridOverflowError: The model's weights are not finite.
    """
    lengths = lane_lengths(len(block), lane_count(len(block)))
    rows = _rows(block, lengths)
    coded: list[bytes] = [b""] * len(lengths)

    def encode(first: int, last: int) -> None:
        coded[first:last] = _encode_rows(model, rows[first:last], lengths[first:last], progress)

    share(encode, len(lengths))
    return coded


def decode_block(model: BitTransformer, lanes: Sequence[bytes], length: int, progress: Progress) -> bytes:
    """Undo `encode_block`.

    Args:
        model: The same.
        lanes: What it returned.
        length: Bytes of the block.
        progress: As there.

    Raises:
        GridOverflowError: The model's weights are not finite.
    """
    lengths = lane_lengths(length, len(lanes))
    decoded = list(lanes)
    coded = [lane for lane, size in enumerate(lengths) if len(lanes[lane]) < size]
    progress(length - int(lengths[coded].sum()))

    def decode(first: int, last: int) -> None:
        chosen = coded[first:last]
        rows = _decode_rows(model, [lanes[lane] for lane in chosen], lengths[chosen], progress)
        for lane, row in zip(chosen, rows, strict=True):
            decoded[lane] = row

    if coded:
        share(decode, len(coded))
    return b"".join(decoded)


def _rows(block: bytes, lengths: Int64[np.ndarray, "lane"]) -> UInt8[np.ndarray, "lane byte"]:
    """Return the lanes one below the other; shorter ones end with a byte that does not count."""
    rows = np.zeros((len(lengths), int(lengths[0])), dtype=np.uint8)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = np.frombuffer(block, dtype=np.uint8)
    return rows


def _encode_rows(
    model: BitTransformer,
    rows: UInt8[np.ndarray, "lane byte"],
    lengths: Int64[np.ndarray, "lane"],
    progress: Progress,
) -> list[bytes]:
    patch_bits = model.config.patch_bits
    reader = Reader(model, [b""] * len(rows))
    encoder = LaneEncoder(len(rows), rows.shape[1] + HOPELESS_BYTES + PAYLOAD_BITS * MOST_BYTES_OF_A_BIT)
    hopeful = np.ones(len(rows), dtype=np.bool_)
    for place in range(rows.shape[1]):
        values, going = rows[:, place].astype(np.int64), hopeful & (place < lengths)
        for first in range(0, PAYLOAD_BITS, patch_bits):
            walk = reader.walk()
            for depth in range(first, first + patch_bits):
                bits = (values >> (PAYLOAD_BITS - 1 - depth)) & 1 == 1
                encoder.encode(walk.logits(), bits, going)
                walk.descend(bits)
            reader.feed(walk.leaves)
        reader.end_frames(values)
        progress(int((place < lengths).sum()))
        hopeful &= encoder.lengths <= place + HOPELESS_BYTES
        if not hopeful.any():
            progress(int(np.maximum(lengths - place - 1, 0).sum()))
            break
    return _shorter(encoder.finish(), rows, lengths, hopeful)


def _shorter(
    coded: Sequence[bytes],
    rows: UInt8[np.ndarray, "lane byte"],
    lengths: Int64[np.ndarray, "lane"],
    hopeful: Bool[np.ndarray, "lane"],
) -> list[bytes]:
    """Return each lane's code, or its bytes where that is no longer."""
    plain = [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]
    return [
        code if is_hopeful and len(code) < len(own) else own
        for code, own, is_hopeful in zip(coded, plain, hopeful, strict=True)
    ]


def _decode_rows(
    model: BitTransformer, lanes: Sequence[bytes], lengths: Int64[np.ndarray, "lane"], progress: Progress
) -> list[bytes]:
    patch_bits = model.config.patch_bits
    reader = Reader(model, [b""] * len(lanes))
    decoder = LaneDecoder(lanes)
    rows = np.zeros((len(lanes), int(lengths.max())), dtype=np.uint8)
    for place in range(rows.shape[1]):
        values = np.zeros(len(lanes), dtype=np.int64)
        for _ in range(PAYLOAD_BITS // patch_bits):
            walk = reader.walk()
            for _ in range(patch_bits):
                walk.descend(decoder.decode(walk.logits()))
            reader.feed(walk.leaves)
            values = values << patch_bits | walk.leaves
        reader.end_frames(values)
        rows[:, place] = values
        progress(int((place < lengths).sum()))
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]
