"""A live meter of what the trunk promises: its inverse is exact, and so are recomputed gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Integer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.model.bit_tree import patch_values
from bitlm.model.grid import round_to_grid
from bitlm.model.transformer import BitTransformer


@dataclass(frozen=True)
class Reversibility:
    """How far the trunk is from exactly reversible; both are 0.0 when it is.

    Attributes:
        inversion_error: Greatest |difference| between the trunk's input and its inverted output.
        gradient_agreement: Greatest |difference| between a gradient computed from recomputed activations
            and from stored ones; 0.0 means equal to the last bit.
    """

    inversion_error: float
    gradient_agreement: float


def reversibility(
    model: BitTransformer, bits: Integer[Tensor, "batch bit"], *, dropout_seed: int | None = None
) -> Reversibility:
    """Measure both on one batch: about four passes in time, and the memory of "store".

    The model, its gradients included, is left as it was.

    Args:
        model: In training mode its dropout is on, and its autocast if it has one.
        bits: Whole frames, such as one window.
        dropout_seed: Key of what is drawn, as in `BitTransformer.forward`.
    """
    stored, recomputed = (_gradients(model, bits, memory, dropout_seed) for memory in ("store", "recompute"))
    apart = [_greatest_difference(one, other) for one, other in zip(stored, recomputed, strict=True)]
    return Reversibility(
        inversion_error=_inversion_error(model, bits, dropout_seed if model.training else None),
        gradient_agreement=float(torch.stack(apart).max()),
    )


@torch.no_grad()
def _inversion_error(model: BitTransformer, bits: Tensor, dropout_seed: int | None) -> float:
    start = round_to_grid(model.embedding(patch_values(model.patches(bits))))
    layers, inputs = model.trunk.layers_and_streams(start, dropout_seed)
    streams = inputs
    for layer in layers:
        streams = layer.forward(*streams)
    for layer in reversed(layers):
        streams = layer.invert(*streams)
    apart = [_greatest_difference(one, other) for one, other in zip(streams, inputs, strict=True)]
    return float(torch.stack(apart).max())


def _gradients(
    model: BitTransformer, bits: Tensor, memory: str, dropout_seed: int | None
) -> tuple[Tensor, ...]:
    # What takes in masked bits has no part in a causal pass, and lies before the layers.
    named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    weights = [one for name, one in named if not name.startswith("denoiser.")]
    with torch.enable_grad(), _in_mode(model, memory):
        output = model(bits, dropout_seed=dropout_seed)
        logits, targets = output.logits[:, output.is_payload], bits[:, output.is_payload]
        loss = binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
        return torch.autograd.grad(loss, weights)


@contextmanager
def _in_mode(model: BitTransformer, memory: str) -> Iterator[None]:
    before, model.trunk.memory = model.trunk.memory, memory
    try:
        yield
    finally:
        model.trunk.memory = before


def _greatest_difference(one: Tensor, other: Tensor) -> Tensor:
    """Return it as one number; NaN if either has one."""
    return (one - other).abs().max()
