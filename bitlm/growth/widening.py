"""What becomes of a weight when a model gets twice as wide: what it writes is copied, what it reads split.

In the wider model every stream, head and hidden unit is there twice. Whoever writes one has the same weights
twice; whoever reads one reads both copies, with weights that add up to the old one:

    [x, x] · [s·w, (1 - s)·w] = x · w,  s drawn evenly from (0, 1) for each single weight

Layer norms see each number twice, so their means and deviations are the old ones. Because s differs from
weight to weight, the two copies get gradients of different directions and part at the first update; one s for
all weights of a unit would leave AdamW, which looks at no gradient's size, moving both alike.

Source: Chen et al., "Net2Net", ICLR 2016; Wang et al., "LEMON: Lossless Model Expansion", ICLR 2024.
"""

import re
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SHARE_OF_COPY = 0.5
"""Of a gradient, what one of two copies gets, on average over how whoever reads them is split."""


@dataclass(frozen=True)
class Widening:
    """How one weight widens.

    Attributes:
        parts: Equal parts that its first dimension is made of, such as queries, keys and values.
        copied: The dimension (behind that of the parts, if there are any) along which it writes; None: none.
        split: The dimension along which it reads; None where it reads nothing that widens.
        scale: What it is multiplied by.
    """

    parts: int = 1
    copied: int | None = None
    split: int | None = None
    scale: float = 1.0

    def weight(self, old: Float[Tensor, "..."], draw: torch.Generator) -> Float[Tensor, "..."]:
        """Return the wider weight, split as `draw` has it."""
        apart = self._twice(self._apart(old), self.copied)
        if self.split is not None:
            first = apart * torch.rand(apart.shape, generator=draw)
            apart = torch.cat([first, apart - first], dim=self.split)
        return self._together(apart * self.scale)

    def moment(self, old: Float[Tensor, "..."], power: int) -> Float[Tensor, "..."]:
        """Return what the wider weight's moment would be, had it been trained so far.

        Args:
            old: The mean of gradients to this power.
            power: 1 or 2.
        """
        share = 1 / self.scale if self.copied is None else SHARE_OF_COPY / self.scale
        apart = self._twice(self._twice(self._apart(old), self.copied), self.split)
        return self._together(apart * share**power)

    def is_new(self, shape: torch.Size) -> Bool[Tensor, "..."]:
        """Return which numbers of the wider weight are a second copy or read one, given the old shape."""
        apart = self._apart(torch.zeros(shape, dtype=torch.bool))
        for dimension in (self.copied, self.split):
            if dimension is not None:
                apart = torch.cat([apart, torch.ones_like(apart)], dim=dimension)
        return self._together(apart)

    def _apart(self, weight: Tensor) -> Tensor:
        return weight.unflatten(0, (self.parts, -1)) if self.parts > 1 else weight  # type: ignore[no-untyped-call] # torch's

    def _together(self, apart: Tensor) -> Tensor:
        return apart.flatten(0, 1) if self.parts > 1 else apart

    @staticmethod
    def _twice(weight: Tensor, dimension: int | None) -> Tensor:
        return weight if dimension is None else torch.cat([weight, weight], dim=dimension)


_WIDENINGS = {
    r"mixer\..*|(embedding|denoiser)\.bits\.weight|head\.bias": Widening(),
    r".*\.(query_key_norm\.weight|halting\.bias)": Widening(),
    r"(embedding|denoiser)\.project\.weight": Widening(copied=0),
    r"embedding\.(start|phases\.weight|(ngrams|recall)\.vectors\.weight)": Widening(copied=-1),
    r"denoiser\.patterns\.weight|trunk\.(.*\.)?(out_)?norm\.weight": Widening(copied=-1),
    r".*\.attention\.project_in\.weight": Widening(parts=3, copied=1, split=2),
    r".*\.(attention|feedforward)\.project_(in|out)\.weight": Widening(copied=0, split=1),
    r"head\.weight": Widening(split=1),
    # A halting unit reads both streams, and divides their sum by the square root of their width.
    r".*\.halting\.weight": Widening(parts=2, split=1, scale=sqrt(2)),
}
"""By a pattern of the weight's whole name; the first that fits."""


def widening_of(name: str) -> Widening:
    """Return how the weight of this name widens."""
    found = [widening for pattern, widening in _WIDENINGS.items() if re.fullmatch(pattern, name)]
    assert found, f"{name} is a new kind of weight: say here how it widens"
    return found[0]
