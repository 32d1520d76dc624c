"""What telemetry takes of a run's time, worked by hand."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.session.governor import FADING_S, LOOKS_KEPT, Governor

INTERVALS = {"probe_interval": 50, "diagnostics_interval": 100}


def governor(budget: float = 0.02, *, update_s: float = 0.1, recording_s: float = 0.0) -> Governor:
    """One that has seen 100 steps."""
    made = Governor(budget, INTERVALS)
    for _ in range(100):
        made.note_step(update_s=update_s, other_s=0.0, looks_s=0.0, recording_s=recording_s)
    return made


def looks(made: Governor, since: int, until: int) -> list[int]:
    """The steps that are looked at, each in the time that looks took before."""
    seen = []
    for step in range(since, until):
        if made.is_due("probe_interval", step):
            made.note_look("probe_interval", step, made._looks_s["probe_interval"][-1])
            seen.append(step)
    return seen


def slow(made: Governor, *, probe_s: float, diagnostics_s: float = 0.0, step: int = 32) -> Governor:
    """The same, with what looking took."""
    for _ in range(LOOKS_KEPT):
        made.note_look("probe_interval", step, probe_s)
        made.note_look("diagnostics_interval", step, diagnostics_s)
    return made


def test_looks_are_dense_at_first_and_then_come_at_their_interval() -> None:
    made = slow(Governor(0.02, INTERVALS), probe_s=0.0, step=0)
    assert looks(made, 1, 201) == [1, 2, 4, 8, 16, 32, 50, 100, 150, 200]


def test_looks_that_fit_the_budget_stay_as_they_are() -> None:
    made = slow(governor(), probe_s=0.05)
    assert made.reconsider(50) is None
    assert made.stretch == 1


def test_looks_that_take_too_much_come_less_often_and_it_is_said_how_much_they_would_have_taken() -> None:
    made = slow(governor(), probe_s=0.5, diagnostics_s=0.1)
    # (0.5 ∕ 50 + 0.1 ∕ 100) ∕ 0.1 = 0.11 of an update; the aim is 0.013 ∕ 0.987: 8.35 times less, or 11
    thinning = made.reconsider(50)
    assert thinning is not None
    assert thinning.share == pytest.approx(0.11 / 1.11)
    assert (thinning.budget, thinning.intervals) == (
        0.02,
        {"probe_interval": 550, "diagnostics_interval": 1100},
    )
    assert looks(made, 33, 1401) == [550, 1100]


def test_a_look_that_was_asked_for_in_between_counts_as_one() -> None:
    made = slow(governor(), probe_s=0.5, diagnostics_s=0.1)
    made.reconsider(50)
    assert looks(made, 51, 300) == []
    made.note_look("probe_interval", 300, 0.5)
    assert looks(made, 301, 1401) == [850, 1400]


def test_intervals_are_reconsidered_where_one_ends_and_nowhere_else() -> None:
    made = slow(governor(), probe_s=0.5, diagnostics_s=0.1)
    assert [step for step in range(1, 101) if made.reconsider(step)] == [50]
    slow(made, probe_s=9.0)
    assert [step for step in range(101, 551) if made.reconsider(step)] == [550]
    assert not made.is_due("probe_interval", 550)


def test_intervals_become_shorter_again_only_when_half_of_them_would_do() -> None:
    made = slow(governor(), probe_s=0.5)
    made.reconsider(50)
    before = made.stretch
    slow(made, probe_s=0.35)
    assert (made.reconsider(1000), made.stretch) == (None, before)
    slow(made, probe_s=0.05)
    thinning = made.reconsider(1000)
    assert thinning is not None
    assert (thinning.intervals, made.stretch) == (INTERVALS, 1)


def test_what_recording_takes_is_not_left_for_looks_but_a_third_of_the_aim_is_theirs() -> None:
    free, busy, overrun = (
        slow(governor(recording_s=seconds), probe_s=0.5) for seconds in (0.0, 0.0005, 0.01)
    )
    for made in (free, busy, overrun):
        made.reconsider(100)
    assert free.stretch < busy.stretch < overrun.stretch
    # 0.1 of an update may be 0.0043 ∕ 0.9957 of it: 22.98 times less, or 29
    assert overrun.stretch == 29


def test_a_budget_of_one_thins_nothing() -> None:
    assert slow(governor(1.0, update_s=1e-4), probe_s=100.0).reconsider(100) is None


def test_a_single_slow_look_or_step_changes_nothing() -> None:
    made = slow(governor(), probe_s=0.05)
    made.note_look("probe_interval", 32, 9.0)
    made.note_step(update_s=30.0, other_s=0.0, looks_s=0.0, recording_s=0.0)
    assert made.reconsider(100) is None


def test_the_usual_time_is_the_median_of_31_steps_and_of_3_looks() -> None:
    made = Governor(0.02, {"probe_interval": 50})
    for seconds in (9.0, 1.0, 3.0, 2.0):
        made.note_look("probe_interval", 1, seconds)
    for update_s in [5.0, *[0.1] * 15, 0.2, *[0.4] * 15]:
        made.note_step(update_s=update_s, other_s=0.0, looks_s=0.0, recording_s=0.0)
    assert made._looks_per_update() == pytest.approx(2.0 / 50 / 0.2)


def test_a_step_fades_to_a_share_of_e_within_a_minute() -> None:
    made = Governor(0.02, INTERVALS)
    made.note_step(update_s=0.0, other_s=0.0, looks_s=1.0, recording_s=0.0)
    later = made.note_step(update_s=60.0, other_s=0.0, looks_s=0.0, recording_s=0.0)
    assert later == pytest.approx(exp(-1) / (60 + exp(-1)))


def test_without_any_look_or_step_there_is_nothing_to_reckon_with() -> None:
    made = Governor(0.02, INTERVALS)
    assert made.reconsider(50) is None
    made.note_look("probe_interval", 1, 1.0)
    assert made.reconsider(50) is None


def test_the_share_is_that_of_the_last_minute_or_so() -> None:
    made = Governor(0.02, INTERVALS)
    first = made.note_step(update_s=0.6, other_s=0.2, looks_s=0.15, recording_s=0.05)
    assert first == pytest.approx(0.2)
    for _ in range(int(10 * FADING_S)):
        later = made.note_step(update_s=0.99, other_s=0.0, looks_s=0.0, recording_s=0.01)
    assert later == pytest.approx(0.01, abs=1e-4)


@given(st.lists(st.floats(-1.0, 100.0), min_size=4, max_size=4))
def test_a_share_is_a_share_whatever_a_clock_says(seconds: list[float]) -> None:
    names = ("update_s", "other_s", "looks_s", "recording_s")
    assert 0.0 <= Governor(0.02, INTERVALS).note_step(**dict(zip(names, seconds, strict=True))) <= 1.0


@given(
    budget=st.floats(0.001, 0.9), update_s=st.floats(1e-3, 10.0), probe_s=st.floats(0.0, 10.0),
    diagnostics_s=st.floats(0.0, 10.0),
)  # fmt: skip
def test_what_looks_take_at_the_intervals_decided_on_is_within_the_budget(
    budget: float, update_s: float, probe_s: float, diagnostics_s: float
) -> None:
    made = slow(governor(budget, update_s=update_s), probe_s=probe_s, diagnostics_s=diagnostics_s)
    made.reconsider(100)
    taken_s = (probe_s / 50 + diagnostics_s / 100) / made.stretch
    assert taken_s / (taken_s + update_s) <= budget
