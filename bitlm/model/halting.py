"""Adaptive computation time: each position decides how many of the layers it runs.

Beside the two streams x1 and x2 a position carries its accumulated halting H, which starts at 0. With u the
position's threshold a layer is

    g = 1 while H < u, else 0
    y1 = x1 + g·A(x2),  y2 = x2 + g·M(y1),  H' = H + h(y1, y2),  0 < h < 1

so a position that has halted keeps its streams to the end. The halting unit h reads what the layer wrote, and
all three sums lie on the grid: the layer is undone to the last bit from its outputs alone, and nothing is
kept per layer.

In training u is drawn evenly from (0, 1] for each position, so 1 - H is the probability that a position still
runs, and a model is at home at every threshold. Otherwise u is `ModelConfig.act_threshold`.

Source: Graves, "Adaptive Computation Time for Recurrent Neural Networks", arXiv 1603.08983, 2016, for units
and accumulated halting; Banino et al., "PonderNet", 2021, for drawing instead of averaging; Elbayad et al.,
"Depth-Adaptive Transformer", ICLR 2020, for what halted positions offer to attention. Why not Graves's mean:
docs/decisions/0010-adaptive-depth.md.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import Parameter

from bitlm.model.grid import add_on_grid, subtract_on_grid
from bitlm.model.reversible import Branch, Gradients, ReversibleLayer, Streams, pull_back
from bitlm.randomness import generator

INITIAL_HALTING = 0.125
"""Accumulated halting of every position before the last layer of an untrained model, whatever its depth."""

MOST_WEIGHT = 8.0
"""Bound on a drawn gate's share in the gradient, which bounds the noise of rare draws."""

Column = Float[Tensor, "*batch 1"]
"""One number per position."""


class HaltingUnit(nn.Module):
    """A linear unit on both streams and a sigmoid: by how much a layer brings a position nearer to its end.

    Its sum is divided by √(2 · d_model), or all its weights moving at once would close a gate within a few
    updates, before the loss has told whether that is good. Its weight is a vector, so the optimizer of the
    trunk's matrices leaves it alone.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.scale = 1 / sqrt(2 * d_model)
        self.weight = Parameter(torch.empty(2 * d_model))
        self.bias = Parameter(torch.empty(1))

    def forward(self, y1: Float[Tensor, "*batch width"], y2: Float[Tensor, "*batch width"]) -> Column:
        """Return h, in (0, 1)."""
        first, second = self.weight.unsqueeze(-1).chunk(2)
        return torch.sigmoid((y1 @ first + y2 @ second) * self.scale + self.bias)


def drawn_thresholds(key: int, batch: int, positions: int) -> Float[Tensor, "batch position 1"]:
    """Return a threshold for each position, even over (0, 1]: above 0, so that all run the first layer."""
    return 1 - torch.rand(batch, positions, 1, generator=generator(key, 0, "halting"))


def running(halting: Column, threshold: Column | float) -> tuple[Column, Column]:
    """Return g, and the layers run: g at a given threshold, its mean over all draws where it is drawn.

    The derivative of the loss by a gate that is 0 or 1 is known at the drawn end only. Weighted by ½ over the
    probability of the draw, its mean is that of both ends, which is what the gate is worth if the loss is
    quadratic in it; unweighted, layers that help would be left out for being flat at their optimum.

    Args:
        halting: H.
        threshold: u; one for each position if drawn.

    Source: the second-order straight-through estimator of Liu et al., "Bridging Discrete and
    Backpropagation", NeurIPS 2023.
    """
    remaining = 1 - halting
    gate = (halting < threshold).to(halting.dtype)
    layers_run = remaining.clamp(min=0) if isinstance(threshold, Tensor) else gate
    if not torch.is_grad_enabled():
        return gate, layers_run
    of_running = remaining.detach().clamp(min=0, max=1)
    weight = (0.5 / torch.where(gate > 0, of_running, 1 - of_running)).clamp(max=MOST_WEIGHT)
    return gate + weight * (remaining - remaining.detach()), layers_run


@dataclass(frozen=True)
class AdaptiveLayer:
    """A reversible layer that halted positions pass unchanged.

    Its streams are x1, x2, H, and the sum over the layers so far of the layers run; the last has whole steps
    of the grid as H has, so it is undone exactly as well.

    Attributes:
        branches: A and M.
        unit: h; None in the last layer, after which there is nothing left to halt.
        threshold: u.
    """

    branches: ReversibleLayer
    unit: HaltingUnit | None
    threshold: Column | float

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Weights of the branches, then of the unit, in the order `pull_back` returns their gradients."""
        unit = () if self.unit is None else tuple(self.unit.parameters())
        return self.branches.parameters + unit

    def forward(self, *streams: Tensor) -> Streams:
        """Return the layer's output streams."""
        x1, x2, halting, depth = streams
        gate, layers_run = running(halting, self.threshold)
        y1 = add_on_grid(x1, gate * self.branches.attention(x2))
        y2 = add_on_grid(x2, gate * self.branches.feedforward(y1))
        if self.unit is not None:
            halting = add_on_grid(halting, self.unit(y1, y2))
        return y1, y2, halting, depth + layers_run

    def invert(self, *streams: Tensor) -> Streams:
        """Return the input streams, equal bit for bit to those `forward` was given."""
        y1, y2, halting, depth = streams
        if self.unit is not None:
            halting = subtract_on_grid(halting, self.unit(y1, y2))
        gate, layers_run = running(halting, self.threshold)
        x2 = subtract_on_grid(y2, gate * self.branches.feedforward(y1))
        return subtract_on_grid(y1, gate * self.branches.attention(x2)), x2, halting, depth - layers_run

    def pull_back(self, streams: Streams, gradients: Streams) -> tuple[Streams, Streams, Gradients]:
        """Return from the outputs and their gradients the inputs, theirs, and those of the weights."""
        y1, y2, halting, depth = streams
        d1, d2, of_halting, of_depth = gradients
        of_unit: Gradients = ()
        if self.unit is not None:
            unit = Branch(self.unit, tuple(self.unit.parameters()))
            increment, (from_unit_1, from_unit_2), of_unit = pull_back(unit, (y1, y2), of_halting)
            halting, d1, d2 = subtract_on_grid(halting, increment), d1 + from_unit_1, d2 + from_unit_2
        with torch.enable_grad():
            leaf = halting.detach().requires_grad_()
            gate, layers_run = running(leaf, self.threshold)
        feedforward, attention = _gated(self.branches.feedforward), _gated(self.branches.attention)
        branch, (of_gate, from_feedforward), of_feedforward = pull_back(feedforward, (gate, y1), d2)
        y2, d1 = subtract_on_grid(y2, branch), d1 + from_feedforward
        branch, (from_gate, from_attention), of_attention = pull_back(attention, (gate, y2), d1)
        y1, d2 = subtract_on_grid(y1, branch), d2 + from_attention
        pulled = [(gate, of_gate + from_gate), (layers_run, of_depth)]
        outputs, of_outputs = zip(*(pair for pair in pulled if pair[0].requires_grad), strict=True)
        of_halting = of_halting + torch.autograd.grad(outputs, [leaf], of_outputs)[0]
        inputs = (y1, y2, halting, depth - layers_run.detach())
        return inputs, (d1, d2, of_halting, of_depth), of_attention + of_feedforward + of_unit


def _gated(branch: Branch) -> Branch:
    def gated(gate: Tensor, stream: Tensor) -> Tensor:
        return gate * branch(stream)

    return Branch(gated, branch.parameters)
