"""Mixing the tree's logits with the counts of the training text.

logit P(bit) = the tree's + Σ_k w_k · log((ones_k + δ) / (zeros_k + δ)), the sum over contexts of k bytes.
What a context says is its counts' log-odds; how far it is to be believed, w_k, a small network decides from
all contexts' log-odds, from how often each has been seen, and from the bit's depth in its byte.

Source: Mahoney, "Adaptive weighing of context models for lossless data compression", 2005 (mixing in the
logistic domain); Mattern, "Mixing strategies in data compression", DCC 2012.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64, Num
from torch import Tensor, nn
from torch.nn.functional import gelu

from bitlm.bits import PAYLOAD_BITS
from bitlm.context_index import Counts
from bitlm.model.config import MIXER_WIDTH
from bitlm.model.unfilled import embedding, linear

COUNT_PRIOR = 0.2
"""δ: occurrences of either value assumed before the first; below ½, for few things follow a context."""


class Mixer(nn.Module):
    """What the counts add to the logits of a tree's nodes.

    Args:
        order: The longest context, in bytes, at most 8.
    """

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order
        self.depths = embedding(PAYLOAD_BITS, MIXER_WIDTH)
        self.project_in = linear(2 * (order + 1), MIXER_WIDTH)
        self.project_out = linear(MIXER_WIDTH, order + 1, bias=True)

    def forward(self, counts: Counts, depths: Int64[Tensor, " bit"]) -> Float[Tensor, "row byte bit"]:
        """Return what is added to each node's logit.

        Args:
            counts: Of each row, byte and node, after contexts of 0…order bytes.
            depths: How many bits of its byte come before each node.
        """
        zeros, ones = self._tensor(counts.zeros), self._tensor(counts.ones)
        said = torch.log(ones + COUNT_PRIOR) - torch.log(zeros + COUNT_PRIOR)
        seen = torch.log1p(zeros + ones)
        inner = self.project_in(torch.cat([said, seen], dim=-1)) + self.depths(depths.to(said.device))
        return (self.project_out(gelu(inner)) * said).sum(dim=-1)  # type: ignore[no-any-return]

    def _tensor(self, counts: Num[np.ndarray, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.from_numpy(counts).to(self.project_out.weight)
