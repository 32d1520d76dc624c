"""Runs that learn causally and by denoising in the same step."""

from dataclasses import replace
from itertools import islice
from math import log

import pytest

from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session, SetTelemetry, preset
from bitlm.training import TrainingConfig, denoising_bound


@pytest.fixture
def mixed(model_config: ModelConfig) -> ModelConfig:
    return replace(model_config, mixing="reference", objective="mixed", mask_unit="bit")


def test_every_step_has_both_figures_and_some_have_both_estimates(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=mixed, training=training_config, corpus=corpus)
    events = list(islice(run, 10))
    assert all(event.bound_bits_per_byte != event.bits_per_byte for event in events)
    assert [event.step for event in events if event.validation_bound_bits_per_byte] == [5, 10]
    blocks = next(event.gradient_norm_blocks for event in events if event.gradient_norm_blocks)
    assert sum(norm**2 for norm in blocks) == pytest.approx(events[0].gradient_norm ** 2, rel=1e-5)
    run.close()
    columns = store.metrics(run.run_id)
    assert columns["bound_bits_per_byte"] == [event.bound_bits_per_byte for event in events]


def test_the_quick_estimate_is_near_the_bound_of_the_whole(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=mixed, training=training_config, corpus=corpus)
    estimate = list(islice(run, 50))[-1].validation_bound_bits_per_byte
    whole = denoising_bound(run.model, corpus.held_out, draws=8)
    run.close()
    assert estimate is not None
    assert estimate == pytest.approx(whole.bits_per_byte, abs=0.4)
    assert estimate < 8


def test_a_causal_run_has_no_bound(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    events = list(islice(run, 5))
    run.close()
    assert {event.bound_bits_per_byte for event in events} == {None}
    assert events[-1].validation_bits_per_byte is not None
    assert events[-1].validation_bound_bits_per_byte is None


def test_a_mixed_run_is_taken_up_and_done_again_bit_for_bit(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=mixed, training=training_config, corpus=corpus)
    list(islice(run, 13))
    run.apply(SetTelemetry(lambda_K=0.2, lambda_S=0.1), source="rest")
    list(islice(run, 2))
    run.close()
    again = Session.open(store, run.run_id)
    assert again.step_count == 15
    list(islice(again, 5))
    again.save()
    again.close()
    whole = Replay(store, run.run_id).all()
    assert [comparison.step for comparison in whole.comparisons] == [0, 10, 15, 20]
    assert whole.same


def test_a_small_share_still_leaves_a_window_of_each() -> None:
    training = TrainingConfig(batch_size=4, causal_share=0.01)
    assert [training.causal_rows("mixed", rows) for rows in (1, 2, 4)] == [1, 1, 1]
    assert TrainingConfig(causal_share=1.0).causal_rows("mixed", 4) == 3
    assert TrainingConfig(causal_share=0.5).causal_rows("mixed", 4) == 2
    assert (training.causal_rows("causal", 4), training.causal_rows("diffusion", 4)) == (4, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mixed", "batch_size": 1}, "batch_size=1: use at least 2"),
        ({"objective": "diffusion"}, "runs learn 'causal' or 'mixed' so far"),
        ({"mask_floor": 0.0}, "mask_floor=0.0: use a number above 0"),
        ({"causal_share": 1.5}, "causal_share=1.5: use a number above 0.0 up to 1.0"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preset("tiny", **changes)


def test_a_coin_costs_eight_bits_either_way(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    """The first step's model knows nothing yet: both figures are in the same unit."""
    run = Session.create(store, model=replace(mixed, mixing="none"), training=training_config, corpus=corpus)
    first = run.step()
    run.close()
    assert first.loss == pytest.approx(log(2), abs=0.02)
    assert first.bits_per_byte == pytest.approx(8, abs=0.2)
    assert first.bound_bits_per_byte == pytest.approx(8, abs=1.5), "by the masks of a few windows"
