"""From texts whose bits are partly masked to the vectors the trunk starts from."""

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor, nn
from torch.nn.functional import pad

from bitlm.bits import MASK, PAYLOAD_BITS
from bitlm.errors import ConfigError
from bitlm.model.bit_tree import leaf_bits, patch_values
from bitlm.model.config import BIT_STATES, BIT_WIDTH, NEIGHBOURS, PATTERNS, ModelConfig
from bitlm.model.ngram_kernels import ODD
from bitlm.model.unfilled import embedding, linear

States = Integer[Tensor, "batch byte 8"]

HIDDEN = 1 << PAYLOAD_BITS
"""What stands in a pattern for a byte of which a bit is masked: one more than the greatest byte."""

SIGNED_ODD = int(ODD) - (1 << 64)
"""The factor of the hash as a signed number: products of both are the same modulo 2⁶⁴."""


def require_denoises(config: ModelConfig) -> None:
    """Check that a model of this shape can denoise.

    Raises:
        ConfigError: It cannot; says how to make one that can.
    """
    if not config.denoises:
        raise ConfigError(
            "objective",
            config.objective,
            "this model has never learned to denoise: make one with objective='diffusion' or 'mixed' "
            "and train it.",
        )


class Denoiser(nn.Module):
    """Embeds the states of a byte's bits and of those of the bytes beside it, and projects them together.

    A position predicts the byte that stands there, and is told what is known of it, and of its neighbours:
    that spares attention what is nearest. Where a model has n-grams, a position also has vectors of what
    stands around it, up to two bytes to either side, what is not known being a letter of its own.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.block, self.slots = config.block_bytes, config.ngram_slots
        self.bits = embedding(BIT_STATES, BIT_WIDTH)
        self.project = linear(NEIGHBOURS * PAYLOAD_BITS * BIT_WIDTH, config.d_model)
        vectors = len(PATTERNS) * config.ngram_slots
        self.patterns = embedding(vectors, config.d_model) if config.ngram_order > 1 else None

    def forward(
        self, states: States, values: Integer[Tensor, "batch byte"]
    ) -> Float[Tensor, "batch byte width"]:
        """Return the input of each position.

        Args:
            states: 0, 1 or MASK for each bit.
            values: What is true of the bytes; in blocks, each is told those of the blocks before it.
        """
        true = leaf_bits(PAYLOAD_BITS).to(states)[values]
        beside = {offset: self._beside(states, true, offset) for offset in (-2, -1, 1, 2)}
        near = torch.stack([beside[-1], states, beside[1]], dim=2)
        hidden: Tensor = self.project(self.bits(near.long()).flatten(2))
        if self.patterns is not None:
            hidden = hidden + self.patterns(self._slots(beside)).sum(0)
        return hidden

    def _beside(self, states: States, true: States, offset: int) -> States:
        """Return what each position is told of the byte so far away: what it cannot see is masked."""
        shifted = _shifted(states, offset)
        if not self.block:
            return shifted
        other = _shifted(true, offset) if offset < 0 else torch.full_like(states, MASK)
        places = torch.arange(states.shape[1])
        same = places // self.block == (places + offset) // self.block
        return torch.where(same[:, None], shifted, other)

    def _slots(self, beside: dict[int, States]) -> Int64[Tensor, "pattern batch byte"]:
        """Return the rows of `patterns` that are added up at each byte."""
        letters = {offset: _letters(states) for offset, states in beside.items()}
        slots = []
        for number, offsets in enumerate(PATTERNS):
            key = torch.zeros_like(letters[1])
            for offset in offsets:
                key = key * (HIDDEN + 1) + letters[offset]
            highest = (key * SIGNED_ODD) >> (64 - self.slots.bit_length() + 1)
            slots.append(number * self.slots + (highest & (self.slots - 1)))
        return torch.stack(slots)


def known_before(states: States, block: int) -> Bool[Tensor, "batch byte"]:
    """Return whether every bit of a position's block before it is known."""
    hidden = (states == MASK).any(-1).long()
    before = hidden.cumsum(1) - hidden
    places = torch.arange(states.shape[1])
    return before == before[:, places - places % block]


def _shifted(states: States, offset: int) -> States:
    """Return the states of the bytes so far away; beyond an end nothing is known."""
    length = states.shape[1]
    padded = pad(states, (0, 0, max(0, -offset), max(0, offset)), value=MASK)
    return padded[:, max(0, offset) :][:, :length]


def _letters(states: States) -> Int64[Tensor, "batch byte"]:
    masked = states == MASK
    return patch_values(states.masked_fill(masked, 0)).masked_fill(masked.any(-1), HIDDEN)
