import pytest

from bitlm.training import Annealing, learning_rate_factor


def test_the_rate_rises_linearly_and_then_stays() -> None:
    assert [learning_rate_factor(step, warmup_steps=4) for step in range(6)] == [
        0.25,
        0.5,
        0.75,
        1.0,
        1.0,
        1.0,
    ]


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate_factor(0, warmup_steps=0) == 1.0


def test_annealing_falls_linearly_to_one_percent_of_where_it_began() -> None:
    annealing = Annealing(start_step=100, steps=10, start_factor=0.8)
    factors = [learning_rate_factor(step, 4, annealing) for step in (100, 105, 110, 500)]
    assert factors == pytest.approx([0.8, 0.8 * 0.505, 0.008, 0.008])
    assert annealing.end_step == 110
