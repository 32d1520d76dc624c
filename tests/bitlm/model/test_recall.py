"""Vectors of what followed when the last bytes last stood in the window."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.config import RECALL_MOST_BYTES
from bitlm.model.recall import LEAST_BYTES, NOTHING, RecallEmbedding
from bitlm.session import preset

SHAPE: dict[str, Any] = {
    "d_model": 16,
    "nhead": 2,
    "num_layers": 1,
    "dim_feedforward": 32,
    "max_seq_len": 512,
}

repetitive = st.lists(st.sampled_from([b"a", b"b", b"ab", b"abc " * 6]), max_size=12).map(b"".join)


def found(text: bytes, begin: int = 0) -> list[tuple[int, int]]:
    """Return the byte recalled at each place, and how many bytes that rests on."""
    rows = RecallEmbedding(2).find(np.array([list(text)], dtype=np.int64), begin, len(text))
    return [(int(recalled), int(length) - NOTHING) for recalled, length in rows[:, 0].T]


def found_by_definition(text: bytes) -> list[tuple[int, int]]:
    """Try, from the longest on, every ending of what has been read, and look for its last place before."""
    rows = []
    for end in range(1, len(text) + 1):
        row = (NOTHING, 0)
        for length in range(min(RECALL_MOST_BYTES, end - 1), LEAST_BYTES - 1, -1):
            place = text.rfind(text[end - length : end], 0, end - 1)
            if place >= 0:
                row = (text[place + length], length)
                break
        rows.append(row)
    return rows


@given(st.one_of(repetitive, st.binary(max_size=60)))
def test_a_byte_recalls_what_followed_the_longest_and_then_the_last_of_its_endings(text: bytes) -> None:
    assert found(text) == found_by_definition(text)


def test_an_unknown_name_is_recalled_letter_by_letter() -> None:
    text = b"\nXyzzy1:1 One.\nXyzzy1:2 Two.\nX"
    assert found(text)[-2:] == [(ord("X"), 2), (ord("y"), 3)]


def test_from_some_byte_on_it_is_that_of_the_whole_window() -> None:
    text = b"the cat and the cat and the dog"
    assert found(text, begin=9) == found(text)[9:]


def test_rows_of_several_windows_do_not_see_each_other() -> None:
    values = np.array([list(b"abcabc"), list(b"xyzabc")], dtype=np.int64)
    rows = RecallEmbedding(2).find(values, 0, 6)
    assert rows[0].tolist() == [[256, 256, 256, 256, 99, 97], [256] * 6]


def test_what_is_recalled_is_part_of_the_input_and_learns() -> None:
    model = BitTransformer(ModelConfig(**SHAPE, recall=True), seed=1)
    text = torch.tensor([list(b"abcxabcy"), list(b"dbcxabcy")])
    inputs = model.embedding(text)
    torch.testing.assert_close(inputs[0, 5], inputs[1, 5])
    assert not torch.allclose(inputs[0, 6], inputs[1, 6], atol=1e-4), "b before it, after a or after d"
    inputs.square().sum().backward()
    recall = model.embedding.recall
    assert recall is not None
    assert recall.vectors.weight.grad is not None
    assert recall.vectors.weight.grad[[ord("c"), ord("x"), NOTHING, NOTHING + 2, NOTHING + 3]].any(1).all()


def test_it_is_off_unless_asked_for_and_the_sizes_ask() -> None:
    assert BitTransformer(ModelConfig(**SHAPE)).embedding.recall is None
    assert preset("tiny")[0].recall
    assert not preset("tiny", patch_bits=1)[0].recall
    with pytest.raises(ConfigError, match="recall=True: use false: with patch_bits=1"):
        preset("tiny", patch_bits=1, recall=True)
