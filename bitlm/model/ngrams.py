"""Vectors of the last bytes taken together."""

import numpy as np
from torch import nn

from bitlm.model.ngram_kernels import IntArray, find_slots
from bitlm.model.unfilled import embedding


class NgramEmbedding(nn.Module):
    """Adds up vectors of the last two bytes, of the last three, up to `order` of them.

    There are fewer vectors than n-grams: which one an n-gram has, a hash decides, and rare ones share.

    Args:
        order: The most bytes taken together, at least 2.
        slots: Vectors for each number of bytes, a power of two.
        width: Of a vector.

    Source: Pagnoni et al., "Byte Latent Transformer", 2024, for hashed n-grams of bytes.
    """

    def __init__(self, order: int, slots: int, width: int) -> None:
        super().__init__()
        self.orders, self.slots = order - 1, slots
        self.vectors = embedding(self.orders * slots, width)

    def find(self, values: IntArray, begin: int, end: int) -> IntArray:
        """Return the rows of `vectors` that are added up at each byte: [order, text, byte - begin].

        Args:
            values: [text, byte]; bytes before a text's first count as 0.
            begin: The first byte meant; the others come before.
            end: The first byte not meant any more.
        """
        found = np.empty((self.orders, len(values), end - begin), dtype=np.int64)
        find_slots(values, begin, self.slots, found)
        return found
