"""What a kept run is a function of, as later versions read it."""

import json
from dataclasses import replace

import pytest

from bitlm.model import ModelConfig
from bitlm.session import RunConfig
from bitlm.training import TrainingConfig


@pytest.fixture
def config(model_config: ModelConfig, training_config: TrainingConfig) -> RunConfig:
    training = replace(training_config, ponder_budget=0.625)
    return RunConfig(
        model=model_config, training=training, corpus="text", corpus_fingerprint="0" * 64,
        seed=0, threads=1, version="0.2.0",
    )  # fmt: skip


def test_a_config_is_read_as_it_was_kept(config: RunConfig) -> None:
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_a_run_from_before_there_was_a_ponder_budget_has_none(config: RunConfig) -> None:
    kept = json.loads(config.model_dump_json())
    del kept["training"]["ponder_budget"]
    assert RunConfig.model_validate_json(json.dumps(kept)).training.ponder_budget == 0.0
