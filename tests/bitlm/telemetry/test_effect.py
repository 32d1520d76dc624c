"""Means before and after: by hand, and as often right as they say."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest

from bitlm.telemetry import Effect, Estimate, Point, effect

T_1, T_2 = 12.706, 4.303


def series(*values: float, start: int = 1) -> list[Point]:
    return [(start + index, value) for index, value in enumerate(values)]


def half_width(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.mean - estimate.low == pytest.approx(estimate.high - estimate.mean)
    return estimate.high - estimate.mean


def test_two_batches_of_two_give_the_interval_worked_out_by_hand() -> None:
    """Batch means 2 and 4 before, 7 and 9 after: each mean has variance 2 ÷ 2, Welch counts two degrees."""
    found = effect(series(1, 3, 4, 4), series(8, 6, 9, 9, start=5))
    assert found.before is not None
    assert found.after is not None
    assert (found.before.estimate.mean, found.after.estimate.mean) == (3, 8)
    assert half_width(found.before.estimate) == pytest.approx(T_1)
    assert found.difference is not None
    assert found.difference.mean == 5
    assert half_width(found.difference) == pytest.approx(T_2 * sqrt(2))
    assert (found.course, found.verdict) == (None, "none")


def test_a_window_is_cut_into_whole_batches_and_keeps_the_values_next_to_the_step() -> None:
    """Eleven values make three batches of three; the two farthest from the step are left out."""
    found = effect(series(99, 99, *[1.0] * 9), series(*[2.0] * 9, 99, 99, start=12))
    assert found.before is not None
    assert found.after is not None
    assert (found.before.first_step, found.before.last_step, found.before.values) == (3, 11, 9)
    assert (found.after.first_step, found.after.last_step, found.after.values) == (12, 20, 9)
    assert (found.difference, found.verdict) == (Estimate(1, 1, 1), "seen")


def test_what_goes_on_as_it_went_is_no_effect() -> None:
    """A straight line falls by 9 from the middle of nine steps to that of the next nine: its own course."""
    found = effect(
        series(*(100.0 - step for step in range(9))), series(*(91.0 - step for step in range(9)), start=10)
    )
    assert found.difference is not None
    assert found.difference.mean == -9
    assert not found.difference.holds(0)
    assert found.course == Estimate(-9, -9, -9)
    assert found.verdict == "course"


def test_what_leaves_its_course_is_an_effect() -> None:
    found = effect(series(*(100.0 - step for step in range(9))), series(*[120.0] * 9, start=10))
    assert found.verdict == "seen"


@pytest.mark.parametrize(
    ("before", "after"),
    [([], []), ([1.0] * 9, []), ([], [1.0] * 9), ([1.0] * 9, [2.0] * 3), ([1.0] * 3, [2.0] * 9)],
)
def test_fewer_than_four_values_say_nothing(before: list[float], after: list[float]) -> None:
    found = effect(series(*before), series(*after, start=100))
    assert found.verdict == "unknown"
    assert (found.before is None, found.after is None) == (not before, not after)
    assert found.difference is None or found.difference.low is None


def independent(generator: np.random.Generator) -> list[float]:
    return [generator.normal(0, 1) for _ in range(400)]


def correlated(generator: np.random.Generator) -> list[float]:
    """Noise of which each value is half the one before."""
    values = [generator.normal(0, 1)]
    for _ in range(399):
        values.append(0.5 * values[-1] + generator.normal(0, sqrt(0.75)))
    return values


def ramp(generator: np.random.Generator) -> list[float]:
    return [value - 0.01 * step for step, value in enumerate(independent(generator))]


def halved(values: list[float]) -> Effect:
    return effect(series(*values[:200]), series(*values[200:], start=201))


@pytest.mark.parametrize(
    ("noise", "most"), [(independent, 35), (correlated, 50)], ids=["independent", "correlated by a half"]
)
def test_where_nothing_happened_a_difference_is_rarely_found(
    noise: Callable[[np.random.Generator], list[float]], most: int
) -> None:
    """Of 500 tries 25 are to be expected, a few more where neighbours depend on each other."""
    drawn = np.random.default_rng(0)
    found = [halved(noise(drawn)) for _ in range(500)]
    assert sum(one.verdict != "none" for one in found) <= most


def test_a_ramp_that_goes_on_is_hardly_ever_taken_for_an_effect() -> None:
    drawn = np.random.default_rng(1)
    found = [halved(ramp(drawn)).verdict for _ in range(300)]
    assert found.count("none") == 0, "its means do differ"
    assert found.count("seen") <= 20


def test_a_step_of_one_deviation_is_found() -> None:
    drawn = np.random.default_rng(2)
    found = [
        halved([value + (step >= 200) for step, value in enumerate(independent(drawn))]).verdict
        for _ in range(100)
    ]
    assert found.count("seen") >= 90
