"""A step in parts: what each of them cost, and its gradient as one vector."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from bitlm.training.objective import Objective

Kind = Literal["causal", "bound", "compressed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What windows are learned as: text from left to right, text denoised, or run lengths."""


@dataclass(frozen=True)
class Seen:
    """What windows of one kind cost.

    Attributes:
        rows: How many.
        predicted: As of an Objective, like the others; the loss is its cross-entropy.
    """

    kind: Kind
    rows: int
    predicted: int
    loss: float
    negentropy: float
    depth_mean: float | None

    @classmethod
    def of(cls, kind: Kind, rows: int, objective: Objective) -> "Seen":
        """Return the figures of an objective."""
        depth = None if objective.depth_mean is None else objective.depth_mean.item()
        loss, negentropy = objective.cross_entropy.item(), objective.negentropy.item()
        return cls(kind, rows, objective.predicted, loss, negentropy, depth)


def mean_of(parts: Sequence[Seen]) -> Seen | None:
    """Return what all windows of one kind cost: each counts as much, in K each bit; None of none."""
    if not parts:
        return None
    rows, predicted = sum(part.rows for part in parts), sum(part.predicted for part in parts)
    by_rows = [(part.rows / rows, part) for part in parts]
    loss = sum(share * part.loss for share, part in by_rows)
    depths = [share * part.depth_mean for share, part in by_rows if part.depth_mean is not None]
    negentropy = sum(part.predicted / predicted * part.negentropy for part in parts) if predicted else 1.0
    return Seen(parts[0].kind, rows, predicted, loss, negentropy, sum(depths) if depths else None)


def norms_of_gradients(parameters: Iterable[Parameter]) -> list[float | None]:
    """Return the norm of each parameter's gradient, None of one that has none."""
    gradients = (parameter.grad for parameter in parameters)
    return [None if gradient is None else torch.linalg.vector_norm(gradient).item() for gradient in gradients]


def flat_gradients(parameters: Sequence[Parameter]) -> Float[Tensor, " element"]:
    """Return all gradients as one vector, and after them for each parameter 1 where it has one, else 0."""
    pieces = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in parameters
    ]
    has = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
    return torch.cat([*(piece.flatten() for piece in pieces), has])


def set_gradients(parameters: Sequence[Parameter], vector: Float[Tensor, " element"]) -> None:
    """Put back what `flat_gradients` returned, or a sum of such: what had a gradient in one of them has one.

    Each has memory of its own: how products round can depend on where in memory their factors begin.
    """
    sizes = [*(parameter.numel() for parameter in parameters), len(parameters)]
    *pieces, has = torch.split(vector, sizes)
    for parameter, piece, terms in zip(parameters, pieces, has.tolist(), strict=True):
        parameter.grad = piece.reshape(parameter.shape).clone() if terms else None
