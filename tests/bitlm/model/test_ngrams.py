"""Vectors of the last bytes taken together, at the input."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.ngram_kernels import find_slots
from bitlm.session import preset

SLOTS = 64


def a_model(**settings: Any) -> BitTransformer:
    shape: dict[str, Any] = {
        "d_model": 16,
        "nhead": 2,
        "num_layers": 1,
        "dim_feedforward": 32,
        "max_seq_len": 128,
    }
    return BitTransformer(
        ModelConfig(**(shape | {"ngram_order": 3, "ngram_slots": SLOTS} | settings)), seed=1
    )


def embedded(model: BitTransformer, text: bytes) -> Tensor:
    """Return each position's input, without what says where it is."""
    values = torch.tensor([list(text)])
    with torch.no_grad():
        inputs: Tensor = model.embedding(values)[0]
        return inputs - model.embedding.place(0, len(text))


@pytest.mark.parametrize("slots", [2, 64, 4096, 2**22])
def test_a_slot_is_the_highest_bits_of_an_odd_multiple_of_the_last_bytes(slots: int) -> None:
    text = b"in the beginning"
    found = np.empty((7, 1, len(text)), dtype=np.int64)
    find_slots(np.array([list(text)], dtype=np.int64), 0, slots, found)
    for order in range(2, 9):
        for place in range(len(text)):
            gram = bytes(order) + text[: place + 1]
            key = int.from_bytes(gram[-order:], "big")
            expected = (order - 2) * slots + (key * 0x9E3779B97F4A7C15) % 2**64 * slots // 2**64
            assert found[order - 2, 0, place] == expected


def test_slots_from_some_byte_on_are_those_of_the_whole_text() -> None:
    values = np.array([list(b"and God said"), list(b"let there be")], dtype=np.int64)
    whole, rest = np.empty((2, 2, 12), dtype=np.int64), np.empty((2, 2, 7), dtype=np.int64)
    find_slots(values, 0, SLOTS, whole)
    find_slots(values, 5, SLOTS, rest)
    assert np.array_equal(rest, whole[:, :, 5:])


def test_the_same_three_bytes_are_the_same_input_and_other_two_before_are_not() -> None:
    model = a_model(ngram_slots=4096)
    inputs = embedded(model, b"the other thing")
    (first,) = {
        place for place in range(3, 12) if b"the other thing"[place - 3 : place] == b"the" and place > 3
    }
    torch.testing.assert_close(inputs[3], inputs[first], atol=1e-7, rtol=0)
    both = embedded(model, b"xthe"), embedded(model, b"yahe")
    assert not torch.allclose(both[0][3], both[1][3], atol=1e-4)


def test_order_one_is_the_byte_alone_and_has_no_vectors() -> None:
    model = a_model(ngram_order=1)
    assert model.embedding.ngrams is None
    inputs = embedded(model, b"abcb.")
    torch.testing.assert_close(inputs[2], inputs[4], atol=1e-7, rtol=0)


def test_every_order_learns() -> None:
    model = a_model(ngram_order=4)
    text = torch.tensor([list(b"in the begin")])
    model.embedding(text).square().sum().backward()
    assert model.embedding.ngrams is not None
    gradient = model.embedding.ngrams.vectors.weight.grad
    assert gradient is not None
    assert gradient.view(3, SLOTS, -1).abs().sum((1, 2)).gt(0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ngram_order": 9}, "ngram_order=9: use a whole number from 1 to 8"),
        ({"ngram_slots": 3000}, "ngram_slots=3000: use a power of two"),
        ({"ngram_order": 2, "patch_bits": 1}, "ngram_order=2: use 1: with patch_bits=1"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**settings)


def test_a_size_of_one_bit_a_position_has_no_vectors_of_bytes() -> None:
    model, _ = preset("small", patch_bits=1)
    assert model.ngram_order == 1
    with pytest.raises(ConfigError, match="ngram_order"):
        preset("small", patch_bits=1, ngram_order=3)
