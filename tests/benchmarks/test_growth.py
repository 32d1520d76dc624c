from math import inf

from benchmarks.growth import GROWN, Point, Side


def test_a_target_is_met_at_the_first_estimate_that_is_as_low() -> None:
    points = [(0.1, 3.0), (0.2, 2.5), (0.3, 2.6), (0.4, 2.4)]
    side = Side(GROWN, 0, [Point(minutes, 1, 1, 1, bits) for minutes, bits in points])
    assert [side.minutes_to(target) for target in (3.5, 2.5, 2.45, 2.0)] == [0.1, 0.2, 0.4, inf]
