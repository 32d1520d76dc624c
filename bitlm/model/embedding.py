"""From patches to the vectors the trunk starts from."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from bitlm.model.bit_tree import leaf_bits
from bitlm.model.config import BIT_WIDTH, ModelConfig
from bitlm.model.ngrams import NgramEmbedding
from bitlm.model.positions import sinusoids
from bitlm.model.recall import RecallEmbedding
from bitlm.model.unfilled import embedding, linear

SINUSOID_SCALE = 0.02
"""Amplitude of the sinusoids: that of a fresh embedding, so that neither drowns the other."""

Lookup = NgramEmbedding | RecallEmbedding
"""What adds vectors of bytes of the window, looked up in a table of its own."""


class PatchEmbedding(nn.Module):
    """Embeds a patch's bits, concatenates and projects them, one position to the right.

    The position that predicts patch i sees patch i - 1; the first sees a learned start vector. To a byte are
    added vectors of the last bytes taken together, and of what they recall, if the configuration has them.
    """

    places: Tensor
    all_patches: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.positions_per_frame = config.positions_per_frame
        self.bits = embedding(2, BIT_WIDTH)
        self.project = linear(config.patch_bits * BIT_WIDTH, config.d_model)
        self.start = nn.Parameter(torch.zeros(config.d_model))
        self.ngrams, self.recall = lookups_of(config)
        self.phases = embedding(config.frame_bits, config.d_model) if config.patch_bits == 1 else None
        width = config.sinusoid_width or config.d_model
        places = sinusoids(config.positions, width).repeat(1, config.d_model // width)
        self.register_buffer("places", places * SINUSOID_SCALE, persistent=False)
        self.register_buffer("all_patches", leaf_bits(config.patch_bits), persistent=False)

    def forward(self, values: Integer[Tensor, "batch patch"]) -> Float[Tensor, "batch patch width"]:
        """Return the input of each position of a window whose patches have these values."""
        start = self.start.expand(values.shape[0], 1, -1)
        earlier = nn.functional.embedding(values[:, :-1], self.table())
        for lookup in self.lookups:
            earlier = earlier + looked_up(lookup, values[:, :-1])
        return torch.cat([start, earlier], dim=1) + self.place(0, values.shape[1])

    @property
    def lookups(self) -> list[Lookup]:
        """What adds vectors of more than the last byte."""
        return [lookup for lookup in (self.ngrams, self.recall) if lookup is not None]

    def table(self) -> Float[Tensor, "leaf width"]:
        """Return the vector of every possible patch: fewer than a batch holds, so look-ups are cheaper."""
        return self.project(self.bits(self.all_patches).flatten(1))  # type: ignore[no-any-return]

    def place(self, first: int, count: int) -> Float[Tensor, "position width"]:
        """Return what is added at positions first, …, first + count - 1."""
        places = self.places[first : first + count]
        if self.phases is None:
            return places
        order = torch.arange(first, first + count, device=places.device) % self.positions_per_frame
        return places + self.phases(order)  # type: ignore[no-any-return]


def lookups_of(config: ModelConfig) -> tuple[NgramEmbedding | None, RecallEmbedding | None]:
    """Return vectors of the last bytes taken together and of what they recall, each if there are any."""
    several = config.ngram_order > 1
    ngrams = NgramEmbedding(config.ngram_order, config.ngram_slots, config.d_model) if several else None
    return ngrams, RecallEmbedding(config.d_model) if config.recall else None


def looked_up(lookup: Lookup, values: Integer[Tensor, "batch byte"]) -> Float[Tensor, "batch byte width"]:
    """Return the sum of a lookup's vectors at each byte of some windows, from their first byte on."""
    known = values.long().contiguous().numpy(force=True)
    found = lookup.find(known, 0, known.shape[1])
    summed: Tensor = lookup.vectors(torch.from_numpy(found).to(values.device)).sum(0)
    return summed
