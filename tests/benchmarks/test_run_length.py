import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.run_length import gamma_bits, leb128_bytes, loop_decode, loop_encode


def test_a_byte_holds_a_run_of_up_to_127_bits() -> None:
    assert [leb128_bytes(np.array([length])) for length in (1, 127, 128, 16_383, 16_384)] == [1, 1, 2, 2, 3]


def test_gamma_takes_two_bits_for_each_doubling_and_one() -> None:
    assert [gamma_bits(np.array([length])) for length in (1, 2, 3, 4, 255, 256)] == [1, 3, 3, 5, 15, 17]


@given(rows=st.lists(st.lists(st.integers(0, 1), min_size=1), max_size=5))
def test_the_loop_it_is_compared_with_is_right(rows: list[list[int]]) -> None:
    assert loop_decode(loop_encode(rows)) == rows
