"""Torch's layers with weights left to `initialise`: made without touching the global generator."""

from typing import cast

from torch import nn


def linear(inputs: int, outputs: int, *, bias: bool = False) -> nn.Linear:
    """Return a linear layer whose weights are not yet set."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)  # type: ignore[no-untyped-call] # torch's
    return cast("nn.Linear", layer)


def embedding(rows: int, width: int) -> nn.Embedding:
    """Return a table whose rows are not yet set."""
    layer = nn.utils.skip_init(nn.Embedding, rows, width)  # type: ignore[no-untyped-call] # torch's
    return cast("nn.Embedding", layer)
