from collections.abc import Iterator
from itertools import islice

import pytest

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import Anneal, RunStore, Session, SetTelemetry
from bitlm.training import TrainingConfig

TEXT = b"a text of its own, a text of its own" * 4


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    """A data folder that a file of tests reads and does not change."""
    opened = RunStore(tmp_path_factory.mktemp("kept") / "data")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def finished(kept: RunStore, corpus: Corpus) -> str:
    """A run of 16 steps with every kind of entry in its journal and checkpoints at 0, 6, 10 and 16."""
    model = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)
    training = TrainingConfig(
        batch_size=4,
        warmup_steps=4,
        validation_interval=5,
        probe_interval=8,
        checkpoint_interval=10,
        telemetry_budget=1.0,
    )
    run = Session.create(kept, model=model, training=training, corpus=corpus, seed=1)
    list(islice(run, 4))
    run.apply(SetTelemetry(lambda_K=0.3), source="ui")
    list(islice(run, 2))
    run.checkpoint("by hand")
    run.request_steps(3, TEXT, source="rest")
    list(islice(run, 1))
    run.end_request("paused")
    run.apply(Anneal(steps=8), source="cli")
    list(islice(run, 9))
    run.checkpoint()
    run.record("drift_alert", {"metric": "K", "before": 0.1, "after": 0.5})
    run.close()
    return run.run_id
