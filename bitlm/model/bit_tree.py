"""The binary tree over a patch's bits: one Bernoulli logit per inner node.

Nodes are numbered breadth first from 0; at depth i the node of prefix v (i bits) is 2^i - 1 + v. A leaf is
the patch's value, most significant bit first. A patch's probability is the product along its path, so the
2^p leaves sum to 1 by construction.
"""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import logsigmoid

from bitlm.compiled import compiled

NEVER = float("-inf")

FloatArray = npt.NDArray[np.float64]


def patch_values(patches: Integer[Tensor, "*batch bit"]) -> Integer[Tensor, "*batch"]:
    """Return each patch as a whole number, its first bit the most significant."""
    places = torch.arange(patches.shape[-1] - 1, -1, -1, device=patches.device)
    return (patches.long() << places).sum(-1)


def leaf_bits(patch_bits: int) -> Integer[Tensor, "leaf bit"]:
    """Return the bits of every leaf, in order: the inverse of `patch_values`."""
    places = torch.arange(patch_bits - 1, -1, -1)
    return (torch.arange(1 << patch_bits)[:, None] >> places) & 1


def path_nodes(values: Integer[Tensor, "*batch"], patch_bits: int) -> Integer[Tensor, "*batch bit"]:
    """Return the nodes that decide each bit of a patch, root first."""
    depths = torch.arange(patch_bits, device=values.device)
    prefixes = values[..., None] >> (patch_bits - depths)
    return prefixes + (1 << depths) - 1


def gather_paths(
    node_logits: Float[Tensor, "*batch node"], values: Integer[Tensor, "*batch"], patch_bits: int
) -> Float[Tensor, "*batch bit"]:
    """Return the logits along each patch's path: of P(bit = 1 | the patch's earlier bits)."""
    return node_logits.gather(-1, path_nodes(values, patch_bits))


def known_log_probabilities(
    node_logits: Float[Tensor, "*batch node"], states: Integer[Tensor, "*batch bit"]
) -> Float[Tensor, "*batch leaf"]:
    """Return the natural log of each leaf's probability given the bits that are known; -inf where it differs.

    Exact: the tree is a distribution over all leaves, and those that agree with what is known are made to
    sum to 1. No bit is taken to be independent of another.

    Args:
        node_logits: Of trees of 2^p - 1 nodes.
        states: 0, 1 or MASK for each of the p bits.
    """
    reached = node_logits.new_zeros((*node_logits.shape[:-1], 1))
    first = 0
    for depth in range(states.shape[-1]):
        count = 1 << depth
        logits, state = node_logits[..., first : first + count], states[..., depth, None]
        one, zero = logsigmoid(logits), logsigmoid(-logits)
        one, zero = one.masked_fill(state == 0, NEVER), zero.masked_fill(state == 1, NEVER)
        reached = torch.stack([reached + zero, reached + one], dim=-1).flatten(-2)
        first += count
    return reached.log_softmax(-1)


def bit_marginals(
    log_probabilities: Float[Tensor, "*batch leaf"], patch_bits: int
) -> Float[Tensor, "*batch bit 2"]:
    """Return the probability of each bit's being 0 and 1 under a distribution over leaves."""
    ones = leaf_bits(patch_bits).to(log_probabilities)
    probabilities = log_probabilities.exp()
    return torch.stack([probabilities @ (1 - ones), probabilities @ ones], dim=-1)


def leaf_log_probabilities(node_logits: npt.NDArray[np.floating]) -> FloatArray:
    """Return the natural log of each leaf's probability, in float64: [*batch, leaf].

    Args:
        node_logits: The logits of trees of 2^p - 1 nodes: [*batch, node].
    """
    *batch, nodes = node_logits.shape
    leaves = np.zeros((*batch, nodes + 1))
    _fill_leaves(node_logits.astype(np.float64).reshape(-1, nodes), leaves.reshape(-1, nodes + 1))
    return leaves


@compiled
def _fill_leaves(logits: FloatArray, leaves: FloatArray) -> None:
    """Write, in place of zeros, the sum along each leaf's path, from the root down."""
    for row in range(len(logits)):
        first, count = 0, 1
        while count < leaves.shape[1]:
            # From the last to the first, as children take the places of nodes that are done.
            for place in range(count - 1, -1, -1):
                logit, here = logits[row, first + place], leaves[row, place]
                log_one = min(logit, 0.0) - np.log1p(np.exp(-abs(logit)))
                leaves[row, 2 * place + 1] = here + log_one
                leaves[row, 2 * place] = here + log_one - logit
            first, count = first + count, 2 * count
