import numpy as np
import pytest
import torch

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.errors import ConfigError, CorpusError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.training import evaluation, held_out_bits_per_byte
from bitlm.training.evaluation import overlapping_windows


@pytest.mark.parametrize("length", [1, 7, 8, 9, 12, 13, 31, 32, 100])
def test_every_byte_is_counted_exactly_once_with_half_a_window_before_it(length: int) -> None:
    counted: list[int] = []
    for starts, row_bytes, count in overlapping_windows(length, window=8):
        for start in starts.tolist():
            counted.extend(range(start + row_bytes - count, start + row_bytes))
            assert start == 0 or row_bytes - count >= 4
    assert counted == list(range(length))


def test_an_untrained_model_scores_about_a_coin(model_config: ModelConfig, corpus: Corpus) -> None:
    model = BitTransformer(model_config)
    assert held_out_bits_per_byte(model, corpus.held_out[:300]) == pytest.approx(8.0, abs=0.3)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("patch_bits", [1, 8])
def test_the_figure_is_the_models_own_code_length(patch_bits: int, *, parity: bool) -> None:
    frame = 9 if parity else 8
    config = ModelConfig(
        d_model=16,
        nhead=2,
        num_layers=2,
        dim_feedforward=32,
        max_seq_len=16 * frame,
        patch_bits=patch_bits,
        parity=parity,
    )
    model = BitTransformer(config, seed=5)
    data = b"one window here."
    bits = bytes_to_bits(data, parity=parity)[None]
    with torch.no_grad():
        output = model(bits)
    signs = 2.0 * bits.double() - 1.0
    costs = -torch.nn.functional.logsigmoid(signs * output.logits.double())[:, output.is_payload]
    by_hand = costs.sum().item() / np.log(2) / len(data)
    assert held_out_bits_per_byte(model, data) == pytest.approx(by_hand, rel=1e-9)


@pytest.mark.parametrize("windows", [{}, {"chunk_size": 64, "overlap": 32}])
def test_windows_measured_few_at_a_time_cost_what_they_cost_together(
    monkeypatch: pytest.MonkeyPatch, corpus: Corpus, windows: dict[str, int]
) -> None:
    shape = {"d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 256}
    model = BitTransformer(ModelConfig(**shape, **windows, patch_bits=1), seed=1)  # type: ignore[arg-type]
    data = corpus.held_out[:150]
    together = held_out_bits_per_byte(model, data)
    for rows in (1, 3):
        monkeypatch.setattr(evaluation, "MOST_POSITIONS", rows * 256)
        assert held_out_bits_per_byte(model, data) == pytest.approx(together, rel=1e-6)


def test_nothing_to_measure_is_an_error(model_config: ModelConfig) -> None:
    with pytest.raises(CorpusError, match="at least one byte"):
        held_out_bits_per_byte(BitTransformer(model_config), b"")


def mixing_model(corpus: Corpus) -> BitTransformer:
    shape = {"d_model": 16, "nhead": 2, "num_layers": 1, "dim_feedforward": 32, "max_seq_len": 64}
    model = BitTransformer(ModelConfig(**shape, mixing="reference"), seed=1)  # type: ignore[arg-type]
    model.reference = ReferenceModel.fit(corpus.train)
    return model


def test_counts_that_adapt_learn_a_text_that_repeats_itself(corpus: Corpus) -> None:
    model = mixing_model(corpus)
    text = b"Zwoelf Boxkaempfer jagen Viktor quer ueber den Sylter Deich. " * 8
    fixed = held_out_bits_per_byte(model, text)
    adapted = held_out_bits_per_byte(model, text, adaptive=True)
    assert adapted < fixed / 2
    # Of a text that is read once nothing can be known before.
    first = held_out_bits_per_byte(model, text[:20], adaptive=True)
    assert first == pytest.approx(held_out_bits_per_byte(model, text[:20]), rel=0.2)


def test_counts_can_only_adapt_where_counts_are_mixed_in(model_config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match="adaptive=True: this model mixes no counts in"):
        held_out_bits_per_byte(BitTransformer(model_config), b"abc", adaptive=True)
