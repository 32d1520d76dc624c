import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bitlm import RunLengths, batch_rle_decode, batch_rle_encode
from bitlm.errors import BitFormatError
from bitlm.run_length import run_length_bytes, run_length_rows

ROWS = np.array([[0, 0, 0, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=np.uint8)


def rows_of_bits() -> st.SearchStrategy[np.ndarray]:
    shapes = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40)
    return arrays(np.uint8, shapes, elements=st.integers(0, 1))


@given(bits=rows_of_bits())
def test_decoding_undoes_encoding(bits: np.ndarray) -> None:
    given_back = batch_rle_decode(batch_rle_encode(bits))
    assert given_back.dtype == np.uint8
    assert given_back.shape == bits.shape
    assert np.array_equal(given_back, bits)


@given(bits=rows_of_bits())
def test_the_runs_are_those_that_itertools_finds_row_by_row(bits: np.ndarray) -> None:
    runs = batch_rle_encode(bits)
    for row, begin, end in zip(bits, runs.begins[:-1], runs.begins[1:], strict=True):
        groups = [len(list(group)) for _, group in itertools.groupby(row.tolist())]
        assert runs.lengths[begin:end].tolist() == groups


def test_three_rows_by_hand() -> None:
    runs = batch_rle_encode(ROWS)
    assert runs.row_bits == 5
    assert runs.first_bits.tolist() == [0, 1, 1]
    assert runs.lengths.tolist() == [3, 2, 1, 1, 1, 1, 1, 5]
    assert runs.begins.tolist() == [0, 2, 7, 8]


def test_rows_of_a_slice_are_encoded_as_a_copy_of_them() -> None:
    bits = np.tile(ROWS, (2, 3))
    sliced, copied = batch_rle_encode(bits[::2, ::3]), batch_rle_encode(bits[::2, ::3].copy())
    assert np.array_equal(sliced.lengths, copied.lengths)
    assert np.array_equal(sliced.first_bits, copied.first_bits)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (np.array([[0, 2]], dtype=np.uint8), "a bit is 2"),
        (np.array([0, 1], dtype=np.uint8), r"shape \(2,\)"),
        (np.array([[0.0, 1.0]]), "float64"),
    ],
)
def test_what_is_no_batch_of_bits_is_refused(bits: np.ndarray, said: str) -> None:
    with pytest.raises(BitFormatError, match=said):
        batch_rle_encode(bits)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lengths": np.array([3, 2, 1, 1, 1, 1, 2, 5])}, "row 1 are not 5 bits"),
        ({"lengths": np.array([5, 0, 1, 1, 1, 1, 1, 5])}, "one is empty"),
        ({"begins": np.array([0, 2, 7])}, "not cut into rows"),
        ({"begins": np.array([0, 7, 2, 8])}, "not cut into rows"),
        ({"begins": np.array([1, 2, 7, 8])}, "not cut into rows"),
        ({"first_bits": np.array([0, 1, 7], dtype=np.uint8)}, "a first bit is 7"),
        ({"row_bits": 6}, "row 0 are not 6 bits"),
    ],
)
def test_runs_that_were_changed_are_refused(change: dict[str, object], said: str) -> None:
    runs: RunLengths = replace(batch_rle_encode(ROWS), **change)  # type: ignore[arg-type]
    with pytest.raises(BitFormatError, match=said):
        batch_rle_decode(runs)


@given(text=st.binary(max_size=80) | st.integers(1, 200).map(lambda size: b"a" + bytes(size) + b"\xff"))
def test_run_lengths_in_bytes_alternate_between_zeros_and_ones_and_tell_every_bit(text: bytes) -> None:
    bits = np.unpackbits(np.frombuffer(text, dtype=np.uint8))
    told = run_length_bytes(np.frombuffer(text, dtype=np.uint8))
    assert np.array_equal(np.repeat(np.arange(len(told)) % 2, told), bits)


def test_a_row_is_filled_with_as_many_run_lengths_as_it_has_room_for() -> None:
    prose, blank = np.frombuffer(b"The quick brown fox", dtype=np.uint8), np.zeros(19, dtype=np.uint8)
    told = run_length_rows(np.stack([prose, blank]))
    assert told[0].tolist() == run_length_bytes(prose)[:19].tolist()
    assert told[0, :4].tolist() == [1, 1, 1, 1]  # T is 01010100
    assert told[1].tolist() == [255, 0] * 9 + [137]
