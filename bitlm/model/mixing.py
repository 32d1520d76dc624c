"""Mixing the tree's logits with the counts of the training text.

logit P(bit) = (1 + w) · the tree's + Σ_k w_k · log((ones_k + δ) / (zeros_k + δ)), the sum over contexts of
k bytes. What a context says is its counts' log-odds; how far it and the tree are to be believed, w_k and w, a
small network decides from all contexts' log-odds, from how often each has been seen, and from the bit's depth
in its byte. Of a node that was never counted the tree's logit is all there is.

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
    """What counts make of the logits of a tree's nodes.

    Args:
        order: The longest context, in bytes, at most 8.
    """

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order
        self.depths = embedding(PAYLOAD_BITS, MIXER_WIDTH)
        self.project_in = linear(2 * (order + 1), MIXER_WIDTH)
        self.project_out = linear(MIXER_WIDTH, order + 2, bias=True)

    def forward(
        self, logits: Float[Tensor, "row byte bit"], counts: Counts, depths: Int64[Tensor, " bit"]
    ) -> Float[Tensor, "row byte bit"]:
        """Return the mixed logit of each node.

        Args:
            logits: The tree's.
            counts: Of each row, byte and node, after contexts of 0…order bytes.
            depths: How many bits of its byte come before each node.
        """
        zeros, ones = self._tensor(counts.zeros), self._tensor(counts.ones)
        said = torch.log(ones + COUNT_PRIOR) - torch.log(zeros + COUNT_PRIOR)
        seen = torch.log1p(zeros + ones)
        inner = self.project_in(torch.cat([said, seen], dim=-1)) + self.depths(depths.to(said.device))
        believed = self.project_out(gelu(inner))
        told = torch.where(seen[..., 0] > 0, logits, 0.0)  # the shortest context has seen what any has
        return logits + (believed * torch.cat([said, told[..., None]], dim=-1)).sum(dim=-1)  # type: ignore[no-any-return]

    def _tensor(self, counts: Num[np.ndarray, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.from_numpy(counts).to(self.project_out.weight)
