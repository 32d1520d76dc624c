"""The bound by its two estimators and by steps, against enumeration of everything there is to mask."""

from dataclasses import replace
from itertools import product
from math import comb, log, log2

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import MASK, PAYLOAD_BITS, encode_frames
from bitlm.data import Corpus
from bitlm.diffusion import Denoising, Template, denoised, hidden_logits, hidden_nats, samples
from bitlm.errors import ConfigError, CorpusError
from bitlm.model import BitTransformer, ModelConfig, known_log_probabilities
from bitlm.training import (
    Bound,
    Trainer,
    TrainingConfig,
    bound_of_steps,
    denoising_bound,
    masked_batch,
)
from bitlm.training.denoising import denoising_objective
from tests.bitlm.diffusion.test_inference import lively

TEXT = b"by count"
TOY = dict(zip(b"`abcdefg", (0.30, 0.22, 0.16, 0.12, 0.08, 0.06, 0.04, 0.02), strict=True))
"""Three bits of chance, five that are always the same."""


def of_one_byte(mask_unit: str) -> BitTransformer:
    """A model whose window is a byte."""
    return lively(max_seq_len=PAYLOAD_BITS, mask_unit=mask_unit)


def bits_of(value: int) -> torch.Tensor:
    return (torch.tensor(value) >> torch.arange(7, -1, -1)) & 1


@torch.no_grad()
def exact_bits(model: BitTransformer, value: int, before: bytes = b"") -> float:
    """Return a byte's cost revealed bit by bit, averaged over all orders: all sets of bits, weighed."""
    masks = torch.tensor(list(product([False, True], repeat=PAYLOAD_BITS)))[1:, None]
    bits = bits_of(value).expand(masks.shape)
    known = torch.stack([bits_of(one) for one in (*before, 0)])[:-1].expand(len(masks), -1, -1)
    states = torch.cat([known, torch.where(masks, MASK, bits)], dim=1)
    scored = hidden_logits(model.denoise(states).double()[:, -1:], bits, masks, "bit")
    costs = hidden_nats(scored, bits, masks)[:, 0].sum(-1)
    sizes = masks.sum((1, 2))
    weights = torch.tensor([1 / (comb(PAYLOAD_BITS, int(size)) * int(size)) for size in sizes])
    return float((weights * costs).sum()) / log(2)


@pytest.mark.parametrize("estimator", ["time", "count"])
def test_both_estimators_have_the_exact_bound_as_their_mean(estimator: str) -> None:
    model = of_one_byte("bit")
    exact = sum(exact_bits(model, value) for value in TEXT) / len(TEXT)
    found = denoising_bound(model, TEXT, estimator=estimator, draws=150)
    assert 0 < found.standard_error < 0.3
    assert found.bits_per_byte == pytest.approx(exact, abs=4 * found.standard_error)


@torch.no_grad()
def test_one_step_and_whole_bytes_have_no_order_and_no_error() -> None:
    for unit in ("byte", "bit"):
        model = of_one_byte(unit)
        nothing = torch.full((1, 1, PAYLOAD_BITS), MASK)
        leaves = known_log_probabilities(model.denoise(nothing).double(), nothing)[0, 0] / -log(2)
        exact = sum(float(leaves[value]) for value in TEXT) / len(TEXT)
        found = bound_of_steps(model, TEXT, steps=1)
        assert found.bits_per_byte == pytest.approx(exact, abs=1e-5)
        assert found.standard_error == pytest.approx(0, abs=1e-9)
        if unit == "byte":
            found = denoising_bound(model, TEXT, estimator="count")
            assert found.bits_per_byte == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "exp"])
def test_many_steps_come_to_the_bound_of_continuous_time(schedule: str) -> None:
    model = of_one_byte("bit")
    exact = sum(exact_bits(model, value) for value in TEXT) / len(TEXT)
    found = bound_of_steps(model, TEXT, steps=256, schedule=schedule, draws=150)
    assert found.bits_per_byte == pytest.approx(exact, abs=4 * found.standard_error + 0.01)
    assert found.estimator == f"256 steps, {schedule}"


def test_every_byte_costs_once_and_what_is_known_costs_nothing(corpus: Corpus) -> None:
    """Of a coin, to which no bit is any different: of windows that overlap, one half each must be free."""
    for unit, block in (("byte", 0), ("bit", 0), ("byte", 4), ("bit", 1), ("byte", 32)):
        model = lively(mask_unit=unit, block_bytes=block)
        torch.nn.init.zeros_(model.head.weight)
        counted = denoising_bound(model, corpus.data[:200], estimator="count")
        assert counted.bits_per_byte == pytest.approx(8)
        assert counted.standard_error == pytest.approx(0, abs=1e-6)
        timed = denoising_bound(model, corpus.data[:200], draws=16)
        assert timed.bits_per_byte == pytest.approx(8, abs=4 * timed.standard_error)


def test_masks_and_so_the_figure_are_those_of_the_seed(corpus: Corpus) -> None:
    model = lively()
    text = corpus.data[:200]
    found = denoising_bound(model, text, draws=2)
    low, high = found.interval
    assert low < found.bits_per_byte < high
    assert high - low == pytest.approx(2 * 1.96 * found.standard_error)
    assert denoising_bound(model, text, draws=2) == found
    assert denoising_bound(model, text, draws=2, seed=1) != found


