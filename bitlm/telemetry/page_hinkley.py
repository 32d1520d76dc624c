"""The Page–Hinkley test: whether the mean of a stream has moved, by a jump or by a slow ramp."""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from bitlm.errors import ConfigError

BURN_IN_BLOCKS = 10
"""Blocks that level and noise are known from before anything is tested."""

ALLOWANCE = 1.0
"""What a block may lie off the level without counting, in standard deviations of a block."""

THRESHOLD = 20.0
"""How far the blocks off the level must add up, in the same unit."""

MOST_OF_ONE_BLOCK = THRESHOLD / 2
"""What one block can add before the allowance: three have to agree, so an outlier is no move."""

SMALLEST_NOISE = 1e-9
"""Below this share of the level, differences between blocks are rounding."""


@dataclass(frozen=True)
class Move:
    """A stream's mean moved.

    Attributes:
        before: Its level until then.
        after: Its mean since `since`.
        since: The step after which the values went off the level.
    """

    before: float
    after: float
    since: int


class PageHinkley:
    """Watches one stream, in either direction, and begins anew after each move.

    Values are averaged in blocks, z = (block − mean of all blocks) ÷ σ, and a move is found when Σ(z − 1),
    begun again wherever it falls below 0, exceeds 20; downwards the same of −z. σ comes from the differences
    between neighbouring blocks, so neither a trend nor a jump passes for noise, and the test knows no unit.

    The first 10 blocks are only looked at. `python -m benchmarks.drift` has the false alarms and the delays.

    Source: Page, "Continuous Inspection Schemes", Biometrika 41, 1954; Hinkley, "Inference about the
    Change-Point from Cumulative Sum Tests", Biometrika 58, 1971; σ from von Neumann, "Distribution of the
    Ratio of the Mean Square Successive Difference to the Variance", Annals Math. Statistics 12, 1941.
    """

    def __init__(self, *, block: int = 20) -> None:
        """Take `block` values, at least 1, at a time: more where neighbouring values depend on each other.

        Raises:
            ConfigError: `block` is below 1.
        """
        if block < 1:
            raise ConfigError("block", block, "must be at least 1 value.")
        self._block = block
        self.forget()

    def forget(self) -> None:
        """Begin anew, as if nothing had been seen."""
        self._values: list[float] = []
        self._count = 0
        self._mean = 0.0
        self._last = 0.0
        self._squares = 0.0
        self._sides = (_Side(1), _Side(-1))
        self._block_began = 0

    def observe(self, value: float, step: int) -> Move | None:
        """Take in the value after that step and return the move that it completes."""
        self._values.append(value)
        if len(self._values) < self._block:
            return None
        mean, self._values = fmean(self._values), []
        move = self._moved(mean) if self._count >= BURN_IN_BLOCKS else None
        self._block_began = step
        if move is not None:
            self.forget()
            return move
        self._take_in(mean)
        return None

    def _take_in(self, mean: float) -> None:
        if self._count:
            self._squares += (mean - self._last) ** 2
        self._last = mean
        self._count += 1
        self._mean += (mean - self._mean) / self._count

    def _moved(self, mean: float) -> Move | None:
        noise = sqrt(self._squares / (2 * (self._count - 1)))
        score = (mean - self._mean) / max(noise, SMALLEST_NOISE * abs(self._mean), 1e-300)
        for side in self._sides:
            side.add(score, mean, self._block_began)
            if side.total > THRESHOLD:
                return Move(self._mean_before(side), fmean(side.blocks), side.since)
        return None

    def _mean_before(self, side: "_Side") -> float:
        """Return the mean of the blocks taken in before the side's, of which the last is not taken in yet."""
        *taken_in, _ = side.blocks
        return (self._mean * self._count - sum(taken_in)) / (self._count - len(taken_in))


class _Side:
    """One direction's cumulative sum.

    Attributes:
        total: The sum, never below 0.
        blocks: The means of the blocks since it was 0.
        since: The step it was 0 at.
    """

    def __init__(self, sign: int) -> None:
        self.total = 0.0
        self.blocks: list[float] = []
        self.since = 0
        self._sign = sign

    def add(self, score: float, mean: float, step: int) -> None:
        """Take in a block that began after `step`."""
        self.total += min(self._sign * score, MOST_OF_ONE_BLOCK) - ALLOWANCE
        if self.total <= 0.0:
            self.total, self.blocks = 0.0, []
            return
        if not self.blocks:
            self.since = step
        self.blocks.append(mean)
