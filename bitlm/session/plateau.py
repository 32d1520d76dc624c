"""Noticing that held-out text has not improved for long, as when a run learns its text by heart."""

from collections.abc import Iterable
from math import inf
from typing import Any

LEAST_ESTIMATES = 20
"""Estimates without a new best that are waited for at least; and as many as led to the best."""


class Plateau:
    """Watches the estimates on held-out text, and says of each best once that it has been so for long."""

    def __init__(self) -> None:
        self._count = 0
        self._best, self._best_step, self._best_count = inf, 0, 0
        self._is_told = False

    def remember(self, estimates: Iterable[tuple[int, float]]) -> None:
        """Take in what was measured before, in order of step, and keep quiet about it."""
        for step, bits_per_byte in estimates:
            self.observe(step, bits_per_byte)

    def observe(self, step: int, bits_per_byte: float) -> dict[str, Any] | None:
        """Take in an estimate and return what there is to say of the best, if its time has come."""
        self._count += 1
        if bits_per_byte < self._best:
            self._best, self._best_step, self._best_count = bits_per_byte, step, self._count
            self._is_told = False
        without = self._count - self._best_count
        if self._is_told or without < max(LEAST_ESTIMATES, self._best_count):
            return None
        self._is_told = True
        return {
            "best_step": self._best_step,
            "best": self._best,
            "now": bits_per_byte,
            "estimates": without,
        }
