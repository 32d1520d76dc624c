"""Which earlier positions attention sees: said here once, for training, decoding and telemetry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Visibility:
    """Causal attention, full or in chunks: the last position seen is always one's own.

    Chunks cost time and memory linear in length; through the overlaps, a stack of L layers reaches L times as
    far back as one does. Source: Dai et al., "Transformer-XL", ACL 2019, without its recurrence.

    Attributes:
        chunk: Positions of a chunk; 0 is one chunk without end, full attention.
        overlap: Positions before its chunk that a position sees as well.
    """

    chunk: int = 0
    overlap: int = 0

    def first(self, position: int) -> int:
        """Return the first position that this one sees."""
        return max(0, position - position % self.chunk - self.overlap) if self.chunk else 0

    def blocks(self, length: int, most: int) -> list[range]:
        """Return the positions cut at every chunk's end, and in pieces of at most this many.

        All positions of a block share the first they see, so a block's mask is narrow however long the text.
        """
        chunk = self.chunk or length
        return [
            range(first, min(first + most, start + chunk, length))
            for start in range(0, length, chunk)
            for first in range(start, min(start + chunk, length), most)
        ]
