"""A weight as whole numbers, in groups that share a scale.

    w ≈ s · c,  c ∈ {-2^(b-1), …, 2^(b-1) - 1},  s = m / -2^(b-1)

with b bits a number and m that of the group's numbers whose magnitude is greatest, its sign kept: so it is
the least whole number, and all 2^b of them are used. Scales are bfloat16. What was rounded so is rounded to
itself, to the last bit: m has become -2^(b-1) · s, which is exact, and so is its quotient.

Source: the formats Q8_0 and Q4_0 of GGML (Gerganov), whose groups have 32 numbers as well; for scales of
groups, Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022.
"""

from typing import NamedTuple

import torch
from jaxtyping import BFloat16, Float, Int8, UInt8
from torch import Tensor
from torch.nn.functional import pad

GROUP = 32
"""Numbers that share a scale, as they follow each other in a weight; zeros fill up the last group."""

NIBBLE_BITS = 4
MOST_NIBBLE = 15


class Groups(NamedTuple):
    """A weight's whole numbers and scales."""

    codes: Int8[Tensor, "group 32"]
    scales: BFloat16[Tensor, "group"]


def quantise(weight: Float[Tensor, "..."], bits: int) -> Groups:
    """Return the whole numbers nearest to a weight.

    Args:
        weight: Of any shape; at least one number.
        bits: Of a whole number, from 2 to 8.
    """
    numbers = weight.detach().flatten().float()
    groups = pad(numbers, (0, -len(numbers) % GROUP)).view(-1, GROUP)
    least = -(2.0 ** (bits - 1))
    high, low = groups.amax(dim=1), groups.amin(dim=1)
    scales = (torch.where(high >= -low, high, low) / least).bfloat16()
    steps = scales.float()[:, None]
    whole = torch.where(steps == 0, 0.0, groups / steps).round_().clamp_(least, -least - 1)
    return Groups(whole.to(torch.int8), scales)


def dequantise(groups: Groups, shape: torch.Size) -> Float[Tensor, "..."]:
    """Return the weight of that shape that whole numbers and scales stand for."""
    numbers = groups.codes.float() * groups.scales.float()[:, None]
    return numbers.flatten()[: shape.numel()].view(shape)


def rounded(weight: Float[Tensor, "*shape"], bits: int) -> Float[Tensor, "*shape"]:
    """Return what becomes of a weight that is quantised and read again."""
    return dequantise(quantise(weight, bits), weight.shape)


def pack(codes: Int8[Tensor, "group 32"]) -> UInt8[Tensor, "group 16"]:
    """Return whole numbers of 4 bits two to a byte, the first in the lower half."""
    nibbles = codes.view(torch.uint8) & MOST_NIBBLE
    return nibbles[:, ::2] | nibbles[:, 1::2] << NIBBLE_BITS


def unpack(packed: UInt8[Tensor, "group 16"]) -> Int8[Tensor, "group 32"]:
    """Undo `pack`."""
    nibbles = torch.stack([packed & MOST_NIBBLE, packed >> NIBBLE_BITS], dim=-1).flatten(1)
    return (nibbles << NIBBLE_BITS).view(torch.int8) >> NIBBLE_BITS
