"""What came next when the last bytes last stood in the window."""

import numpy as np
import numpy.typing as npt
from torch import nn

from bitlm.compiled import compiled
from bitlm.model.config import RECALL_MOST_BYTES, RECALL_VECTORS
from bitlm.model.unfilled import embedding

IntArray = npt.NDArray[np.int64]

LEAST_BYTES = 2
"""How many of the last bytes must stand there: one says too little."""

NOTHING = 256
"""The row of no byte recalled; those below are of each byte, those above of each length."""


class RecallEmbedding(nn.Module):
    """Two vectors for each byte: of the byte it recalls, and of how many bytes that rests on.

    A byte recalls what followed the place before it, in the same window, that ends with the most of the same
    bytes; of several the last. Attention can learn to look there (an "induction head"), but learns it by the
    names of its training text, and then fails to copy one that it has not seen.

    Args:
        width: Of a vector.

    Source: the match model of Mahoney's PAQ (2000 on); Olsson et al., "In-context Learning and Induction
    Heads", 2022.
    """

    kinds = 2

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vectors = embedding(RECALL_VECTORS, width)

    def find(self, values: IntArray, begin: int, end: int) -> IntArray:
        """Return the rows of `vectors` that are added up at each byte: [kind, text, byte - begin].

        Args:
            values: [text, byte], of a window from its first byte on.
            begin: The first byte meant; the others come before.
            end: The first byte not meant any more.
        """
        found = np.empty((self.kinds, len(values), end - begin), dtype=np.int64)
        _find_recalled(values, begin, found)
        return found


@compiled
def _find_recalled(values: IntArray, begin: int, out: IntArray) -> None:
    """Write the row of the byte recalled and that of the length, both that of nothing if none is.

    Args:
        values: [text, byte].
        begin: The first byte meant.
        out: [kind, text, byte - begin].
    """
    for text in range(out.shape[1]):
        row = values[text]
        for t in range(out.shape[2]):
            here = begin + t
            most, recalled = 0, NOTHING
            for earlier in range(here - 1, -1, -1):
                length = 0
                while row[earlier - length] == row[here - length]:
                    length += 1
                    if length > earlier or length == RECALL_MOST_BYTES:
                        break
                if length > most:
                    most, recalled = length, row[earlier + 1]
                    if most == RECALL_MOST_BYTES:
                        break
            if most < LEAST_BYTES:
                most, recalled = 0, NOTHING
            out[0, text, t] = recalled
            out[1, text, t] = NOTHING + most
