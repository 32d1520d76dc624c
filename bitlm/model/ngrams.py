"""Vectors of the last bytes taken together."""

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from bitlm.model.ngram_kernels import find_slots
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

    def forward(self, values: Integer[Tensor, "batch byte"]) -> Float[Tensor, "batch byte width"]:
        """Return the sum at each byte; bytes before a row's first count as 0."""
        found = np.empty((self.orders, *values.shape), dtype=np.int64)
        find_slots(values.long().contiguous().numpy(force=True), 0, self.slots, found)
        slots = torch.from_numpy(found).to(values.device)
        summed: Tensor = self.vectors(slots).sum(0)
        return summed