def trained_on_toy(model_config: ModelConfig) -> BitTransformer:
    shape = replace(model_config, max_seq_len=PAYLOAD_BITS, objective="diffusion", mask_unit="bit")
    model = BitTransformer(shape, seed=1)
    trainer = Trainer(model, TrainingConfig(learning_rate=1e-2, weight_decay=0.0))
    counts = [round(probability * 400) for probability in TOY.values()]
    values = torch.from_numpy(np.repeat(np.array(list(TOY), dtype=np.uint8), counts))[:, None]
    for step in range(250):
        factor = 1.0 if step < 125 else (250 - step) / 125
        masked = masked_batch(values, shape, step)
        trainer.update(None, rate_factor=factor, dropout_seed=step, masked=masked)
    return model


def test_three_bits_of_chance_are_learned_bounded_and_sampled(model_config: ModelConfig) -> None:
    model = trained_on_toy(model_config)
    entropy = -sum(p * log2(p) for p in TOY.values())
    exact = sum(p * exact_bits(model, value) for value, p in TOY.items())
    assert entropy <= exact < entropy + 0.02
    text = bytes(value for value, p in TOY.items() for _ in range(round(p * 100)))
    found = denoising_bound(model, text, draws=40)
    assert found.bits_per_byte == pytest.approx(exact, abs=4 * found.standard_error)

    count = 2000
    *_, last = denoised(model, Template.around(1), Denoising(steps=4), seeds=range(count))
    drawn = np.bincount([sample.data[0] for sample in samples(last, parity=False)], minlength=256)
    expected = np.array([count * p for p in TOY.values()])
    got = drawn[list(TOY)]
    assert got.sum() > 0.998 * count
    assert ((got - expected) ** 2 / expected).sum() < 24.3, "chi-squared of 7 degrees, p = 0.001"


def test_training_lowers_the_bound_of_real_text(corpus: Corpus, model_config: ModelConfig) -> None:
    for unit, block in (("byte", 0), ("bit", 0), ("byte", 4), ("bit", 4)):
        shape = replace(model_config, objective="diffusion", mask_unit=unit, block_bytes=block, ngram_order=3)
        model = BitTransformer(shape, seed=1)
        trainer = Trainer(model, TrainingConfig())
        text = np.frombuffer(corpus.train[: 32 * 240], dtype=np.uint8).reshape(240, 32)
        for step in range(60):
            batch = torch.from_numpy(text[step * 4 : step * 4 + 4].copy())
            masked = masked_batch(batch, shape, step)
            done = trainer.update(None, rate_factor=1.0, dropout_seed=step, masked=masked)
            assert done.bound == done.loss
            assert done.finite
            assert 0 <= done.negentropy <= 1
        assert denoising_bound(model, corpus.held_out[:500], draws=2).bits_per_byte < 6.0


def test_a_curriculum_begins_with_all_masked_and_ends_with_all_shares(model_config: ModelConfig) -> None:
    training = TrainingConfig(mask_curriculum_steps=100)
    assert [training.least_masked_share(step) for step in (0, 25, 100, 200)] == [1.0, 0.75, 0.0, 0.0]
    assert TrainingConfig().least_masked_share(0) == 0.0
    values = torch.zeros(64, 32, dtype=torch.uint8)
    for block_bytes in (0, 4):
        shape = replace(model_config, objective="diffusion", block_bytes=block_bytes)
        shares = {
            least: masked_batch(values, shape, 1, least_share=least).masking.shares
            for least in (0.0, 0.75, 1.0)
        }
        assert (shares[1.0] == 1).all()
        assert shares[0.75].min() > 0.74
        assert shares[0.0].min() < 0.3


def test_with_blocks_the_true_text_s_next_bits_are_minimised_beside() -> None:
    model = lively(block_bytes=4)
    values = torch.arange(64, dtype=torch.uint8).reshape(2, 32) + 60
    batch = masked_batch(values, model.config, 1)
    found = denoising_objective(model, batch, mask_floor=1e-6, dropout_seed=None)
    bits = encode_frames(values, parity=False)
    causal = binary_cross_entropy_with_logits(model(bits).logits, bits.float())
    torch.testing.assert_close(found.total, found.cross_entropy + causal)


@pytest.mark.parametrize("estimator", ["time", "count"])
def test_of_blocks_of_a_byte_the_bound_is_the_sum_of_their_exact_ones(estimator: str) -> None:
    model, text = lively(mask_unit="bit", block_bytes=1), b"bits"
    exact = sum(exact_bits(model, value, text[:place]) for place, value in enumerate(text)) / len(text)
    found = denoising_bound(model, text, estimator=estimator, draws=150)
    assert found.bits_per_byte == pytest.approx(exact, abs=4 * found.standard_error)
    assert exact != pytest.approx(sum(exact_bits(model, value) for value in text) / len(text), abs=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"estimator": "guess"}, "use one of time, count"), ({"draws": 1}, "at least 2")],
)
def test_a_bound_that_cannot_be_estimated_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        denoising_bound(lively(), TEXT, **settings)  # type: ignore[arg-type] # a wrong value is the point


def test_there_is_something_to_measure() -> None:
    with pytest.raises(CorpusError, match="no bytes to evaluate"):
        denoising_bound(lively(), b"")


def test_an_interval_is_two_errors_wide() -> None:
    assert Bound(2.0, 0.1, "time").interval == pytest.approx((1.804, 2.196))
