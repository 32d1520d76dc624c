"""The fixed-point grid on which adding and subtracting are exact.

Values are multiples of 2⁻¹⁴ with magnitude below 512 = 2⁹, so each is a whole number of at most 23 bits
times 2⁻¹⁴, and the sum or difference of two fits the 24 bits of a 32-bit float's significand.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bitlm.errors import GridOverflowError

STEPS_PER_UNIT = 2.0**14
STEP = 2.0**-14
LIMIT = 512.0


class _Round(torch.autograd.Function):
    """Nearest grid point; the gradient passes straight through (Bengio et al. 2013)."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        return torch.mul(values, STEPS_PER_UNIT).round_().mul_(STEP)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _AddRounded(torch.autograd.Function):
    """stream + round(branch) in one pass less; straight through to both."""

    @staticmethod
    def forward(_context: Any, stream: Tensor, branch: Tensor) -> Tensor:
        return shift_on_grid(stream, branch, STEP)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], gradients[0]


def round_to_grid(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the nearest grid points; differentiable, straight through."""
    return _Round.apply(values)  # type: ignore[no-any-return, no-untyped-call]


def add_on_grid(stream: Float[Tensor, "*shape"], branch: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return stream + round_to_grid(branch), exactly, for a stream on the grid."""
    return _AddRounded.apply(stream, branch)  # type: ignore[no-any-return, no-untyped-call]


def subtract_on_grid(
    stream: Float[Tensor, "*shape"], branch: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Undo `add_on_grid` of the same branch, exactly; not differentiable."""
    return shift_on_grid(stream, branch, -STEP)


def shift_on_grid(
    stream: Float[Tensor, "*shape"], branch: Float[Tensor, "*shape"], step: float
) -> Float[Tensor, "*shape"]:
    """Return stream plus the branch in whole steps of `step` (±2⁻¹⁴); exact, not differentiable."""
    return torch.add(stream, torch.mul(branch, STEPS_PER_UNIT).round_(), alpha=step)


def check_on_grid(ranges: Sequence[tuple[str, Tensor]]) -> None:
    """Refuse values that are not finite or have magnitude 512 or more.

    Checking the streams is enough: a branch between two streams in range is below 1024, which the
    significand still holds.

    Args:
        ranges: A place's name and that place's extremes (any few values, as many at each place), in order
            of computation.

    Raises:
        GridOverflowError: Names the first such place.
    """
    peaks = torch.stack([extremes for _, extremes in ranges]).abs().flatten(1).amax(1)
    if bool((peaks < LIMIT).all()):
        return
    for (place, _), peak in zip(ranges, peaks.tolist(), strict=True):
        if not peak < LIMIT:
            raise GridOverflowError(
                f"{place}: activation magnitude {peak:g}, the exact range ends at {LIMIT:g}; "
                "lower the learning rate and go back to the last checkpoint."
            )


def extremes(values: Float[Tensor, "*shape"]) -> Float[Tensor, " extreme"]:
    """Return (least, greatest), NaN if any value is; one pass over the values."""
    return torch.stack(torch.aminmax(values.detach()))
