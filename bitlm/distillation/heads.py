"""The heads of attention: which are needed least, and a model with fewer."""

import torch
from jaxtyping import Float
from torch import Tensor

from bitlm.distillation.rebuilding import BLOCKS, rebuilt
from bitlm.distillation.representatives import Representatives, own_nats
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer

HEADS_IN, HEADS_OUT = "attention.project_in.weight", "attention.project_out.weight"


def drop_heads(model: BitTransformer, nhead: int, representatives: Representatives) -> BitTransformer:
    """Return the model with only so many heads in each layer, as wide as they are.

    They go one by one, of each layer at once: each time the one whose absence costs least.

    Raises:
        ConfigError: There are not so many, or none would be left.
    """
    if nhead > model.config.nhead:
        raise ConfigError("nhead", nhead, f"use at most {model.config.nhead}.")
    while model.config.nhead > nhead:
        model = _without(model, head_costs(model, representatives).argmin(dim=1).tolist())
    return model


@torch.no_grad()
def head_costs(model: BitTransformer, representatives: Representatives) -> Float[Tensor, "layer head"]:
    """Return what a bit of the representatives costs without each head, as the tree by itself predicts it.

    In nats, all other heads in place.

    Source: Michel, Levy and Neubig, "Are Sixteen Heads Really Better than One?", NeurIPS 2019.
    """
    trial, channels = rebuilt(model, model.state_dict()), model.config.channels_per_head
    costs = torch.empty(model.config.num_layers, model.config.nhead)
    for layer, block in enumerate(trial.trunk.typed_blocks):
        for head, part in enumerate(torch.split(block.attention.project_out.weight, channels, dim=1)):
            kept = part.clone()
            part.zero_()
            costs[layer, head] = own_nats(trial, representatives)
            part.copy_(kept)
    return costs


def _without(model: BitTransformer, heads: list[int]) -> BitTransformer:
    """Return the model without one head of each layer."""
    nhead, channels = model.config.nhead, model.config.channels_per_head
    weights = dict(model.state_dict())
    for layer, head in enumerate(heads):
        into, out = (f"{BLOCKS}{layer}.{name}" for name in (HEADS_IN, HEADS_OUT))
        kept = [other for other in range(nhead) if other != head]
        weights[into] = weights[into].view(3, nhead, channels, -1)[:, kept].flatten(0, 2)
        weights[out] = weights[out].view(-1, nhead, channels)[:, kept].flatten(1)
    return rebuilt(model, weights, nhead=nhead - 1, head_width=channels)
