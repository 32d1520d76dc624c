"""A quick estimate of the bits per byte of held-out text, from windows that stand for the whole of it."""

from math import log

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS
from bitlm.data import Text, cut, last_start
from bitlm.diffusion.masking import payload_bits
from bitlm.model import BitTransformer
from bitlm.randomness import generator
from bitlm.reference import ReferenceModel
from bitlm.training.bound import GOLDEN, nats_by_count
from bitlm.training.evaluation import payload_nats

WINDOWS = 24
"""Windows drawn: with fewer the estimate is farther off, more take more of the time (docs/metrics.md)."""

BOUND_DRAWS = 4
"""Masks for each window, where a bound is estimated."""

MOST_CANDIDATES = 1024
"""Windows to draw from, spread evenly, however long the text is."""


class HeldOutEstimate:
    """What a model costs on some windows of a text, weighted so that they stand for the whole.

    Of every window the second half counts, as in `held_out_bits_per_byte`. Windows are drawn at even
    distances along the text, with a chance in proportion to the square root of their cost under the
    reference. Their weights are those nearest to the inverse chances for which the reference's own cost
    comes out as that of the whole text, and a constant as that constant. So a model that finds the same
    passages hard as the reference does is told with a small error. The windows are chosen once: two
    estimates differ by the model alone.

    Source: Deville & Särndal, "Calibration Estimators in Survey Sampling", JASA 87(418), 1992; drawn as in
    Madow, "On the Theory of Systematic Sampling, II", Ann. Math. Statist. 20(3), 1949.
    """

    def __init__(
        self, data: Text, reference: ReferenceModel, window_bytes: int, windows: int = WINDOWS
    ) -> None:
        """Choose the windows.

        Args:
            data: The text.
            reference: Says which passages are hard.
            window_bytes: Length of a window.
            windows: How many to draw; where one is drawn again, it counts again.

        Raises:
            CorpusError: The text is shorter than one window.
        """
        last = last_start(data, window_bytes)
        stride = max(1, window_bytes // 2, last // MOST_CANDIDATES)
        starts = torch.arange(0, last + 1, stride)
        candidates = cut(data, window_bytes, starts)
        costs = _reference_costs(candidates.numpy(), reference)
        sizes = np.sqrt(costs)
        ends = np.cumsum(sizes) / sizes.sum()
        drawn = np.searchsorted(ends, (np.arange(windows) + 0.5) / windows)
        chosen, times = np.unique(np.minimum(drawn, len(costs) - 1), return_counts=True)
        weights = calibrated(times / sizes[chosen], costs[chosen], costs.mean())
        self._text = candidates[torch.from_numpy(chosen)]
        self._weights = torch.from_numpy(weights)

    def bits_per_bit(self, model: BitTransformer) -> tuple[float, ...]:
        """Return what each bit of a byte costs, in bits: b7, the most significant, to b0.

        The eight add up to the estimate of bits per byte; a coin costs 1.
        """
        nats = payload_nats(model, self._text)
        by_byte = nats.reshape(len(nats), -1, PAYLOAD_BITS)
        counted: Tensor = by_byte[:, by_byte.shape[1] // 2 :].mean(1) / log(2)
        return tuple((self._weights[:, None] * counted).sum(0).tolist())

    def bits_per_byte(self, model: BitTransformer) -> float:
        """Return the estimate."""
        return sum(self.bits_per_bit(model))

    def bound_bits_per_byte(self, model: BitTransformer) -> float:
        """Return the estimate of what denoising costs at most, the first half of each window being known.

        Masks are the same every time, so that two estimates differ by the model alone. They are drawn by
        "count", as in `denoising_bound`, the shares spread evenly over windows and draws.
        """
        rows, length = self._text.shape
        maskable = (torch.arange(length) >= length // 2).expand(rows, -1)
        bits, numbers = payload_bits(self._text), torch.arange(rows, dtype=torch.float64)
        with torch.no_grad():
            drawn = [
                nats_by_count(
                    model,
                    bits,
                    maskable,
                    1 - (numbers * BOUND_DRAWS + draw) * GOLDEN % 1,
                    generator(0, draw, "bound"),
                )
                for draw in range(BOUND_DRAWS)
            ]
        by_byte = torch.stack(drawn).mean(0) / (maskable.sum(1) * log(2))
        return float((self._weights * by_byte).sum())


def calibrated(
    weights: Float64[np.ndarray, "window"], costs: Float64[np.ndarray, "window"], mean: float
) -> Float64[np.ndarray, "window"]:
    """Return the weights nearest to those given that add up to 1 and for which the weighted cost is `mean`.

    Where no weights do both, as when all windows cost the same, they add up to 1.
    """
    weights = weights / weights.sum()
    known = np.stack([np.ones_like(costs), costs])
    wanted = np.array([1.0, mean]) - known @ weights
    factors, *_ = np.linalg.lstsq(known * weights @ known.T, wanted, rcond=None)
    found = weights * (1 + factors @ known)
    return np.asarray(found / found.sum())


def _reference_costs(
    candidates: UInt8[np.ndarray, "window byte"], reference: ReferenceModel
) -> Float64[np.ndarray, "window"]:
    """Return the bits per byte of each window's second half under the reference."""
    probabilities = reference.window_probabilities(candidates)
    drawn = np.where(np.unpackbits(candidates, axis=-1), probabilities, 1 - probabilities)
    by_byte = -np.log2(drawn).reshape(*candidates.shape, PAYLOAD_BITS).sum(-1)
    counted: Float64[np.ndarray, window] = by_byte[:, candidates.shape[1] // 2 :].mean(-1)
    return counted
