"""Spikes: one value far above what a stream has been lately."""

from collections import deque
from dataclasses import dataclass
from math import exp, log, sqrt

DEVIATIONS = 12.0
"""Standard deviations above the recent mean that make a spike."""

SMALLEST_DEVIATION = 0.01
"""Least standard deviation of the logarithm: a stream that hardly moves may still move by a hundredth."""

SMALLEST_VALUE = 1e-12
"""What lies below has the logarithm of this."""


@dataclass(frozen=True)
class Spike:
    """A value far above the recent ones.

    Attributes:
        before: The recent values' geometric mean.
        value: The spike.
        deviations: How far above it is, in standard deviations of the logarithm.
    """

    before: float
    value: float
    deviations: float


class SpikeDetector:
    """Compares each value of a positive stream with the `window` before it, by their logarithms.

    The rule is that of a published spike score, 7 standard deviations above a rolling mean, with two changes:
    of logarithms, because losses and gradient norms vary by factors, and 12 of them, because with 7 an
    ordinary run alerts now and then (docs/metrics.md). A spike is not taken into the history.

    Source: OLMo Team, "2 OLMo 2 Furious", arXiv:2501.00656, 2025, on spike scores.
    """

    def __init__(self, *, window: int = 100) -> None:
        self._window = window
        self.forget()

    def forget(self) -> None:
        """Begin anew, as if nothing had been seen."""
        self._recent: deque[float] = deque()
        self._sum = self._squares = 0.0

    def observe(self, value: float) -> Spike | None:
        """Take in a value and return the spike that it is; nothing is one before a whole window was seen."""
        logarithm = log(max(value, SMALLEST_VALUE))
        if len(self._recent) == self._window:
            mean = self._sum / self._window
            deviation = sqrt(max(self._squares / self._window - mean**2, SMALLEST_DEVIATION**2))
            deviations = (logarithm - mean) / deviation
            if deviations > DEVIATIONS:
                return Spike(exp(mean), value, deviations)
            self._add(-1, self._recent.popleft())
        self._recent.append(logarithm)
        self._add(1, logarithm)
        return None

    def _add(self, sign: int, logarithm: float) -> None:
        """Keep the sums up: every step comes here, and adding up the window anew would take longer."""
        self._sum += sign * logarithm
        self._squares += sign * logarithm**2
