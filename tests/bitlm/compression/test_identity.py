from dataclasses import replace

import pytest

from bitlm.compression.identity import model_hash
from bitlm.model import BitTransformer, ModelConfig

CONFIG = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)


def hash_of(config: ModelConfig) -> bytes:
    """The hash of a model that has these weights whatever else it is told."""
    return model_hash(BitTransformer(config, seed=3))


@pytest.mark.parametrize(("setting", "value"), [("max_seq_len", 512), ("chunk_size", 64), ("overlap", 8)])
def test_a_setting_that_predictions_depend_on_makes_another_model(setting: str, value: int) -> None:
    chunked = replace(CONFIG, chunk_size=128, overlap=16)
    other = replace(chunked, **{setting: value})  # type: ignore[arg-type] # each has whole numbers
    assert hash_of(other) != hash_of(chunked)


def test_a_setting_of_training_makes_none() -> None:
    assert hash_of(replace(CONFIG, dropout=0.1, memory="recompute")) == hash_of(CONFIG)
