from math import exp, log, sqrt

import pytest

from bitlm.telemetry import SpikeDetector

ORDINARY = [1.0, 2.0] * 5
"""Ten values with mean logarithm log √2 and a deviation of half of log 2."""


def watching() -> SpikeDetector:
    detector = SpikeDetector(window=10)
    assert all(detector.observe(value) is None for value in ORDINARY)
    return detector


def test_twelve_deviations_above_the_recent_mean_are_a_spike() -> None:
    limit = log(sqrt(2)) + 12 * log(2) / 2
    assert watching().observe(exp(limit - 0.001)) is None
    spike = watching().observe(exp(limit + 0.001))
    assert spike is not None
    assert spike.before == pytest.approx(sqrt(2))
    assert spike.value == exp(limit + 0.001)
    assert spike.deviations == pytest.approx(12, abs=0.01)


def test_far_below_is_no_spike() -> None:
    assert watching().observe(1e-9) is None
    assert watching().observe(0.0) is None


def test_a_spike_does_not_become_the_new_measure() -> None:
    detector = watching()
    assert detector.observe(1e6) is not None
    assert detector.observe(1e6) is not None


def test_nothing_is_a_spike_before_a_whole_window_was_seen() -> None:
    detector = SpikeDetector(window=10)
    assert [detector.observe(value) for value in [*ORDINARY[:9], 1e6]] == [None] * 10


def test_a_constant_stream_may_still_move_by_a_tenth() -> None:
    detector = SpikeDetector(window=10)
    assert [detector.observe(value) for value in [*([1.0] * 10), 1.1]] == [None] * 11
    assert detector.observe(1e3) is not None


def test_the_recent_values_are_those_of_the_last_window() -> None:
    """After ten values of 1 nothing is left of the great ones before, so 3 is far above."""
    detector = SpikeDetector(window=10)
    assert [detector.observe(value) for value in [*[1e3, 1e4] * 5, *[1.0] * 10]] == [None] * 20
    spike = detector.observe(3.0)
    assert spike is not None
    assert spike.before == pytest.approx(1.0)
    assert spike.deviations == pytest.approx(log(3) / 0.01)


def test_a_hundred_values_are_a_window_unless_said_otherwise() -> None:
    detector = SpikeDetector()
    assert all(detector.observe(value) is None for value in [1.0] * 99)
    assert detector.observe(1e6) is None
    again = SpikeDetector()
    assert all(again.observe(value) is None for value in [1.0] * 100)
    assert again.observe(1e6) is not None


def test_nothing_is_as_much_as_a_millionth_of_a_millionth() -> None:
    detector = SpikeDetector(window=10)
    assert [detector.observe(value) for value in [0.0] * 10] == [None] * 10
    spike = detector.observe(1.0)
    assert spike is not None
    assert spike.before == pytest.approx(1e-12)
