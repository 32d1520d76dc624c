"""What a text costs at most when it is denoised: two estimators of one bound, and that of so many steps."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log, sqrt

import torch
from jaxtyping import Float64
from torch import Tensor

from bitlm.data import Text, cut
from bitlm.diffusion import (
    draw_mask,
    hidden_logits,
    hidden_nats,
    masked_shares,
    noise_schedule,
    revealed_nats,
)
from bitlm.diffusion.masking import (
    Bits,
    Masking,
    Rows,
    block_count,
    mask_by_count,
    mask_by_time,
    payload_bits,
    trees_of,
)
from bitlm.errors import ConfigError, CorpusError
from bitlm.model import BitTransformer
from bitlm.randomness import generator
from bitlm.training.evaluation import overlapping_windows

GOLDEN = (sqrt(5) - 1) / 2
"""Of its multiples the parts after the point are spread as evenly as can be, however many there are."""

NORMAL_95 = 1.96
LEAST_DRAWS = 2

ESTIMATORS = ("time", "count")

Places = Float64[Tensor, " row"]
Cost = Callable[[Bits, Rows, Places, torch.Generator], Places]
"""Estimates what rows cost, in nats, from their bits, what may be masked, a place in (0, 1] and draws."""


@dataclass(frozen=True)
class Bound:
    """An estimate of the bits per byte that a text costs at most (the negative evidence lower bound).

    Attributes:
        bits_per_byte: The estimate; without bias.
        standard_error: Of the estimate, by the masks drawn; the text is taken as it is.
        estimator: How it was made: "time", "count", or "steps" of a sampler.
    """

    bits_per_byte: float
    standard_error: float
    estimator: str

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval."""
        reach = NORMAL_95 * self.standard_error
        return self.bits_per_byte - reach, self.bits_per_byte + reach


@torch.no_grad()
def denoising_bound(
    model: BitTransformer, data: Text, *, estimator: str = "time", draws: int = 4, seed: int = 0
) -> Bound:
    """Estimate what `data` costs at most, revealed one unit at a time in any order, each byte counted once.

    Windows are those of `held_out_bits_per_byte`: of each but the first, the first half is known and the
    second is what costs, so the figure stands beside the causal one. With block_bytes it is the sum of the
    blocks' bounds, each given those before it. Both estimators have the same mean.
    "time" draws the share masked evenly from (0, 1], masks each unit by itself, and divides what is masked's
    cost by the share. "count" draws how many units are masked, each number alike, then which, and multiplies
    their mean cost by how many there are.

    Args:
        model: Made to denoise.
        data: The text.
        estimator: "time" or "count".
        draws: Masks for each window; at least 2, for an error to be known.
        seed: Decides the masks.

    Raises:
        CorpusError: There is no text to measure.
        ConfigError: There is no such estimator, draws are too few, or the model does not denoise.

    Source: "time" Sahoo et al., NeurIPS 2024, equation 10; "count" Hoogeboom et al., "Autoregressive
    Diffusion Models", ICLR 2022, equation 5.
    """
    if estimator not in ESTIMATORS:
        raise ConfigError("estimator", estimator, f"use one of {', '.join(ESTIMATORS)}.")
    cost = nats_by_time if estimator == "time" else nats_by_count
    return _estimate(model, data, partial(cost, model), estimator, draws=draws, seed=seed)


def nats_by_time(
    model: BitTransformer, bits: Bits, maskable: Rows, places: Places, draw: torch.Generator
) -> Places:
    """Return an estimate of each row's bound in nats; `places` are the shares to mask, in (0, 1]."""
    spread = _spread(places, block_count(model.config, bits.shape[1]))
    return _nats(model, bits, mask_by_time(spread, maskable, model.config, draw))


def nats_by_count(
    model: BitTransformer, bits: Bits, maskable: Rows, places: Places, draw: torch.Generator
) -> Places:
    """Return an estimate of each row's bound in nats; `places` are shares, of its units, to mask."""
    spread = _spread(places, block_count(model.config, bits.shape[1]))
    return _nats(model, bits, mask_by_count(spread, maskable, model.config, draw))


