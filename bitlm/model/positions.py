"""Where a position is: sinusoids added at the input, rotations inside attention."""

import torch
from jaxtyping import Complex64, Float
from torch import Tensor

LONGEST_WAVE = 1e4


def sinusoids(positions: int, width: int) -> Float[Tensor, "position width"]:
    """Return sine and cosine of each position at width / 2 wavelengths, values in [-1, 1].

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5.
    """
    angles = _angles(positions, width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


def rotations(positions: int, head_width: int) -> Complex64[Tensor, "position pair"]:
    """Return for each position the unit complex number that turns each pair of channels.

    Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
    """
    angles = _angles(positions, head_width)
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(
    heads: Float[Tensor, "batch position part head channel"], turns: Complex64[Tensor, "position pair"]
) -> Float[Tensor, "batch position part head channel"]:
    """Turn each neighbouring pair of channels by its position's angle, so products see distances only.

    A complex product is one pass over memory, forward and backward: on CPU half the time of products
    with separate sine and cosine tables.
    """
    pairs = torch.view_as_complex(heads.reshape(*heads.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns[:, None, None]).flatten(-2)


def _angles(positions: int, width: int) -> Float[Tensor, "position pair"]:
    """Return position / wavelength in float64: at long positions 32 bits would blur the short waves."""
    waves = LONGEST_WAVE ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.arange(positions, dtype=torch.float64)[:, None] * waves
