import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.bits import bytes_to_bits
from bitlm.errors import BitFormatError, ConfigError
from bitlm.reference import ReferenceModel
from bitlm.telemetry import (
    Measures,
    byte_log_probabilities,
    expected_symbiosis,
    lz_complexity,
    measure,
    negentropy_score,
    symbiosis_kl,
    symbiosis_score,
)


@pytest.fixture(scope="module")
def reference() -> ReferenceModel:
    return ReferenceModel.fit(b"to be or not to be, that is the question. " * 20)


def test_symbiosis_equals_a_hand_worked_value() -> None:
    # Fitted on "aab" with alpha 2 and no context, the bits of "a" have these probabilities.
    emitted = [4 / 5, 4 / 5, 4 / 5, 4 / 5, 4 / 5, 4 / 5, 3 / 5, 3 / 4]
    score = symbiosis_score(bytes_to_bits(b"a"), ReferenceModel.fit(b"aab", order=0))
    assert score == pytest.approx(math.prod(emitted) ** (1 / 8))


@given(st.binary(min_size=1, max_size=40))
def test_symbiosis_is_the_reference_models_bits_per_byte_on_another_scale(data: bytes) -> None:
    reference = ReferenceModel.fit(b"abracadabra" * 9)
    score = symbiosis_score(bytes_to_bits(data), reference)
    assert 0 < score < 1
    assert -8 * math.log2(score) == pytest.approx(reference.bits_per_byte(data))


@given(st.binary(min_size=1, max_size=40))
def test_expected_symbiosis_is_s_where_the_model_is_certain_of_the_bits(data: bytes) -> None:
    reference, bits = ReferenceModel.fit(b"abracadabra" * 9), bytes_to_bits(data)
    q = torch.from_numpy(reference.window_probabilities(np.frombuffer(data, np.uint8)[None]))
    assert float(expected_symbiosis(bits[None].double(), q)) == pytest.approx(
        symbiosis_score(bits, reference)
    )


def test_expected_symbiosis_of_a_coin_is_the_geometric_mean_of_both_ways() -> None:
    q = torch.tensor([0.9, 0.25])
    ways = 0.9 * 0.1 * 0.25 * 0.75
    assert float(expected_symbiosis(torch.full((2,), 0.5), q)) == pytest.approx(ways ** (1 / 4))


def test_expected_symbiosis_is_finite_where_the_reference_is_almost_certain() -> None:
    q = torch.tensor([2.0**-32, 1 - 2.0**-32], dtype=torch.float64)
    assert float(expected_symbiosis(torch.tensor([0.0, 1.0]), q)) == pytest.approx(1.0)
    assert float(expected_symbiosis(torch.tensor([1.0, 0.0]), q)) == pytest.approx(2.0**-32)


def test_history_gives_the_first_bytes_their_context(reference: ReferenceModel) -> None:
    bits = bytes_to_bits(b"question")
    assert symbiosis_score(bits, reference, history=b"that is the ") > symbiosis_score(bits, reference)


@pytest.mark.parametrize("history", [b"", b"that is the "])
def test_s_is_two_to_an_eighth_of_what_bytes_have_on_average(
    reference: ReferenceModel, history: bytes
) -> None:
    data = b"question or not"
    logarithms = byte_log_probabilities(data, reference, history=history)
    assert logarithms.shape == (len(data),)
    score = symbiosis_score(bytes_to_bits(data), reference, history=history)
    assert 2 ** (logarithms.mean() / 8) == pytest.approx(score)


def test_without_a_history_there_is_none() -> None:
    reference = ReferenceModel.fit(b"XXXXabc" * 9)
    bits, coin = bytes_to_bits(b"a"), torch.full((8,), 0.5)
    assert symbiosis_score(bits, reference) == symbiosis_score(bits, reference, history=b"")
    assert symbiosis_score(bits, reference) < symbiosis_score(bits, reference, history=b"XXXX")
    assert byte_log_probabilities(b"a", reference) < byte_log_probabilities(b"a", reference, history=b"XXXX")
    assert symbiosis_kl(coin, bits, reference) < symbiosis_kl(coin, bits, reference, history=b"XXXX")
    assert symbiosis_score(bits, reference) == measure(bits, coin, reference).S


def test_kl_is_nothing_when_the_model_is_the_reference(reference: ReferenceModel) -> None:
    data = b"to be, that is"
    probabilities = torch.from_numpy(reference.bit_probabilities(data))
    assert symbiosis_kl(probabilities, bytes_to_bits(data), reference) == pytest.approx(0, abs=1e-12)


def test_kl_of_a_coin_and_of_certainty_equal_their_formulas(reference: ReferenceModel) -> None:
    bits, q = bytes_to_bits(b"or not"), reference.bit_probabilities(b"or not")
    coin = (-1 - np.log2(q) / 2 - np.log2(1 - q) / 2).mean()
    assert symbiosis_kl(torch.full((48,), 0.5), bits, reference) == pytest.approx(coin)
    certain = -math.log2(symbiosis_score(bits, reference))
    assert symbiosis_kl(bits.float(), bits, reference) == pytest.approx(certain)


def test_measure_is_the_three_scores(reference: ReferenceModel) -> None:
    bits, probabilities = bytes_to_bits(b"be not"), torch.full((48,), 0.9)
    assert measure(bits, probabilities, reference, history=b"to ") == Measures(
        K=negentropy_score(probabilities).item(),
        C=lz_complexity(bits),
        S=symbiosis_score(bits, reference, history=b"to "),
    )


def test_what_cannot_be_scored_is_refused(reference: ReferenceModel) -> None:
    with pytest.raises(BitFormatError, match="give at least one byte"):
        symbiosis_score([], reference)
    with pytest.raises(BitFormatError, match="not whole frames of 8"):
        symbiosis_score([0, 1], reference)
    with pytest.raises(ConfigError, match="one probability to each of the 8 bits"):
        symbiosis_kl(torch.full((9,), 0.5), bytes_to_bits(b"a"), reference)
    for wrong in (1.5, -0.5, math.nan):
        probabilities = torch.tensor([0.0, 1.0, *[0.5] * 5, wrong])
        with pytest.raises(ConfigError, match=rf"probabilities={wrong}: must lie in \[0, 1\]"):
            symbiosis_kl(probabilities, bytes_to_bits(b"a"), reference)
