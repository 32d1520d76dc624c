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


def leaf_log_probabilities(node_logits: npt.NDArray[np.floating]) -> FloatArray:
    """Return the natural log of each leaf's probability, in float64: [*batch, leaf].

    Args:
        node_logits: The logits of trees of 2^p - 1 nodes: [*batch, node].
    """
    logits = node_logits.astype(np.float64)
    log_one = -np.logaddexp(0.0, -logits)
    log_zero = log_one - logits
    leaves = np.zeros((*logits.shape[:-1], 1))
    for depth in range(logits.shape[-1].bit_length()):
        nodes = slice((1 << depth) - 1, (1 << (depth + 1)) - 1)
        children = np.empty((*logits.shape[:-1], 2 << depth))
        np.add(leaves, log_zero[..., nodes], out=children[..., 0::2])
        np.add(leaves, log_one[..., nodes], out=children[..., 1::2])
        leaves = children
    return leaves
