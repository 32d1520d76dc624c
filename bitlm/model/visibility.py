"""Which positions attention sees: said here once, for training, decoding and telemetry."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool
from torch import Tensor


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


@dataclass(frozen=True)
class Denoised:
    """Attention where a text is denoised.

    Attributes:
        block: 0 where every position sees all. Otherwise the positions of a block, and what is given is two
            texts, one after the other: the true one, which sees itself causally, and the masked one, each
            block of which sees all of itself and, of the true one, what a causal position knows that
            predicts its first byte.
    """

    block: int = 0

    def of_masked(self, length: int) -> Bool[Tensor, "position seen"]:
        """Return which of the true positions, and then of the masked ones, each masked position sees."""
        return _of_masked(self.block, length)


@lru_cache(maxsize=64)
def _of_masked(block: int, length: int) -> Bool[Tensor, "position seen"]:
    places = torch.arange(length)
    first = (places - places % block)[:, None]
    return torch.cat([places <= first, places - places % block == first], dim=1)
