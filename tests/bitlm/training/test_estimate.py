import numpy as np
import pytest
import torch

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus, even_windows
from bitlm.errors import CorpusError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.training import HeldOutEstimate, held_out_bits_per_byte
from bitlm.training.estimate import WINDOWS, calibrated
from bitlm.training.evaluation import payload_nats

WINDOW = 32


@pytest.fixture(scope="module")
def text() -> Corpus:
    return Corpus.embedded()


@pytest.fixture(scope="module")
def reference(text: Corpus) -> ReferenceModel:
    return ReferenceModel.fit(text.train)


def model_of(reference: ReferenceModel, **changes: object) -> BitTransformer:
    shape = {"d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 8 * WINDOW}
    model = BitTransformer(ModelConfig(**shape | changes), seed=5)  # type: ignore[arg-type]
    model.reference = reference
    return model


@pytest.mark.parametrize("window_bytes", [16, 15])
def test_the_bits_of_a_byte_cost_what_they_cost_worked_out_by_hand(
    reference: ReferenceModel, window_bytes: int
) -> None:
    model = model_of(reference, max_seq_len=9 * window_bytes, parity=True)
    data = b"one window here."[:window_bytes]
    bits = bytes_to_bits(data, parity=True)[None]
    with torch.no_grad():
        output = model(bits)
    signs = 2.0 * bits.double() - 1.0
    costs = -torch.nn.functional.logsigmoid(signs * output.logits.double())[0, output.is_payload] / np.log(2)
    by_bit = costs.reshape(window_bytes, 8)[window_bytes // 2 :].mean(0)
    estimate = HeldOutEstimate(data, reference, window_bytes)
    assert estimate.bits_per_bit(model) == pytest.approx(by_bit.tolist(), rel=1e-9)
    assert estimate.bits_per_byte(model) == pytest.approx(by_bit.sum().item(), rel=1e-9)


def test_what_goes_with_the_references_cost_is_told_exactly_and_so_is_a_constant(
    text: Corpus, reference: ReferenceModel
) -> None:
    data = text.held_out[:3200]
    estimate = HeldOutEstimate(data, reference, WINDOW, windows=7)
    starts = range(0, len(data) - WINDOW + 1, WINDOW // 2)
    every = [cost_of_second_half(data[start : start + WINDOW], reference) for start in starts]
    chosen = [cost_of_second_half(bytes(window.tolist()), reference) for window in estimate._text]
    told = estimate._weights.numpy() @ (2.0 + 0.7 * np.array(chosen))
    assert told == pytest.approx(2.0 + 0.7 * np.mean(every), rel=1e-9)


def test_weights_move_as_little_as_they_must_to_meet_the_mean() -> None:
    even = np.full(4, 1.0)
    assert calibrated(even, np.array([1.0, 2.0, 3.0, 4.0]), 2.5).tolist() == pytest.approx([0.25] * 4)
    moved = calibrated(even, np.array([1.0, 2.0, 3.0, 4.0]), 3.0)
    assert moved.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert calibrated(even, np.full(4, 2.0), 3.0).tolist() == pytest.approx([0.25] * 4)


def cost_of_second_half(window: bytes, reference: ReferenceModel) -> float:
    half = WINDOW // 2
    return reference.bits_per_byte(window[half:], history=window[:half])


def test_the_estimate_is_nearer_to_the_whole_than_the_mean_of_as_many_even_windows(
    text: Corpus, reference: ReferenceModel
) -> None:
    model = model_of(reference, mixing="reference")
    errors = []
    for first in range(0, 45_000, 5_000):
        data = text.held_out[first : first + 5_000]
        plain = payload_nats(model, even_windows(data, WINDOW, WINDOWS)).reshape(WINDOWS, WINDOW, 8)
        whole = held_out_bits_per_byte(model, data)
        told = HeldOutEstimate(data, reference, WINDOW).bits_per_byte(model)
        even = plain[:, WINDOW // 2 :].sum(-1).mean().item() / np.log(2)
        errors.append((told - whole, even - whole))
    told_error, even_error = np.sqrt(np.mean(np.square(errors), axis=0))
    assert told_error < 0.5 * even_error


def test_a_window_drawn_again_counts_again(text: Corpus, reference: ReferenceModel) -> None:
    model = model_of(reference)
    data = text.held_out[: 2 * WINDOW]
    few, many = (HeldOutEstimate(data, reference, WINDOW, windows=count) for count in (300, 3000))
    assert len(few._text) == len(many._text) == 3
    assert few.bits_per_byte(model) == pytest.approx(many.bits_per_byte(model), rel=0.01)


def test_the_first_bit_of_ascii_is_the_cheapest_to_a_model_that_has_counted_it(
    text: Corpus, reference: ReferenceModel
) -> None:
    model = model_of(reference, mixing="reference")
    first, *others = HeldOutEstimate(text.held_out, reference, WINDOW).bits_per_bit(model)
    assert first < min(others)


def test_an_untrained_model_scores_about_a_coin(text: Corpus, reference: ReferenceModel) -> None:
    estimate = HeldOutEstimate(text.held_out, reference, WINDOW)
    assert estimate.bits_per_byte(model_of(reference)) == pytest.approx(8.0, abs=0.05)


def test_a_text_shorter_than_a_window_is_an_error(reference: ReferenceModel) -> None:
    with pytest.raises(CorpusError, match="one window needs 32"):
        HeldOutEstimate(b"short", reference, WINDOW)
