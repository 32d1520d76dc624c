import math
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.errors import ConfigError
from bitlm.telemetry import Move, PageHinkley
from bitlm.telemetry.page_hinkley import _Side


def moves(values: list[float], *, block: int = 1) -> list[tuple[int, Move]]:
    detector = PageHinkley(block=block)
    found = ((step, detector.observe(value, step)) for step, value in zip(count(1), values, strict=False))
    return [(step, move) for step, move in found if move is not None]


def noise(seed: int, length: int, autocorrelation: float = 0.0) -> list[float]:
    values = np.random.default_rng(seed).standard_normal(length)
    values[1:] *= math.sqrt(1 - autocorrelation**2)
    for place in range(1, length):
        values[place] += autocorrelation * values[place - 1]
    return list(values.tolist())


def test_a_step_is_found_as_worked_by_hand() -> None:
    # Ten blocks of 0 and 1 in turn: mean ½, every difference 1, so σ² = 9 ÷ (2 · 9) = ½. Then come
    #  8: z = 7.5 ÷ √½ = 10.6, of which 10 count, so Σ = 9; mean 13 ÷ 11, σ² = (9 + 7²) ÷ (2 · 10) = 2.9
    #  9: z = (9 − 13 ÷ 11) ÷ √2.9 = 4.59, so Σ = 12.59;     mean 22 ÷ 12, σ² = (58 + 1) ÷ (2 · 11) = 2.68
    # 30: z = (30 − 22 ÷ 12) ÷ √2.68 = 17.2, of which 10 count, so Σ = 21.59, which exceeds 20.
    # 15.4 in its place has z = 8.28, so Σ = 19.87; 15.7 has z = 8.47, so Σ = 20.06.
    assert moves([*[0.0, 1.0] * 5, 8.0, 9.0]) == []
    assert moves([*[0.0, 1.0] * 5, 8.0, 9.0, 15.4]) == []
    assert [step for step, _ in moves([*[0.0, 1.0] * 5, 8.0, 9.0, 15.7])] == [13]
    ((step, move),) = moves([*[0.0, 1.0] * 5, 8.0, 9.0, 30.0, 30.0])
    assert (step, move.since) == (13, 10)
    assert (move.before, move.after) == pytest.approx((0.5, 47 / 3))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_begins_again_at_0_and_one_block_adds_9_at_most(sign: int) -> None:
    side, totals = _Side(sign), []
    for step, score in enumerate([0.5, 1.0, 3.0, 100.0, 0.0, -8.0, -3.0, 1.25]):
        side.add(sign * score, mean=float(step), step=10 * step)
        totals.append((side.total, side.blocks[:1], side.since))
    assert [total for total, _, _ in totals] == [0, 0, 2, 11, 10, 1, 0, 0.25]
    assert totals[5][1:] == ([2.0], 20)
    assert totals[7][1:] == ([7.0], 70)


def test_a_fall_is_found_as_a_rise_is() -> None:
    values = [*noise(1, 400), *(value + 4 for value in noise(2, 100))]
    ((step, up),) = moves(values)
    ((other, down),) = moves([-value for value in values])
    assert (other, down.since) == (step, up.since)
    assert (down.before, down.after) == pytest.approx((-up.before, -up.after))


@given(exponent=st.integers(-10, 10), seed=st.integers(0, 20))
def test_the_unit_does_not_matter(exponent: int, seed: int) -> None:
    values = [*noise(seed, 400), *(value + 2 for value in noise(seed + 1, 400))]
    scaled = [value * 2.0**exponent for value in values]
    assert [step for step, _ in moves(scaled, block=20)] == [step for step, _ in moves(values, block=20)]


@pytest.mark.parametrize("autocorrelation", [0.0, 0.9])
def test_a_steady_stream_is_never_alarmed_and_a_step_always(autocorrelation: float) -> None:
    for seed in range(10):
        steady = noise(seed, 3000, autocorrelation)
        assert moves(steady, block=20) == []
        stepped = [value + 2 * (place >= 2000) for place, value in enumerate(steady)]
        assert 2000 < moves(stepped, block=20)[0][0] <= 2500


def test_a_ramp_is_found_while_it_rises() -> None:
    ramped = [value + 2 * max(0, place - 2000) / 1000 for place, value in enumerate(noise(3, 3000))]
    ((step, move), *_) = moves(ramped, block=20)
    assert 2000 < step < 2700
    assert move.after > move.before + 0.3


def test_a_move_is_seen_on_a_level_far_above_its_noise() -> None:
    values = [1e6 + value for value in [*noise(8, 400), *(value + 4 for value in noise(9, 200))]]
    ((step, _),) = moves(values)
    assert 400 < step < 420


def test_twenty_values_are_a_block_unless_said_otherwise() -> None:
    values = [*noise(1, 600), *(value + 2 for value in noise(2, 400))]
    detector = PageHinkley()
    found = [step for step, value in enumerate(values, 1) if detector.observe(value, step) is not None]
    assert found == [step for step, _ in moves(values, block=20)]
    assert found != [step for step, _ in moves(values, block=21)]


def test_one_outlier_is_no_move() -> None:
    assert moves([*noise(4, 200), 1000.0, *noise(5, 200)], block=20) == []


def test_a_constant_stream_has_no_noise_and_no_move() -> None:
    assert moves([0.5] * 500, block=20) == []


def test_after_a_move_the_new_level_is_the_level() -> None:
    values = [*noise(6, 1000), *(value + 5 for value in noise(7, 3000))]
    assert len(moves(values, block=20)) == 1


def test_a_block_of_no_values_is_refused() -> None:
    with pytest.raises(ConfigError, match="block=0: must be at least 1 value"):
        PageHinkley(block=0)
