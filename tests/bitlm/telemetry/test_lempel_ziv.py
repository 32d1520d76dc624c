import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.errors import BitFormatError
from bitlm.telemetry import expected_complexity, lz_complexity, lz_phrases

Count = Callable[..., Any]

bit_rows = st.lists(st.integers(0, 1), max_size=200)
periodic_rows = st.builds(
    lambda period, count, tail: (period * count)[: 200 - len(tail)] + tail,
    st.lists(st.integers(0, 1), min_size=1, max_size=12),
    st.integers(1, 40),
    st.lists(st.integers(0, 1), max_size=5),
)


@pytest.fixture(scope="module")
def lziv_complexity() -> Count:
    """antropy's own: to import it compiles it, for as long as a hundred tests take that do not need it."""
    from antropy import lziv_complexity  # type: ignore[import-untyped] # noqa: PLC0415 - it ships no types

    count: Count = lziv_complexity
    return count


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


@given(st.one_of(bit_rows, periodic_rows).filter(bool))
def test_phrases_and_complexity_equal_antropys(lziv_complexity: Count, bits: list[int]) -> None:
    row = np.array(bits)
    assert lz_phrases(bits) == lziv_complexity(row)
    if len(bits) > 1:  # of a single bit antropy divides 0 by 0
        assert lz_complexity(bits) == pytest.approx(lziv_complexity(row, normalize=True))


@pytest.mark.parametrize("length", [16, 128, 1024])
def test_phrases_of_text_and_of_noise_equal_antropys(
    lziv_complexity: Count, length: int, corpus: Corpus
) -> None:
    random = np.random.default_rng(0)
    for start in range(0, 10 * length, length):
        for data in (corpus.data[start : start + length], random.bytes(length)):
            row = bytes_to_bits(data).numpy()
            assert lz_phrases(row) == lziv_complexity(row.astype(np.int64))


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


def broken_by_definition(bits: list[int], probabilities: list[float]) -> float:
    """Add up, bit by bit, the probability of the values with which the phrase so far is new."""
    text, start, expected = "".join(map(str, bits)), 0, 0.0
    for place in range(len(text)):
        phrase, before = text[start:place], text[:place]
        for value, probability in (("1", probabilities[place]), ("0", 1 - probabilities[place])):
            expected += probability * (phrase + value not in before)
        if phrase + text[place] not in before:
            start = place + 1
    return expected + (start < len(text))


@given(st.one_of(bit_rows, periodic_rows), st.data())
def test_expected_complexity_equals_the_definition(bits: list[int], data: st.DataObject) -> None:
    share = st.floats(0, 1, width=32)
    probabilities = data.draw(st.lists(share, min_size=len(bits), max_size=len(bits)))
    found = expected_complexity(
        torch.tensor([probabilities], dtype=torch.float64), torch.tensor([bits], dtype=torch.uint8)
    )
    unit = math.log2(len(bits)) / len(bits) if len(bits) > 1 else 0.0
    assert float(found) == pytest.approx(broken_by_definition(bits, probabilities) * unit, abs=1e-9)


@given(st.one_of(bit_rows, periodic_rows))
def test_expected_complexity_is_c_where_the_model_is_certain_of_the_bits(bits: list[int]) -> None:
    row = torch.tensor([bits], dtype=torch.uint8)
    assert float(expected_complexity(row.double(), row)) == pytest.approx(lz_complexity(bits))


def test_expected_complexity_is_the_mean_of_its_rows() -> None:
    rows = torch.tensor([[0, 1] * 32, [0] * 64], dtype=torch.uint8)
    p = torch.rand(rows.shape, generator=torch.Generator().manual_seed(0))
    apart = [expected_complexity(p[i : i + 1], rows[i : i + 1]) for i in range(2)]
    assert float(expected_complexity(p, rows)) == pytest.approx(float(sum(apart)) / 2)


def test_only_bits_at_which_one_value_alone_goes_on_have_a_gradient() -> None:
    # Phrases 0 · 01 · 10 · 0: a 1 would end the second, at once or after "0"; a 0 the third, after "1".
    row = torch.tensor([[0, 0, 1, 1, 0, 0]], dtype=torch.uint8)
    p = torch.full((1, 6), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(expected_complexity(p, row), p)
    unit = math.log2(6) / 6
    assert gradient[0].tolist() == pytest.approx([0, unit, unit, 0, -unit, 0])
