from itertools import pairwise
from math import pi, sin

import pytest

from bitlm.diffusion import SCHEDULES, masked_shares, noise_schedule
from bitlm.errors import ConfigError


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_falls_from_all_masked_to_nothing_masked(name: str) -> None:
    shares = masked_shares(noise_schedule(name), 7)
    assert len(shares) == 8
    assert (shares[0], shares[-1]) == (1.0, 0.0)
    assert all(later < earlier for earlier, later in pairwise(shares))


def test_schedules_are_what_their_formulas_say() -> None:
    assert masked_shares(SCHEDULES["linear"], 4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert masked_shares(SCHEDULES["cosine"], 4)[1] == pytest.approx(sin(3 * pi / 8))
    assert SCHEDULES["exp"].masked(0.5) == pytest.approx(1 / (1 + 2.718281828**1.5))


def test_cosine_reveals_little_at_first_and_exp_much() -> None:
    half = {name: schedule.masked(0.5) for name, schedule in SCHEDULES.items()}
    assert half["exp"] < half["linear"] < half["cosine"]


@pytest.mark.parametrize("steps", [0, 257, 2.0, True])
def test_steps_that_cannot_be_are_refused(unchecked_types: None, steps: int) -> None:
    with pytest.raises(ConfigError, match=f"steps={steps}: use a whole number from 1 to 256"):
        masked_shares(SCHEDULES["linear"], steps)


def test_an_unknown_schedule_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError, match="schedule='cubic': use one of linear, cosine, exp"):
        noise_schedule("cubic")
