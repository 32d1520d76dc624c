"""The windows of one step, and how many of them are causal."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from bitlm.training import MaskedBatch


@dataclass(frozen=True)
class Step:
    """A step's windows.

    Attributes:
        batch: Their bytes.
        starts: Where in the training text each begins; None of a text that was handed over.
        causal: How many of them are causal, the first ones.
        masked: The others, if they are denoised; None if there are none, or they hold run lengths.
    """

    batch: UInt8[Tensor, "batch byte"]
    starts: Int64[np.ndarray, "batch"] | None
    causal: int
    masked: MaskedBatch | None


def causal_rows(causal_share: float | None, rows: int) -> int:
    """Return how many of a step's windows are causal, the first ones.

    Args:
        causal_share: Of all; where it is neither 0 nor 1, there are windows of both kinds if there are two.
            None for all.
        rows: How many windows.
    """
    if causal_share in {None, 1.0}:
        return rows
    if causal_share == 0.0:
        return 0
    assert causal_share is not None, "None was dealt with"
    return min(max(1, round(causal_share * rows)), max(1, rows - 1))
