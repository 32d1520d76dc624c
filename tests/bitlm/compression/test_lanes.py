import random
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.compression import lanes
from bitlm.compression.lanes import decode_block, encode_block, lane_count, lane_lengths, untold
from bitlm.data import Corpus
from bitlm.model import BitTransformer
from bitlm.training import held_out_bits_per_byte
from tests.bitlm.compression.conftest import MakeModel


@pytest.fixture
def short_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small blocks into lanes as well: tests have no time for the long ones."""
    monkeypatch.setattr(lanes, "LEAST_LANE_BYTES", 150)


@pytest.fixture
def _one_thread_after() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def told(model: BitTransformer, data: bytes) -> tuple[list[bytes], int]:
    """A block's lanes, checked to give it back; and of how many bytes their progress told."""
    done: list[int] = []
    coded = encode_block(model, data, done.append)
    assert decode_block(model, coded, len(data), lambda more: done.append(-more)) == data
    return coded, sum(more for more in done if more > 0)


@given(length=st.integers(1, 1 << 20))
def test_lanes_are_of_equal_length_but_one_and_cover_the_block(length: int) -> None:
    count = lane_count(length)
    lengths = lane_lengths(length, count)
    assert lengths.sum() == length
    assert 0 <= lengths[0] - lengths[-1] <= 1
    assert count <= 32
    assert count == 1 or lengths[-1] >= 8192


def test_on_real_text_lanes_are_as_long_as_the_evaluation_claims(
    model: BitTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LEAST_LANE_BYTES", 2500)
    text = Corpus.embedded().data[100_000:105_000]
    coded = encode_block(model, text, untold)
    assert len(coded) == 2
    claim = held_out_bits_per_byte(model, text)
    assert claim < 4, "the model should know some English"
    assert 8 * sum(map(len, coded)) / len(text) == pytest.approx(claim, rel=0.01)


@pytest.mark.parametrize(("patch_bits", "parity"), list(product([1, 8], [False, True])))
@pytest.mark.parametrize("mixing", ["none", "reference"])
@pytest.mark.usefixtures("short_lanes")
def test_every_kind_of_model_gives_back_what_it_coded_past_its_window(
    *, patch_bits: int, parity: bool, mixing: str, make_model: MakeModel, corpus: Corpus
) -> None:
    model = make_model(patch_bits=patch_bits, parity=parity, mixing=mixing, max_seq_len=8 * 40)
    coded, _ = told(model, corpus.data[:300])
    assert len(coded) == 2


@pytest.mark.usefixtures("short_lanes", "_one_thread_after")
def test_the_lanes_are_the_same_with_any_number_of_threads(model: BitTransformer, corpus: Corpus) -> None:
    data = corpus.data[:450]
    coded = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        coded.append(told(model, data)[0])
    assert len(coded[0]) == 3
    assert coded[0] == coded[1] == coded[2]


@pytest.mark.usefixtures("short_lanes")
def test_a_lane_that_would_become_longer_is_kept_as_it_is_beside_others(
    model: BitTransformer, corpus: Corpus
) -> None:
    noise = random.Random(0).randbytes(320)  # noqa: S311 - noise that is the same everywhere
    coded, done = told(model, corpus.data[:480] + noise)
    lengths = lane_lengths(800, 5)
    assert done == 800
    assert np.array_equal([len(lane) for lane in coded] < lengths, [True, True, True, False, False])
    assert b"".join(coded[3:]) == noise


def test_noise_is_given_up_long_before_its_end(model: BitTransformer) -> None:
    noise = random.Random(0).randbytes(200_000)  # noqa: S311 - noise that is the same everywhere
    done: list[int] = []
    assert b"".join(encode_block(model, noise, done.append)) == noise
    assert sum(done) == len(noise)
    assert len(done) < 2000, "of the lanes' 8,333 bytes"
