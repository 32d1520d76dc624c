"""The hidden channels of the MLPs: which matter, a model with fewer, and one with more."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import gelu

from bitlm.distillation.rebuilding import BLOCKS, rebuilt
from bitlm.distillation.representatives import Representatives, inputs_of
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer
from bitlm.randomness import generator

MLP_IN, MLP_OUT = "feedforward.project_in.weight", "feedforward.project_out.weight"


def drop_channels(
    model: BitTransformer, dim_feedforward: int, representatives: Representatives
) -> BitTransformer:
    """Return the model with only so many hidden channels in each MLP, those of most importance.

    Raises:
        ConfigError: There are not so many.
    """
    importance = channel_importance(model, representatives)
    if dim_feedforward > importance.shape[1]:
        raise ConfigError("dim_feedforward", dim_feedforward, f"use at most {importance.shape[1]}.")
    kept: Int64[Tensor, "layer channel"] = importance.topk(dim_feedforward).indices.sort().values
    weights = dict(model.state_dict())
    for layer, channels in enumerate(kept):
        weights[f"{BLOCKS}{layer}.{MLP_IN}"] = weights[f"{BLOCKS}{layer}.{MLP_IN}"][channels]
        weights[f"{BLOCKS}{layer}.{MLP_OUT}"] = weights[f"{BLOCKS}{layer}.{MLP_OUT}"][:, channels]
    return rebuilt(model, weights, dim_feedforward=dim_feedforward)


@torch.no_grad()
def channel_importance(
    model: BitTransformer, representatives: Representatives
) -> Float[Tensor, "layer channel"]:
    """Return how much each hidden channel of each MLP adds: mean |activation| · ‖its weights out‖.

    Source: Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024: the
    size of what is read times that of the weight; here of a channel as a whole.
    """
    x1 = x2 = inputs_of(model, representatives.windows)
    found, layers = [], model.trunk.reversible_layers(x1.shape[1], None)
    for block, layer in zip(model.trunk.typed_blocks, layers, strict=True):
        x1, x2 = layer.forward(x1, x2)
        inner = gelu(block.feedforward.project_in(block.feedforward.norm(x1)))
        strength = representatives.shares @ inner.abs().mean(1)
        found.append(strength * block.feedforward.project_out.weight.norm(dim=0))
    return torch.stack(found)


def add_channels(model: BitTransformer, dim_feedforward: int, *, seed: int = 0) -> BitTransformer:
    """Return the model with so many hidden channels in each MLP; what it predicts stays, up to rounding.

    New channels read as the old ones of their layer do, at random and as strongly, and write nothing yet.

    Args:
        model: Stays as it is.
        dim_feedforward: How many.
        seed: Decides what new channels read, alone.

    Raises:
        ConfigError: It has more.
    """
    more = dim_feedforward - model.config.dim_feedforward
    if more < 0:
        raise ConfigError("dim_feedforward", dim_feedforward, f"use at least {model.config.dim_feedforward}.")
    weights = dict(model.state_dict())
    for layer in range(model.config.num_layers):
        into, out = (f"{BLOCKS}{layer}.{name}" for name in (MLP_IN, MLP_OUT))
        draw = generator(seed, layer, "channels")
        fresh = torch.randn(more, model.config.d_model, generator=draw) * weights[into].std()
        weights[into] = torch.cat([weights[into], fresh])
        weights[out] = torch.cat([weights[out], weights[out].new_zeros(model.config.d_model, more)], dim=1)
    return rebuilt(model, weights, dim_feedforward=dim_feedforward)
