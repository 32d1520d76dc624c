import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.errors import BitFormatError
from bitlm.telemetry import lz_complexity, lz_phrases

bit_rows = st.lists(st.integers(0, 1), max_size=200)
periodic_rows = st.builds(
    lambda period, count, tail: (period * count)[: 200 - len(tail)] + tail,
    st.lists(st.integers(0, 1), min_size=1, max_size=12),
    st.integers(1, 40),
    st.lists(st.integers(0, 1), max_size=5),
)


def kaspar_schuster(bits: list[int]) -> int:
    """Count phrases with the two-pointer scan of the 1987 paper, its variables' names kept."""
    n = len(bits)
    if n < 2:
        return n
    i, k, k_max, prefix, phrases = 0, 1, 1, 1, 1
    while True:
        if bits[i + k - 1] == bits[prefix + k - 1]:
            k += 1
            if prefix + k > n:
                return phrases + 1
            continue
        k_max, i, k = max(k, k_max), i + 1, 1
        if i == prefix:
            phrases, prefix = phrases + 1, prefix + k_max
            if prefix + 1 > n:
                return phrases
            i, k_max = 0, 1


def parsed_by_definition(bits: list[int]) -> int:
    """Extend each phrase while it occurs in what stands before its last bit."""
    text, start, phrases = "".join(map(str, bits)), 0, 0
    while start < len(text):
        end = start + 1
        while end <= len(text) and text[start:end] in text[: end - 1]:
            end += 1
        start, phrases = end, phrases + 1
    return phrases


@given(st.one_of(bit_rows, periodic_rows))
def test_phrases_equal_kaspar_and_schusters_scan_and_the_definition(bits: list[int]) -> None:
    assert lz_phrases(bits) == kaspar_schuster(bits) == parsed_by_definition(bits)


@pytest.mark.parametrize(
    "bits",
    [
        *([value] * length for value in (0, 1) for length in (1, 2, 3, 64, 257)),
        [0, 1] * 64,
        [1, 0] * 63 + [1],
        *([0] * before + [1] + [0] * (63 - before) for before in (0, 1, 31, 62, 63)),
        *(([0] * (period - 1) + [1]) * 9 for period in (2, 3, 7, 8, 31)),
    ],
)
def test_phrases_of_degenerate_rows_equal_the_scan(bits: list[int]) -> None:
    assert lz_phrases(bits) == kaspar_schuster(bits) == parsed_by_definition(bits)


def test_phrases_of_long_random_rows_equal_the_scan() -> None:
    random = np.random.default_rng(0)
    for length in (500, 1024):
        bits = random.integers(0, 2, length).tolist()
        assert lz_phrases(bits) == kaspar_schuster(bits)


def test_lempel_and_zivs_own_example_has_six_phrases() -> None:
    # 0 . 001 . 10 . 100 . 1000 . 101
    assert lz_phrases([int(bit) for bit in "0001101001000101"]) == 6


def test_complexity_is_phrases_times_log_n_over_n() -> None:
    assert lz_complexity([0] * 8) == pytest.approx(2 * 3 / 8)
    assert lz_complexity([0, 1]) == pytest.approx(2 * 1 / 2)


@pytest.mark.parametrize(("bits", "phrases"), [([], 0), ([0], 1), ([1], 1)])
def test_fewer_than_two_bits_have_no_complexity(bits: list[int], phrases: int) -> None:
    assert lz_phrases(bits) == phrases
    assert lz_complexity(bits) == 0.0


def test_noise_reads_near_1_and_the_shorter_the_higher() -> None:
    random = np.random.default_rng(0)
    means = [
        float(np.mean([lz_complexity(random.integers(0, 2, length)) for _ in range(20)]))
        for length in (128, 1024, 8192)
    ]
    assert means == sorted(means, reverse=True)
    assert means[0] > 1.1
    assert 1 < means[2] < 1.1
    assert math.isclose(lz_complexity([0, 1] * 4096), 3 * 13 / 8192)


def test_what_is_no_bit_is_refused() -> None:
    for bits in ([2], [0, 1, 2]):
        with pytest.raises(BitFormatError, match="a bit is 0 or 1"):
            lz_complexity(bits)
