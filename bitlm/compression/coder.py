"""Lanes of bits as bytes, and back, by arithmetic coding; whoever calls has the probabilities."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int64

from bitlm.compression.coder_kernels import (
    MOST_BYTES_OF_A_BIT,
    WHOLE,
    Reading,
    Writing,
    begin_reading,
    decode,
    encode,
    finish,
)


class LaneEncoder:
    """Codes bits of several lanes side by side.

    Args:
        lanes: How many.
        most_bytes: How long a lane's code may become, its end not counted.
    """

    def __init__(self, lanes: int, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._writing = Writing(
            low=np.zeros(lanes, dtype=np.uint64),
            width=np.full(lanes, WHOLE, dtype=np.uint64),
            lengths=np.zeros(lanes, dtype=np.int64),
            out=np.zeros((lanes, most_bytes + MOST_BYTES_OF_A_BIT + 1), dtype=np.uint8),
        )

    @property
    def lengths(self) -> Int64[np.ndarray, "lane"]:
        """Bytes of each lane so far; its end takes one more at most."""
        return self._writing.lengths

    def encode(
        self,
        logits: Float32[np.ndarray, "lane"],
        bits: Bool[np.ndarray, "lane"],
        going: Bool[np.ndarray, "lane"],
    ) -> None:
        """Code the next bit of those lanes that have one.

        Args:
            logits: Of P(bit = 1), known to whoever decodes.
            bits: The bits; of a lane that has none, either.
            going: Which lanes have one; none of these is longer than it may become.
        """
        assert (self.lengths[going] <= self._most_bytes).all(), "whoever codes gives up lanes in time"
        encode(logits, bits, going, self._writing)

    def finish(self) -> list[bytes]:
        """Return each lane's code; nothing is coded after it."""
        finish(self._writing)
        return [row[:length].tobytes() for row, length in zip(self._writing.out, self.lengths, strict=True)]


class LaneDecoder:
    """Undoes `LaneEncoder`, given the same logits; of other bytes it makes some bits or other.

    Args:
        lanes: Each lane's code.
    """

    def __init__(self, lanes: Sequence[bytes]) -> None:
        ends = np.array([len(lane) for lane in lanes], dtype=np.int64)
        data = np.zeros((len(lanes), int(ends.max(initial=0))), dtype=np.uint8)
        for row, lane in zip(data, lanes, strict=True):
            row[: len(lane)] = np.frombuffer(lane, dtype=np.uint8)
        self._reading = Reading(
            code=np.zeros(len(lanes), dtype=np.uint64),
            width=np.full(len(lanes), WHOLE, dtype=np.uint64),
            places=np.zeros(len(lanes), dtype=np.int64),
            ends=ends,
            data=data,
        )
        begin_reading(self._reading)

    def decode(self, logits: Float32[np.ndarray, "lane"]) -> Bool[np.ndarray, "lane"]:
        """Return the next bit of every lane; of one that has ended, either."""
        bits = np.empty(len(logits), dtype=np.bool_)
        decode(logits, self._reading, bits)
        return bits
