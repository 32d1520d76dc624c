import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.data import even_windows, windows
from bitlm.errors import CorpusError
from bitlm.randomness import generator


@given(data=st.binary(min_size=1, max_size=40), cut=st.data(), seed=st.integers(0, 5))
def test_every_window_is_a_piece_of_the_text(data: bytes, cut: st.DataObject, seed: int) -> None:
    length = cut.draw(st.integers(1, len(data)))
    for batch in (windows(data, length, 5, generator(seed, 0, "batch")), even_windows(data, length, 5)):
        assert batch.dtype == torch.uint8
        assert batch.shape == (5, length)
        assert all(bytes(row.tolist()) in data for row in batch)


def test_the_same_generator_draws_the_same_windows_and_another_others() -> None:
    data = bytes(range(256))
    first, again, other = (windows(data, 8, 4, generator(seed, 3, "batch")) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_start_is_drawn() -> None:
    starts = windows(bytes(range(10)), 3, 400, generator(0, 0, "batch"))[:, 0]
    assert set(starts.tolist()) == set(range(8))


def test_even_windows_reach_from_the_first_byte_to_the_last() -> None:
    assert even_windows(bytes(range(10)), 2, 3).tolist() == [[0, 1], [4, 5], [8, 9]]
    assert even_windows(b"abc", 2, 1).tolist() == [[97, 98]]


@pytest.mark.parametrize(
    "cut", [lambda: windows(b"abc", 4, 1, generator(0, 0, "batch")), lambda: even_windows(b"abc", 4, 1)]
)
def test_a_text_shorter_than_a_window_is_refused(cut) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CorpusError, match="the text has 3 bytes and one window needs 4"):
        cut()
