"""Reversible layers: y1 = x1 + A(x2), y2 = x2 + M(y1), on the fixed-point grid.

Because every sum is exact on the grid, x2 = y2 - M(y1) and x1 = y1 - A(x2) return the inputs bit for bit at
any depth, so the backward pass can compute a layer's activations again instead of storing them.

Source: Gomez et al., "The Reversible Residual Network", NeurIPS 2017; Kitaev et al., "Reformer", ICLR 2020;
for "checkpoint", Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, runtime_checkable

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

Streams = tuple[Tensor, ...]
"""What layers hand on: the two streams first, then whatever else a kind of layer accumulates."""

Gradients = tuple[Tensor | None, ...]
"""Those of parameters, None for a frozen one."""


@dataclass(frozen=True)
class Branch:
    """A deterministic function of streams, and the weights it reads.

    It must give the same bits at each call, so it may draw nothing at random that is not keyed.
    """

    function: Callable[..., Tensor]
    parameters: tuple[Parameter, ...]

    def __call__(self, *streams: Tensor) -> Tensor:
        """Return the branch's output, not yet on the grid."""
        return self.function(*streams)


def in_bf16(function: Callable[[Tensor], Tensor], stream: Stream) -> Stream:
    """Return a branch's output with its matrix products in bf16; what comes out is fp32 again.

    The grid makes whole steps of whatever a branch computes, so the sums stay exact.
    """
    with torch.autocast(stream.device.type, dtype=torch.bfloat16, cache_enabled=False):
        output = function(stream)
    return output.to(stream.dtype)


@runtime_checkable
class Layer(Protocol):
    """What `run_layers` needs of a layer: to be done, and to be undone from its outputs alone."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All weights, in the order `pull_back` returns their gradients."""

    def forward(self, *streams: Tensor) -> Streams:
        """Return the output streams."""

    def invert(self, *streams: Tensor) -> Streams:
        """Return the input streams, equal bit for bit to those `forward` was given."""

    def pull_back(self, streams: Streams, gradients: Streams) -> tuple[Streams, Streams, Gradients]:
        """Return from the outputs and their gradients the inputs, theirs, and those of the weights."""


@dataclass(frozen=True)
class ReversibleLayer:
    """The pair of branches of one layer: A reads the second stream, M the first."""

    attention: Branch
    feedforward: Branch

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Weights of both branches, in the order `pull_back` returns their gradients."""
        return self.attention.parameters + self.feedforward.parameters

    def forward(self, *streams: Tensor) -> Streams:
        """Return the layer's output streams."""
        x1, x2 = streams
        y1 = add_on_grid(x1, self.attention(x2))
        return y1, add_on_grid(x2, self.feedforward(y1))

    def invert(self, *streams: Tensor) -> Streams:
        """Return the input streams, equal bit for bit to those `forward` was given."""
        y1, y2 = streams
        x2 = subtract_on_grid(y2, self.feedforward(y1))
        return subtract_on_grid(y1, self.attention(x2)), x2

    def pull_back(self, streams: Streams, gradients: Streams) -> tuple[Streams, Streams, Gradients]:
        """Return from the outputs and their gradients the inputs, theirs, and those of the weights."""
        (y1, y2), (d1, d2) = streams, gradients
        # gradients of y2 = x2 + M(y1), then of y1 = x1 + A(x2)
        branch, (from_feedforward,), of_feedforward = pull_back(self.feedforward, (y1,), d2)
        y2, d1 = subtract_on_grid(y2, branch), d1 + from_feedforward
        branch, (from_attention,), of_attention = pull_back(self.attention, (y2,), d1)
        y1, d2 = subtract_on_grid(y1, branch), d2 + from_attention
        return (y1, y2), (d1, d2), of_attention + of_feedforward


def run_layers(layers: Sequence[Layer], streams: Streams, memory: str, *, first: int = 0) -> Streams:
    """Run the layers in order and check each one's range.

    Args:
        layers: At least one layer.
        streams: Those the first layer takes; the first two on the grid.
        memory: One of MEMORY_MODES; same values and gradients, bit for bit.
        first: The place of the first of them in the model.

    Raises:
        GridOverflowError: Names the first layer that left the exact range.
        ConfigError: Called in an autocast context, which would round the streams themselves.
    """
    refuse_autocast(streams[0])
    if memory == "recompute" and len(layers) > 1:
        # The backward pass begins with the last layer: what it would compute again is still there.
        earlier = layers[:-1]
        parameters = chain.from_iterable(layer.parameters for layer in earlier)
        streams = _Recompute.apply(earlier, first, len(streams), *streams, *parameters)  # type: ignore[no-untyped-call]
        return _forward_all(layers[-1:], streams, first=first + len(earlier))
    checkpointed = memory == "checkpoint" and torch.is_grad_enabled()
    return _forward_all(layers, streams, first=first, checkpointed=checkpointed)


def refuse_autocast(stream: Stream) -> None:
    """Refuse to run layers in an autocast context.

    Raises:
        ConfigError: This is one; it would round the streams themselves.
    """
    device = stream.device.type
    if torch.is_autocast_enabled(device):
        raise ConfigError(
            "autocast", device, "around the model it would round the exact streams; use cpu_autocast."
        )


def _forward_all(
    layers: Sequence[Layer], streams: Streams, *, first: int = 0, checkpointed: bool = False
) -> Streams:
    ranges = [extremes(streams[0]), extremes(streams[1])]
    for layer in layers:
        if checkpointed:
            # Branches draw nothing that is not keyed, so there is no generator's state to preserve.
            streams = checkpoint(layer.forward, *streams, use_reentrant=False, preserve_rng_state=False)
        else:
            streams = layer.forward(*streams)
        ranges += [extremes(streams[0]), extremes(streams[1])]
    check_streams(ranges, first)
    return streams


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
    """Keeps the streams that come out only; the backward pass inverts layer by layer."""

    @staticmethod
    def forward(context: Any, layers: Sequence[Layer], first: int, count: int, *tensors: Tensor) -> Streams:
        streams = _forward_all(layers, tensors[:count], first=first)
        context.layers = layers
        context.save_for_backward(*streams)
        return streams

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        streams: Streams = context.saved_tensors
        parameter_gradients: list[Gradients] = []
        for layer in reversed(context.layers):
            streams, gradients, of_parameters = layer.pull_back(streams, gradients)
            parameter_gradients.append(of_parameters)
        return None, None, None, *gradients, *chain.from_iterable(reversed(parameter_gradients))


def pull_back(branch: Branch, streams: Streams, gradient: Tensor) -> tuple[Tensor, Streams, Gradients]:
    """Compute a branch again; return its output and the gradients for its inputs and its weights."""
    with torch.enable_grad():
        leaves = [stream.detach().requires_grad_() for stream in streams]
        output = branch(*leaves)
    trained = [parameter for parameter in branch.parameters if parameter.requires_grad]
    found = torch.autograd.grad(output, [*leaves, *trained], gradient)
    of_trained = found[len(leaves) :]
    return output.detach(), found[: len(leaves)], tuple(_in_place(branch.parameters, of_trained))


def _in_place(parameters: Sequence[Parameter], of_trained: Sequence[Tensor]) -> Iterable[Tensor | None]:
    """Yield each parameter's gradient, None where it is frozen."""
    gradients = iter(of_trained)
    for parameter in parameters:
        yield next(gradients) if parameter.requires_grad else None
