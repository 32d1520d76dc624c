"""A few windows that stand for a text: one of each kind that a model tells apart."""

from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import encode_frames
from bitlm.data import Text, even_windows, last_start
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer
from bitlm.model.attention_summary import summarise_attention
from bitlm.model.bit_tree import patch_values
from bitlm.model.grid import round_to_grid
from bitlm.randomness import generator

CANDIDATES = 16
"""Windows looked at for each that is kept, spread evenly over the text."""

MOST_ROUNDS = 100
"""Of moving the centres; they rest after ten to thirty as a rule."""


@dataclass(frozen=True)
class Representatives:
    """Windows, and how much of the text is like each.

    Attributes:
        windows: Their bytes.
        shares: Of the windows looked at, how many are of each one's kind; they add up to 1.
    """

    windows: UInt8[Tensor, "window byte"]
    shares: Float[Tensor, " window"]


class TelemetrySynthesizer:
    """Finds the kinds of text that a model tells apart, by what its telemetry says of them.

    A window is summarised by the mean of each channel that the trunk hands to the head, and by the entropy of
    each head's attention. Both are standardised and weigh alike, however many numbers they are.

    Args:
        model: Reads the windows.
        seed: Decides which windows the search begins at, alone.

    Source: Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28(2), 1982; begun as in
    Arthur & Vassilvitskii, "k-means++", SODA 2007.
    """

    def __init__(self, model: BitTransformer, *, seed: int = 0) -> None:
        self._model = model
        self._seed = seed

    def cluster(self, data: Text, k: int = 8) -> Representatives:
        """Return of each of k kinds of window the one nearest to the middle of its kind.

        Args:
            data: The text; 16 · k windows of it are looked at, spread evenly, or all if there are fewer.
            k: How many, from 1 to the number of windows there are.

        Raises:
            CorpusError: The text is shorter than one window.
            ConfigError: It has fewer windows than that, or k is below 1.
        """
        length = self._model.config.window_bytes
        most = last_start(data, length) + 1
        if not 1 <= k <= most:
            raise ConfigError("k", k, f"use a whole number from 1 to {most}, the windows that there are.")
        count = min(CANDIDATES * k, most)
        candidates = even_windows(data, length, count)
        points = self.summaries(candidates)
        centres = _settled(points, _begun(points, k, generator(self._seed, 0, "clusters")))
        distances = torch.cdist(points, centres)
        shares = distances.argmin(1).bincount(minlength=k) / count
        return Representatives(candidates[distances.argmin(0)], shares)

    @torch.no_grad()
    def summaries(self, windows: UInt8[Tensor, "window byte"]) -> Float[Tensor, "window number"]:
        """Return what tells the windows apart."""
        channels, heads = [], []
        for window in windows:
            hidden = inputs_of(self._model, window[None])
            channels.append(self._model.trunk(hidden).mean((0, 1)))
            heads.append(summarise_attention(self._model.trunk, hidden).head_entropy_bits.flatten())
        return torch.cat([_standardised(torch.stack(parts)) for parts in (channels, heads)], dim=1)


def inputs_of(
    model: BitTransformer, windows: UInt8[Tensor, "window byte"]
) -> Float[Tensor, "window position width"]:
    """Return what the trunk is given of windows."""
    bits = encode_frames(windows, parity=model.config.parity)
    return round_to_grid(model.embedding(patch_values(model.patches(bits))))


@torch.no_grad()
def own_nats(model: BitTransformer, representatives: Representatives) -> float:
    """Return what a bit of the representatives costs on average, as the tree by itself predicts it."""
    bits = encode_frames(representatives.windows, parity=model.config.parity)
    output = model(bits)
    logits = output.logits if output.unmixed is None else output.unmixed
    payload = bits[:, output.is_payload].to(logits.dtype)
    nats = binary_cross_entropy_with_logits(logits[:, output.is_payload], payload, reduction="none")
    return float(representatives.shares @ nats.mean(1))


def _standardised(numbers: Float[Tensor, "window number"]) -> Float[Tensor, "window number"]:
    """Return the columns with mean 0 and deviation 1, all together as long as one column of them."""
    apart = numbers - numbers.mean(0)
    return apart / apart.square().mean(0).sqrt().clamp(min=1e-6) / sqrt(numbers.shape[1])


def _begun(
    points: Float[Tensor, "window number"], k: int, draw: torch.Generator
) -> Float[Tensor, "k number"]:
    """Return k of the points, each drawn the likelier the farther it is from those before."""
    chosen = torch.randint(len(points), (1,), generator=draw)
    while len(chosen) < k:
        far = torch.cdist(points, points[chosen]).amin(1).square()
        far[chosen] = 0
        # Where all others are like one that was chosen, any other will do.
        far = far if bool(far.any()) else torch.ones_like(far).index_fill(0, chosen, 0)
        chosen = torch.cat([chosen, torch.multinomial(far, 1, generator=draw)])
    return points[chosen]


def _settled(
    points: Float[Tensor, "window number"], centres: Float[Tensor, "k number"]
) -> Float[Tensor, "k number"]:
    """Move each centre to the middle of the points nearest to it until all rest; one without points rests."""
    for _ in range(MOST_ROUNDS):
        nearest = torch.cdist(points, centres).argmin(1)
        counts = nearest.bincount(minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        moved = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres
