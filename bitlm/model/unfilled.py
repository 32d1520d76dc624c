"""Torch's layers with weights left to `initialise`: made without touching the global generator.

Not by `torch.nn.utils.skip_init`: that imports torch's compiler, a second and a half of every process.
"""

import torch
from torch import nn


class _Unfilled(nn.Linear):
    def reset_parameters(self) -> None:
        """Leave the weights as memory has them."""


def linear(inputs: int, outputs: int, *, bias: bool = False) -> nn.Linear:
    """Return a linear layer whose weights are not yet set."""
    layer: nn.Linear = _Unfilled(inputs, outputs, bias=bias)
    layer.__class__ = nn.Linear  # for whoever asks what it is
    return layer


def embedding(rows: int, width: int) -> nn.Embedding:
    """Return a table whose rows are not yet set."""
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))
