import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlm.compiled import compiled, ones_in, to_whole
from bitlm.model.kernels import add_product, bend, exponential, logarithm, normalise, product, total

Array = npt.NDArray[np.float32]


def rows_of(count: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)


@compiled
def each(values: Array, powers: Array, logarithms: Array, whole: Array) -> None:
    for j in range(len(values)):
        powers[j] = exponential(values[j])
        logarithms[j] = logarithm(abs(values[j]) + np.float32(1e-30))
        whole[j] = to_whole(values[j])


@compiled
def ones(word: int) -> int:
    return int(ones_in(np.uint64(word)))


def test_exponential_and_logarithm_are_right_to_the_last_places_and_rounding_is_to_even() -> None:
    values = np.concatenate([np.linspace(-86, 88, 20_001), [0.5, 1.5, 2.5, -0.5, 1e-20]]).astype(np.float32)
    powers, logarithms, whole = (np.empty_like(values) for _ in range(3))
    each(values, powers, logarithms, whole)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(powers, np.exp(exact), rtol=2.5e-7)
    np.testing.assert_allclose(logarithms, np.log(np.abs(exact) + np.float32(1e-30)), rtol=2.5e-7, atol=1e-7)
    assert (whole == np.round(values)).all()


def test_far_below_zero_the_exponential_is_next_to_nothing() -> None:
    values = np.array([-1e4, -np.inf], dtype=np.float32)
    powers = np.empty_like(values)
    each(values, powers, np.empty_like(values), np.empty_like(values))
    assert (powers < 1e-37).all()


def test_gelu_is_torchs() -> None:
    values = np.linspace(-12, 12, 4001, dtype=np.float32)
    expected = torch.nn.functional.gelu(torch.from_numpy(values).double()).numpy()
    bend(values)
    np.testing.assert_allclose(values, expected, atol=5e-7, rtol=5e-7)


@settings(max_examples=40)
@given(count=st.integers(1, 9), inputs=st.integers(1, 19), outputs=st.integers(1, 21))
def test_a_product_is_the_same_bits_for_a_row_alone_and_among_others(
    count: int, inputs: int, outputs: int
) -> None:
    rows, weights = rows_of(count, inputs), rows_of(inputs, outputs, seed=1)
    together = np.empty((count, outputs), dtype=np.float32)
    product(rows, weights, together)
    np.testing.assert_allclose(together, rows.astype(np.float64) @ weights, rtol=1e-4, atol=1e-5)
    for row, found in zip(rows, together, strict=True):
        alone = np.zeros(outputs, dtype=np.float32)
        add_product(row, weights, alone)
        assert (alone == found).all()


@pytest.mark.parametrize("width", [1, 7, 8, 30, 128])
def test_a_layer_norm_is_torchs(width: int) -> None:
    (row,), (gain,) = rows_of(1, width), rows_of(1, width, seed=1)
    out = np.empty_like(row)
    normalise(row, gain, out)
    wide = torch.from_numpy(row.astype(np.float64)), (width,), torch.from_numpy(gain.astype(np.float64))
    np.testing.assert_allclose(out, torch.nn.functional.layer_norm(*wide).numpy(), rtol=1e-4, atol=1e-5)
    assert total(row) == pytest.approx(row.astype(np.float64).sum(), abs=1e-5)


def test_the_ones_of_a_word_are_counted() -> None:
    assert [ones(word) for word in (0, 1, 0xFF00FF, 2**63 - 1)] == [0, 1, 16, 63]
