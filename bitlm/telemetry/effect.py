"""Before and after: how far a figure's mean moved at a step, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, sqrt
from statistics import fmean, variance
from typing import Literal

LEAST_VALUES = 4
"""Of a window that an interval can be given for: two batches of two."""

STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t with a 97.5 % chance of less, for 1, 2, … degrees of freedom; more than 30 count as 30."""

Verdict = Literal["unknown", "none", "course", "seen"]
"""What a difference of two means is worth.

unknown: There are too few values to say.
none: No effect is seen; the interval of the difference holds 0.
course: There is a difference, and no more of one than the course before may have led to by itself.
seen: There is more of one.
"""

Point = tuple[int, float]
"""A step and what was measured there."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; without one where there are too few values."""

    mean: float
    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether there is an interval and the value lies in it."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Window:
    """The mean on one side of a step.

    Attributes:
        estimate: Of the mean.
        first_step: Of the values that count.
        last_step: Of the same.
        values: How many they are.
    """

    estimate: Estimate
    first_step: int
    last_step: int
    values: int


@dataclass(frozen=True)
class Effect:
    """A figure before and after a step.

    Attributes:
        before: None where nothing was measured.
        after: The same.
        difference: Mean after minus mean before.
        course: The difference that the straight line through the values before leads to, had it gone on;
            None where there are fewer than three batches to lay it through.
    """

    before: Window | None
    after: Window | None
    difference: Estimate | None
    course: Estimate | None
    verdict: Verdict


@dataclass(frozen=True)
class _Term:
    """An independent part of a sum: the variance of its estimate, and from how many degrees of freedom."""

    variance: float
    freedom: int


@dataclass(frozen=True)
class _Batches:
    """Means of stretches of neighbouring values, which depend on each other less than the values do."""

    values: int
    first_step: int
    last_step: int
    steps: tuple[float, ...]
    means: tuple[float, ...]

    @classmethod
    def of(cls, points: Sequence[Point]) -> "_Batches":
        size = isqrt(len(points))
        batches = [points[start : start + size] for start in range(0, len(points), size)]
        return cls(
            len(points),
            points[0][0],
            points[-1][0],
            tuple(fmean(step for step, _ in batch) for batch in batches),
            tuple(fmean(value for _, value in batch) for batch in batches),
        )

    @property
    def mean(self) -> float:
        return fmean(self.means)

    @property
    def term(self) -> _Term | None:
        """Of the mean; None where there are too few values for an interval."""
        if self.values < LEAST_VALUES:
            return None
        return _Term(variance(self.means) / len(self.means), len(self.means) - 1)

    @property
    def window(self) -> Window:
        terms = [self.term] if self.term else []
        return Window(_estimate(self.mean, *terms), self.first_step, self.last_step, self.values)


def effect(before: Sequence[Point], after: Sequence[Point]) -> Effect:
    """Return how far the mean of a figure moved between two windows.

    Neighbouring values of a run depend on each other, so an interval is not that of their scatter: each
    window is cut into batches of ⌊√n⌋ neighbours, and the batches' means are what is counted as independent
    (values that fill no batch, the farthest from the step, are left out). A difference has the interval of
    Welch's test. This is an observation: what else went on in these steps is in it, too.

    Args:
        before: What was measured up to the step, in order of step.
        after: What was measured after it, in order of step.

    Source: Schmeiser, "Batch Size Effects in the Analysis of Simulation Output", Oper. Res. 30(3), 1982;
    for the size, Flegal & Jones, "Batch Means and Spectral Variance Estimators in MCMC", Ann. Statist.
    38(2), 2010; Welch, Biometrika 34, 1947.
    """
    left = _Batches.of(before[-_whole_batches(before) :]) if before else None
    right = _Batches.of(after[: _whole_batches(after)]) if after else None
    windows = left.window if left else None, right.window if right else None
    if left is None or right is None:
        return Effect(*windows, None, None, "unknown")
    moved = right.mean - left.mean
    if left.term is None or right.term is None:
        return Effect(*windows, Estimate(moved), None, "unknown")
    difference = _estimate(moved, left.term, right.term)
    slope = _slope(left)
    if slope is None:
        return Effect(*windows, difference, None, "none" if difference.holds(0.0) else "seen")
    distance = fmean(right.steps) - fmean(left.steps)
    expected = slope[0] * distance
    along = _Term(slope[1].variance * distance**2, slope[1].freedom)
    beyond = _estimate(moved - expected, left.term, right.term, along)
    verdict: Verdict = "none" if difference.holds(0.0) else "course" if beyond.holds(0.0) else "seen"
    return Effect(*windows, difference, _estimate(expected, along), verdict)


def _whole_batches(points: Sequence[Point]) -> int:
    """Return how many of the values fill batches."""
    size = isqrt(len(points))
    return len(points) // size * size


def _slope(batches: _Batches) -> tuple[float, _Term] | None:
    """Return the slope of the least-squares line through the batches, by step; None for fewer than three."""
    freedom = len(batches.means) - 2
    if freedom < 1:
        return None
    middle, level = fmean(batches.steps), batches.mean
    apart = [step - middle for step in batches.steps]
    spread = sum(distance**2 for distance in apart)
    slope = sum(x * (y - level) for x, y in zip(apart, batches.means, strict=True)) / spread
    off = [y - level - slope * x for x, y in zip(apart, batches.means, strict=True)]
    return slope, _Term(sum(error**2 for error in off) / freedom / spread, freedom)


def _estimate(mean: float, *terms: _Term) -> Estimate:
    """Return a sum with its interval, its degrees of freedom put together by Welch and Satterthwaite."""
    if not terms:
        return Estimate(mean)
    total = sum(term.variance for term in terms)
    weights = sum(term.variance**2 / term.freedom for term in terms)
    freedom = int(total**2 / weights) if weights > 0 else len(STUDENT)
    half = STUDENT[min(max(freedom, 1), len(STUDENT)) - 1] * sqrt(total)
    return Estimate(mean, mean - half, mean + half)