@torch.no_grad()
def bound_of_steps(
    model: BitTransformer, data: Text, *, steps: int, schedule: str = "linear", draws: int = 4, seed: int = 0
) -> Bound:
    """Estimate what `data` costs at most where it is denoised in so many ancestral steps.

    What one step reveals is drawn without knowing the rest of it, but for a byte's own bits, and that costs:
    with ever more steps the bound falls to that of `denoising_bound`, whatever the schedule.

    Args:
        model: As for `denoising_bound`.
        data: As for `denoising_bound`.
        steps: From 1 to 256.
        schedule: "linear", "cosine" or "exp".
        draws: As for `denoising_bound`; each looks at one step of each window.
        seed: As for `denoising_bound`.

    Raises:
        CorpusError: There is no text to measure.
        ConfigError: A setting is out of range, or the model does not denoise.

    Source: Austin et al., "Structured Denoising Diffusion Models in Discrete State-Spaces", NeurIPS 2021.
    """
    shares = torch.tensor(masked_shares(noise_schedule(schedule), steps))
    unit = model.config.mask_unit

    def by_step(bits: Bits, maskable: Rows, places: Places, draw: torch.Generator) -> Places:
        step = (places * steps).ceil().long() - 1
        mask = draw_mask(shares[step], maskable, unit, draw)
        revealed = draw_mask(1 - shares[step + 1] / shares[step], maskable, unit, draw) & mask
        logits = trees_of(model, bits, mask).double()
        return revealed_nats(logits, bits, mask, mask & ~revealed).sum(1) * steps

    return _estimate(model, data, by_step, f"{steps} steps, {schedule}", draws=draws, seed=seed)


def _estimate(
    model: BitTransformer, data: Text, cost: Cost, estimator: str, *, draws: int, seed: int
) -> Bound:
    """Return the mean of so many independent estimates of each window, and its error."""
    if not data:
        raise CorpusError("there are no bytes to evaluate; give a text of at least one byte.")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < LEAST_DRAWS:
        raise ConfigError("draws", draws, f"use a whole number of at least {LEAST_DRAWS}.")
    model.eval()
    offsets = torch.rand(draws, generator=generator(seed, 0, "bound"), dtype=torch.float64)
    total, variance, done = 0.0, 0.0, 0
    for starts, length, counted in overlapping_windows(len(data), model.config.window_bytes):
        text = cut(data, length, torch.from_numpy(starts))
        bits = payload_bits(text)
        maskable = (torch.arange(length) >= length - counted).expand(text.shape)
        numbers = torch.arange(done, done + len(text), dtype=torch.float64)
        costs = torch.stack([
            cost(bits, maskable, 1 - (offset + GOLDEN * numbers) % 1, generator(seed, done, "bound", number))
            for number, offset in enumerate(offsets)
        ])  # fmt: skip
        total += float(costs.mean(0).sum())
        variance += float(costs.var(0).sum()) / draws
        done += len(text)
    nats = log(2) * len(data)
    return Bound(total / nats, sqrt(variance) / nats, estimator)


def _nats(model: BitTransformer, bits: Bits, masking: Masking) -> Float64[Tensor, " row"]:
    """Return what each row's masked part costs, in nats, over the share that is masked of it."""
    trees, mask = trees_of(model, bits, masking.mask).double(), masking.mask
    nats = hidden_nats(hidden_logits(trees, bits, mask, model.config.mask_unit), bits, mask)
    return (nats.sum(2) / masking.shares).sum(1)


def _spread(places: Places, blocks: int) -> Float64[Tensor, "row block"]:
    """Return a place in (0, 1] for each block of each row, the first one's as given."""
    return 1 - (1 - places[:, None] + GOLDEN * torch.arange(blocks)) % 1
