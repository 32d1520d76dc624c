from collections.abc import Iterator
from pathlib import Path

import pytest

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import RunStore
from bitlm.training import TrainingConfig

TEXT_BYTES = 20_000


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Real text, small enough for a test: the first 20 kB of the embedded corpus."""
    return Corpus("the first 20 kB of the embedded text", Corpus.embedded().data[:TEXT_BYTES])


@pytest.fixture
def model_config() -> ModelConfig:
    return ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)


@pytest.fixture
def training_config() -> TrainingConfig:
    return TrainingConfig(
        batch_size=4,
        warmup_steps=4,
        validation_interval=5,
        probe_interval=8,
        diagnostics_interval=16,
        telemetry_budget=1.0,
        checkpoint_interval=10,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    opened = RunStore(tmp_path / "data")
    yield opened
    opened.close()
