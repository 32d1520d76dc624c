"""Reversible layers: y1 = x1 + A(x2), y2 = x2 + M(y1), on the fixed-point grid.

Because every sum is exact on the grid, x2 = y2 - M(y1) and x1 = y1 - A(x2) return the inputs bit for bit at
any depth, so the backward pass can compute a layer's activations again instead of storing them.

Source: Gomez et al., "The Reversible Residual Network", NeurIPS 2017; Kitaev et al., "Reformer", ICLR 2020;
for "checkpoint", Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter
from torch.utils.checkpoint import checkpoint

from bitlm.errors import ConfigError
from bitlm.model.grid import add_on_grid, check_on_grid, extremes, subtract_on_grid

MEMORY_MODES = ("store", "checkpoint", "recompute")
"""What is kept for the backward pass: every activation, each layer's input, or the last layer's alone."""

Stream = Float[Tensor, "batch position width"]


@dataclass(frozen=True)
class Branch:
    """A deterministic function of one stream, and the weights it reads.

    It must give the same bits at each call, so it may draw nothing at random that is not keyed.
    """

    function: Callable[[Tensor], Tensor]
    parameters: tuple[Parameter, ...]

    def __call__(self, stream: Stream) -> Stream:
        """Return the branch's output, not yet on the grid."""
        return self.function(stream)


def in_bf16(function: Callable[[Tensor], Tensor], stream: Stream) -> Stream:
    """Return a branch's output with its matrix products in bf16; what comes out is fp32 again.

    The grid makes whole steps of whatever a branch computes, so the sums stay exact.
    """
    with torch.autocast(stream.device.type, dtype=torch.bfloat16, cache_enabled=False):
        output = function(stream)
    return output.to(stream.dtype)


@dataclass(frozen=True)
class ReversibleLayer:
    """The pair of branches of one layer: A reads the second stream, M the first."""

    attention: Branch
    feedforward: Branch

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Weights of both branches, in the order `Recompute` returns their gradients."""
        return self.attention.parameters + self.feedforward.parameters

    def forward(self, x1: Stream, x2: Stream) -> tuple[Stream, Stream]:
        """Return the layer's output streams."""
        y1 = add_on_grid(x1, self.attention(x2))
        return y1, add_on_grid(x2, self.feedforward(y1))

    def invert(self, y1: Stream, y2: Stream) -> tuple[Stream, Stream]:
        """Return the input streams, equal bit for bit to those `forward` was given."""
        x2 = subtract_on_grid(y2, self.feedforward(y1))
        return subtract_on_grid(y1, self.attention(x2)), x2


def run_layers(
    layers: Sequence[ReversibleLayer], x1: Stream, x2: Stream, memory: str
) -> tuple[Stream, Stream]:
    """Run the layers in order and check each one's range.

    Args:
        layers: At least one layer.
        x1: First stream, on the grid.
        x2: Second stream, on the grid.
        memory: One of MEMORY_MODES; same values and gradients, bit for bit.

    Raises:
        GridOverflowError: Names the first layer that left the exact range.
        ConfigError: Called in an autocast context, which would round the streams themselves.
    """
    if torch.is_autocast_enabled(x1.device.type):
        raise ConfigError(
            "autocast", x1.device.type, "around the model it would round the exact streams; use cpu_autocast."
        )
    if memory == "recompute" and len(layers) > 1:
        # The backward pass begins with the last layer: what it would compute again is still there.
        earlier = layers[:-1]
        parameters = chain.from_iterable(layer.parameters for layer in earlier)
        x1, x2 = _Recompute.apply(x1, x2, earlier, *parameters)  # type: ignore[no-untyped-call]
        return _forward_all(layers[-1:], x1, x2, first=len(earlier))
    return _forward_all(layers, x1, x2, checkpointed=memory == "checkpoint" and torch.is_grad_enabled())


def _forward_all(
    layers: Sequence[ReversibleLayer], x1: Stream, x2: Stream, *, first: int = 0, checkpointed: bool = False
) -> tuple[Stream, Stream]:
    ranges = [extremes(x1), extremes(x2)]
    for layer in layers:
        if checkpointed:
            # Branches draw nothing that is not keyed, so there is no generator's state to preserve.
            x1, x2 = checkpoint(layer.forward, x1, x2, use_reentrant=False, preserve_rng_state=False)
        else:
            x1, x2 = layer.forward(x1, x2)
        ranges += [extremes(x1), extremes(x2)]
    check_streams(ranges, first)
    return x1, x2


def check_streams(ranges: Sequence[Tensor], first: int = 0) -> None:
    """Refuse streams that left the exact range.

    Args:
        ranges: Extremes (or all values) of both input streams, then of both streams after each layer; all
            of one shape.
        first: The first of these layers.

    Raises:
        GridOverflowError: Names the first layer that left it.
    """
    places = ["input", "input"]
    for index in range(first, first + len(ranges) // 2 - 1):
        places += [f"layer {index} attention", f"layer {index} feedforward"]
    check_on_grid(list(zip(places, ranges, strict=True)))


class _Recompute(torch.autograd.Function):
    """Keeps the two streams that come out only; the backward pass inverts layer by layer."""

    @staticmethod
    def forward(
        context: Any, x1: Tensor, x2: Tensor, layers: Sequence[ReversibleLayer], *_parameters: Parameter
    ) -> tuple[Tensor, Tensor]:
        y1, y2 = _forward_all(layers, x1, x2)
        context.layers = layers
        context.save_for_backward(y1, y2)
        return y1, y2

    @staticmethod
    @once_differentiable
    def backward(context: Any, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        y1, y2 = context.saved_tensors
        d1, d2 = output_gradients
        parameter_gradients: list[tuple[Tensor | None, ...]] = []
        for layer in reversed(context.layers):
            # gradients of y2 = x2 + M(y1), then of y1 = x1 + A(x2)
            branch, from_feedforward, of_feedforward = _pull_back(layer.feedforward, y1, d2)
            y2, d1 = subtract_on_grid(y2, branch), d1 + from_feedforward
            branch, from_attention, of_attention = _pull_back(layer.attention, y2, d1)
            y1, d2 = subtract_on_grid(y1, branch), d2 + from_attention
            parameter_gradients += [of_feedforward, of_attention]
        return d1, d2, None, *chain.from_iterable(reversed(parameter_gradients))


def _pull_back(
    branch: Branch, stream: Stream, gradient: Stream
) -> tuple[Stream, Stream, tuple[Tensor | None, ...]]:
    """Compute a branch again; return its output and the gradients for its stream and its weights."""
    with torch.enable_grad():
        leaf = stream.detach().requires_grad_()
        output = branch(leaf)
    trained = [parameter for parameter in branch.parameters if parameter.requires_grad]
    of_stream, *of_trained = torch.autograd.grad(output, [leaf, *trained], gradient)
    return output.detach(), of_stream, tuple(_in_place(branch.parameters, of_trained))


def _in_place(parameters: Sequence[Parameter], of_trained: Sequence[Tensor]) -> Iterable[Tensor | None]:
    """Yield each parameter's gradient, None where it is frozen."""
    gradients = iter(of_trained)
    for parameter in parameters:
        yield next(gradients) if parameter.requires_grad else None
