from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from bitlm.errors import CheckpointError, ConfigError, CorpusError
from bitlm.reference import ReferenceModel

few_letters = st.text("ab\xff", max_size=30).map(lambda text: text.encode("latin-1"))
some_letters = few_letters.filter(bool)


def counted_slowly(data: bytes, order: int) -> Counter[tuple[bytes, str, str]]:
    """Count (context, earlier bits of the byte, bit) in a dictionary; the text is a ring."""
    counts: Counter[tuple[bytes, str, str]] = Counter()
    before = data * (order // len(data) + 1)
    for k in range(order + 1):
        for place, value in enumerate(data):
            bits = f"{value:08b}"
            for depth in range(8):
                context = (before + data)[len(before) + place - k : len(before) + place]
                counts[context, bits[:depth], bits[depth]] += 1
    return counts


def predicted_slowly(training: bytes, data: bytes, history: bytes, order: int, alpha: float) -> list[float]:
    """Follow the formula node by node."""
    counts = counted_slowly(training, order)
    text, predictions = history + data, []
    for place in range(len(history), len(text)):
        bits = f"{text[place]:08b}"
        for depth in range(8):
            p = 0.5
            for k in range(min(order, place) + 1):
                zeros, ones = (counts[text[place - k : place], bits[:depth], bit] for bit in "01")
                p = (ones + alpha * p) / (zeros + ones + alpha)
            predictions.append(p)
    return predictions


@given(
    training=some_letters,
    data=few_letters,
    history=few_letters,
    order=st.integers(0, 8),
    alpha=st.floats(0.01, 10),
)
def test_predictions_equal_a_slow_dictionary_count(
    training: bytes, data: bytes, history: bytes, order: int, alpha: float
) -> None:
    model = ReferenceModel.fit(training, order=order, alpha=alpha)
    slow = predicted_slowly(training, data, history, order, alpha)
    # The slow count rounds to certainty where the model stops at 2**-32.
    np.testing.assert_allclose(model.bit_probabilities(data, history=history), slow, rtol=1e-9, atol=2.0**-31)


def test_order_0_equals_a_hand_worked_value() -> None:
    # After "aab" ("a" 0110 0001, "b" 0110 0010) with alpha 2, predicting "a":
    # 0 was 3 of 3 times 0: (0 + 1)/(3 + 2) = 1/5; the two ones (3 + 1)/5; and so on to the last two,
    # 1 in "b" alone: (1 + 1)/5, and below 0 twice 1: (2 + 1)/(2 + 2).
    model = ReferenceModel.fit(b"aab", order=0, alpha=2.0)
    np.testing.assert_allclose(
        model.bit_probabilities(b"a"), [1 / 5, 4 / 5, 4 / 5, 1 / 5, 1 / 5, 1 / 5, 2 / 5, 3 / 4], rtol=1e-15
    )


def test_a_context_hands_its_prior_to_the_next_longer_one() -> None:
    # After "c" came nothing: order 1 repeats order 0. After "a" came "a" and "b" once each.
    model = ReferenceModel.fit(b"aab", order=1, alpha=2.0)
    zero, after_c = (model.bit_probabilities(b"a", history=b"c", order=order) for order in (0, 1))
    np.testing.assert_allclose(zero, after_c, rtol=1e-15)
    assert model.bit_probabilities(b"a", history=b"a")[6] == pytest.approx((1 + 2 * 2 / 5) / (2 + 2))


@given(training=some_letters, data=few_letters)
def test_the_two_values_of_a_bit_have_probabilities_that_sum_to_1(training: bytes, data: bytes) -> None:
    # The probability of 0 is that of 1 in the mirrored world, where every bit is turned over.
    mirrored = [bytes(255 - value for value in text) for text in (training, data)]
    ones = ReferenceModel.fit(training).bit_probabilities(data)
    zeros = ReferenceModel.fit(mirrored[0]).bit_probabilities(mirrored[1])
    np.testing.assert_allclose(ones + zeros, 1, rtol=1e-12)


@pytest.mark.parametrize("data", [bytes(5000), b"\xff" * 5000, bytes(range(256)) * 20])
def test_no_bit_is_ever_certain(data: bytes) -> None:
    model = ReferenceModel.fit(data)
    for text in (data[:500], bytes(500), b"\xff" * 500):
        predictions = model.bit_probabilities(text)
        assert predictions.min() > 0
        assert predictions.max() < 1


@given(data=st.binary(min_size=1, max_size=60), cut=st.integers(0, 60))
def test_history_continues_a_text_without_a_seam(data: bytes, cut: int) -> None:
    model = ReferenceModel.fit(bytes(range(256)) + data)
    parts = [model.bit_probabilities(data[:cut]), model.bit_probabilities(data[cut:], history=data[:cut])]
    assert np.concatenate(parts).tolist() == model.bit_probabilities(data).tolist()


def test_a_text_longer_than_a_block_is_predicted_as_its_parts_are() -> None:
    text = (b"the quick brown fox jumps over the lazy dog; " * 1600)[: (1 << 16) + 500]
    model = ReferenceModel.fit(text[:3000])
    end = 1 << 16
    expected = model.bit_probabilities(text[end - 50 :], history=text[: end - 50])
    assert np.array_equal(model.bit_probabilities(text)[8 * (end - 50) :], expected)


def test_bits_per_byte_is_the_code_length_of_each_order() -> None:
    model = ReferenceModel.fit(b"abracadabra" * 20)
    data = b"cadabra, abba"
    ones = np.unpackbits(np.frombuffer(data, dtype=np.uint8)).astype(bool)
    for order, bits_per_byte in enumerate(model.bits_per_byte_of_orders(data, history=b"abra")):
        p = model.bit_probabilities(data, history=b"abra", order=order)
        assert bits_per_byte == pytest.approx(-np.log2(np.where(ones, p, 1 - p)).sum() / len(data), rel=1e-12)
        assert bits_per_byte == model.bits_per_byte(data, history=b"abra", order=order)


@pytest.mark.parametrize("order", [0, 5])
def test_a_loaded_model_predicts_the_same_to_the_last_bit(tmp_path: Path, order: int) -> None:
    model = ReferenceModel.fit(b"abracadabra" * 9, order=order, alpha=0.1)
    model.save(tmp_path / "reference.safetensors")
    loaded = ReferenceModel.load(tmp_path / "reference.safetensors")
    assert (loaded.order, loaded.alpha) == (order, 0.1)
    assert loaded.bit_probabilities(b"cadabra").tolist() == model.bit_probabilities(b"cadabra").tolist()


def test_a_models_file_is_the_same_at_each_call(tmp_path: Path) -> None:
    model, path = ReferenceModel.fit(b"abracadabra"), tmp_path / "reference.safetensors"
    files = set()
    for _ in range(16):
        model.save(path)
        files.add(path.read_bytes())
    assert len(files) == 1


def test_a_file_that_is_no_reference_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reference.safetensors"
    with pytest.raises(CheckpointError, match="cannot be read"):
        ReferenceModel.load(path)
    path.write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        ReferenceModel.load(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is no reference model"):
        ReferenceModel.load(path)


def test_settings_that_cannot_be_are_refused_with_the_range() -> None:
    with pytest.raises(CorpusError, match="no bytes to count"):
        ReferenceModel.fit(b"")
    with pytest.raises(ConfigError, match=r"order=9: must lie in 0…8"):
        ReferenceModel.fit(b"a", order=9)
    for alpha in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"alpha=.*above 0"):
            ReferenceModel.fit(b"a", alpha=alpha)
    with pytest.raises(ConfigError, match=r"order=3: must lie in 0…2"):
        ReferenceModel.fit(b"a", order=2).bit_probabilities(b"a", order=3)
    with pytest.raises(CorpusError, match="at least one byte"):
        ReferenceModel.fit(b"a").bits_per_byte(b"")


def test_no_bytes_have_no_predictions() -> None:
    assert ReferenceModel.fit(b"a").bit_probabilities(b"").shape == (0,)


@pytest.mark.parametrize("data", [b"plain", "a €".encode()[:-1]])
def test_it_knows_that_what_it_counted_is_utf_8_and_keeps_that(tmp_path: Path, data: bytes) -> None:
    reference = ReferenceModel.fit(data)
    reference.save(tmp_path / "reference")
    assert reference.is_utf8
    assert ReferenceModel.load(tmp_path / "reference").is_utf8


@pytest.mark.parametrize("data", [b"a\xffb", "é".encode("latin-1") + b" a"])
def test_it_knows_that_what_it_counted_is_not_utf_8(tmp_path: Path, data: bytes) -> None:
    reference = ReferenceModel.fit(data)
    reference.save(tmp_path / "reference")
    assert not reference.is_utf8
    assert not ReferenceModel.load(tmp_path / "reference").is_utf8


def test_a_character_cut_off_where_counting_begins_is_no_fault() -> None:
    assert ReferenceModel.fit("€€€".encode(), most_bytes=4).is_utf8
