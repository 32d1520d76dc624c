import numpy as np
import pytest
import torch

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.errors import CorpusError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.training import evaluation, held_out_bits_per_byte, validation_bits_per_byte
from bitlm.training.evaluation import _overlapping


@pytest.mark.parametrize("length", [1, 7, 8, 9, 12, 13, 31, 32, 100])
def test_every_byte_is_counted_exactly_once_with_half_a_window_before_it(length: int) -> None:
    data = bytes(np.random.default_rng(length).permutation(256)[:length].astype(np.uint8))
    counted: list[int] = []
    for text, count in _overlapping(data, window=8):
        for row in text.tolist():
            counted.extend(row[-count:])
            start = data.index(bytes(row))
            assert start == 0 or len(row) - count >= 4
    assert sorted(counted) == sorted(data)


def test_an_untrained_model_scores_about_a_coin(model_config: ModelConfig, corpus: Corpus) -> None:
    model = BitTransformer(model_config)
    assert held_out_bits_per_byte(model, corpus.held_out[:300]) == pytest.approx(8.0, abs=0.3)
    assert validation_bits_per_byte(model, corpus.held_out) == pytest.approx(8.0, abs=0.3)


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
    together = held_out_bits_per_byte(model, data), validation_bits_per_byte(model, data)
    for rows in (1, 3):
        monkeypatch.setattr(evaluation, "MOST_POSITIONS", rows * 256)
        apart = held_out_bits_per_byte(model, data), validation_bits_per_byte(model, data)
        assert apart == pytest.approx(together, rel=1e-6)


def test_nothing_to_measure_is_an_error(model_config: ModelConfig) -> None:
    with pytest.raises(CorpusError, match="at least one byte"):
        held_out_bits_per_byte(BitTransformer(model_config), b"")
