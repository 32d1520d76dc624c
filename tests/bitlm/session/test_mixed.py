"""Runs that learn causally and by denoising in the same step."""

from dataclasses import replace
from itertools import islice
from math import log

import pytest
import torch

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.draw import Draw
from bitlm.errors import ConfigError
from bitlm.history.branching import fork
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.randomness import counter_seed
from bitlm.session import RunStore, SampleSchedule, ScheduleSamples, Session, SetTelemetry, preset
from bitlm.session.observation import PROBE_BYTES
from bitlm.session.step_windows import causal_rows
from bitlm.telemetry import lz_complexity
from bitlm.training import TrainingConfig, denoising_bound


@pytest.fixture
def mixed(model_config: ModelConfig) -> ModelConfig:
    return replace(model_config, mixing="reference", objective="mixed", mask_unit="bit")


def test_every_step_has_both_figures_and_some_have_both_estimates(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=mixed, training=training_config, corpus=corpus)
    events = list(islice(run, 40))
    assert all(event.bound_bits_per_byte != event.bits_per_byte for event in events)
    assert [event.step for event in events if event.validation_bound_bits_per_byte] == [20, 40]
    blocks = next(event.gradient_norm_blocks for event in events if event.gradient_norm_blocks)
    assert sum(norm**2 for norm in blocks) == pytest.approx(events[0].gradient_norm ** 2, rel=1e-5)
    run.close()
    columns = store.metrics(run.run_id)
    assert columns["bound_bits_per_byte"] == [event.bound_bits_per_byte for event in events]


def test_the_quick_estimate_is_near_the_bound_of_the_whole(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=mixed, training=training_config, corpus=corpus)
    estimate = list(islice(run, 60))[-1].validation_bound_bits_per_byte
    whole = denoising_bound(run.model, corpus.held_out, draws=8)
    run.close()
    assert estimate is not None
    assert estimate == pytest.approx(whole.bits_per_byte, abs=0.4)
    assert estimate < 8


def test_a_causal_run_has_no_bound(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    events = list(islice(run, 20))
    run.close()
    assert {event.bound_bits_per_byte for event in events} == {None}
    assert events[-1].validation_bits_per_byte is not None
    assert events[-1].validation_bound_bits_per_byte is None


@pytest.mark.parametrize("block_bytes", [0, 8])
def test_a_mixed_run_is_taken_up_and_done_again_bit_for_bit(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig, block_bytes: int
) -> None:
    shape = replace(mixed, block_bytes=block_bytes)
    run = Session.create(store, model=shape, training=training_config, corpus=corpus)
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


@pytest.mark.parametrize(
    ("share", "rows"),
    [
        (None, [1, 2, 4]),
        (1.0, [1, 2, 4]),
        (0.0, [0, 0, 0]),
        (0.01, [1, 1, 1]),
        (0.99, [1, 1, 3]),
        (0.5, [1, 1, 2]),
    ],
)
def test_a_small_share_still_leaves_a_window_of_each(share: float | None, rows: list[int]) -> None:
    assert [causal_rows(share, count) for count in (1, 2, 4)] == rows


def test_the_share_is_switched_while_training_and_what_is_not_learned_is_not_measured(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=mixed, training=training_config, corpus=corpus)
    seen = {}
    for share in (0.5, 1.0, 0.0):
        run.apply(SetTelemetry(causal_share=share), source="rest")
        seen[share] = list(islice(run, 20))
    run.close()
    assert all(event.bound_bits_per_byte is None for event in seen[1.0])
    assert all(event.bound_bits_per_byte == event.bits_per_byte for event in seen[0.0])
    assert all(event.bound_bits_per_byte != event.bits_per_byte for event in seen[0.5])
    causal = {share: events[-1].validation_bits_per_byte is not None for share, events in seen.items()}
    bound = {share: events[-1].validation_bound_bits_per_byte is not None for share, events in seen.items()}
    assert causal == {0.5: True, 1.0: True, 0.0: False}
    assert bound == {0.5: True, 1.0: False, 0.0: True}
    again = Session.open(store, run.run_id)
    assert again.telemetry.causal_share == 0.0
    list(islice(again, 5))
    again.save()
    again.close()
    assert Replay(store, run.run_id).all().same


def test_a_run_that_only_denoises_is_probed_by_denoising(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    training = replace(training_config, causal_share=0.0)
    run = Session.create(store, model=mixed, training=training, corpus=corpus)
    run.apply(
        ScheduleSamples(schedule=SampleSchedule(every=1, prompt="The ", max_new_bytes=12)), source="rest"
    )
    event = run.step(probe_now=True)
    drawn = Draw(run.model, bytes_to_bits(b"The ", parity=False), 12, 0.8, 1.0, 0).in_other_mode().sample()
    run.close()
    (sample,) = store.samples.page(run.run_id)
    assert sample.text == drawn.text
    key = counter_seed(0, 1, "probe")
    nothing = bytes_to_bits(b"", parity=False)
    probed = Draw(run.model, nothing, PROBE_BYTES, 1.0, 1.0, key).in_other_mode().sample()
    assert lz_complexity(probed.payload_bits) == event.C


def test_a_run_with_a_curriculum_begins_with_all_masked(
    store: RunStore, corpus: Corpus, mixed: ModelConfig, training_config: TrainingConfig
) -> None:
    first = {}
    for steps in (0, 1000):
        training = replace(training_config, mask_curriculum_steps=steps, causal_share=0.0)
        run = Session.create(store, model=mixed, training=training, corpus=corpus)
        assert (run._learner._masked(torch.zeros(4, 32, dtype=torch.uint8)).masking.shares == 1).all() == (
            steps > 0
        )
        first[steps] = run.step().bound_bits_per_byte
        run.close()
    assert first[0] != first[1000]


def test_diffusion_is_a_mixed_run_without_causal_windows() -> None:
    model, training = preset("tiny", objective="diffusion")
    assert (model.objective, training.causal_share) == ("mixed", 0.0)
    assert preset("tiny", objective="diffusion", causal_share=0.25)[1].causal_share == 0.25


def test_a_causal_run_has_no_share_to_change(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    run.step()
    run.checkpoint()
    assert run.telemetry.causal_share is None
    message = r"causal_share=0\.5: this run's objective is 'causal'; make one with 'mixed'"
    with pytest.raises(ConfigError, match=message):
        run.apply(SetTelemetry(causal_share=0.5), source="rest")
    run.close()
    with pytest.raises(ConfigError, match=message):
        fork(store, run.run_id, telemetry=SetTelemetry(causal_share=0.5), source="rest")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mixed", "batch_size": 1}, "batch_size=1: use at least 2"),
        ({"mask_floor": 0.0}, "mask_floor=0.0: use a number above 0"),
        ({"causal_share": 1.5}, "causal_share=1.5: use a number from 0.0 up to 1.0"),
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
