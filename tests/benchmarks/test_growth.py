from math import inf

import pytest

from benchmarks.growth import GROWN, LARGE, Point, Side, saving


def test_a_target_is_met_at_the_first_estimate_that_is_as_low() -> None:
    points = [(0.1, 3.0), (0.2, 2.5), (0.3, 2.6), (0.4, 2.4)]
    side = Side(GROWN, 0, [Point(minutes, 1, 1, 1, bits) for minutes, bits in points])
    assert [side.minutes_to(target) for target in (3.5, 2.5, 2.45, 2.0)] == [0.1, 0.2, 0.4, inf]


def test_what_growing_saves_is_a_mean_over_seeds_with_students_interval() -> None:
    def side(name: str, seed: int, minutes: float, bits: float = 2.0) -> Side:
        return Side(name, seed, [Point(minutes, 1, 1, 1, bits)])

    grown = [side(GROWN, 0, 0.5), side(GROWN, 1, 0.7), side(GROWN, 2, 0.9), side(GROWN, 3, 0.1, bits=3.0)]
    large = [side(LARGE, seed, 1.0) for seed in range(4)]
    found = saving([*grown, *large], 2.0)
    assert found.of_seeds == pytest.approx((0.5, 0.3, 0.1)), "the fourth never met it"
    assert found.mean == pytest.approx(0.3)
    assert found.margin == pytest.approx(4.303 * 0.2 / 3**0.5, rel=1e-3)
    assert str(found) == "2: growing saved 30% ± 50% of the time, 3 seeds"
    assert saving([grown[0], large[0]], 2.0).margin is None
    assert saving([grown[3], large[3]], 2.0).mean is None
