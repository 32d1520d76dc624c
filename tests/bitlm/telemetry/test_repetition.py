import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.telemetry import Repetition, repetition


def longest_by_definition(data: bytes) -> int:
    """Try every stretch and every period."""
    longest = 0
    for start in range(len(data)):
        for end in range(start + longest + 1, len(data) + 1):
            stretch = data[start:end]
            periods = range(1, min(64, len(stretch) // 4) + 1)
            if any(stretch[period:] == stretch[:-period] for period in periods):
                longest = end - start
    return longest


@given(st.lists(st.sampled_from([b"a", b"b", b"ab", b"aab" * 3]), max_size=20).map(b"".join))
def test_it_is_the_longest_stretch_of_four_copies(data: bytes) -> None:
    found = repetition(data)
    assert found.share * len(data) == pytest.approx(longest_by_definition(data))
    assert (found.period == 0) == (found.share == 0)


@pytest.mark.parametrize("period", [1, 2, 7, 31, 64])
def test_a_loop_is_all_copies(period: int) -> None:
    passage = bytes(range(100, 100 + period))
    assert repetition(passage * 4) == Repetition(period, 1.0)
    assert repetition(passage * 4 + passage[: period // 2]) == Repetition(period, 1.0)
    assert repetition(passage * 3).share == 0


def test_the_last_copy_may_be_cut_off_and_what_stands_around_counts_as_not_repeated() -> None:
    assert repetition(b"see: " + b"+-" * 10 + b"+" + b" that") == Repetition(2, 21 / 31)


def test_longer_passages_and_no_bytes_at_all_are_no_repetition() -> None:
    assert repetition(bytes(range(65)) * 8).share == 0
    assert repetition(b"") == Repetition(0, 0.0)
