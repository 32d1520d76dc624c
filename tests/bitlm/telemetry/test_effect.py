"""Means before and after: by hand, and as often right as they say."""

from collections.abc import Callable
from math import gamma, pi, sqrt

import numpy as np
import pytest

from bitlm.telemetry import Effect, Estimate, Point, effect
from bitlm.telemetry.effect import STUDENT

T_1, T_2 = 12.706, 4.303


def chance_of_less(t: float, freedom: int) -> float:
    """Student's distribution, summed up from its density."""
    at, width = np.linspace(0, t, 200_001, retstep=True)
    density = (1 + at**2 / freedom) ** (-(freedom + 1) / 2)
    area = float(width) * (float(density.sum()) - (float(density[0]) + float(density[-1])) / 2)
    scale = gamma((freedom + 1) / 2) / (sqrt(freedom * pi) * gamma(freedom / 2))
    return 0.5 + scale * area


@pytest.mark.parametrize(("freedom", "t"), list(enumerate(STUDENT, 1)))
def test_the_table_is_students_to_a_thousandth(freedom: int, t: float) -> None:
    assert chance_of_less(t - 0.0006, freedom) < 0.975 < chance_of_less(t + 0.0006, freedom)


def test_more_than_thirty_degrees_of_freedom_count_as_thirty() -> None:
    assert len(STUDENT) == 30
    values = [0.0, 2.0] * 800
    batches = np.reshape([value + (place // 40) % 2 for place, value in enumerate(values)], (40, 40))
    found = effect(series(*batches.ravel().tolist()), [])
    assert found.before is not None
    assert half_width(found.before.estimate) == pytest.approx(
        2.042 * batches.mean(axis=1).std(ddof=1) / sqrt(40)
    )


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


def test_an_interval_holds_its_ends_and_where_there_is_none_nothing() -> None:
    assert [Estimate(1, 0, 2).holds(value) for value in (-0.1, 0, 1, 2, 2.1)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert not Estimate(1).holds(1)


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


def test_the_course_before_has_the_interval_of_a_regression_line() -> None:
    """Sixteen values make four batches; numpy lays the line through their means."""
    before = [1.0, 5.0, 2.0, 4.0, 3.0, 7.0, 6.0, 9.0, 8.0, 8.0, 12.0, 9.0, 11.0, 15.0, 12.0, 17.0]
    found = effect(series(*before), series(*[20.0, 22.0] * 8, start=17))
    steps, means = (np.reshape(row, (4, 4)).mean(axis=1) for row in (range(1, 17), before))
    (slope, _), ((variance, _), _) = np.polyfit(steps, means, 1, cov=True)
    distance = 16
    assert found.course is not None
    assert found.course.mean == pytest.approx(slope * distance)
    assert half_width(found.course) == pytest.approx(T_2 * sqrt(variance) * distance)


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
