"""Branches whose model is a student of their parent's."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from bitlm.data import Corpus
from bitlm.distillation import Floors
from bitlm.errors import CheckpointError, ConfigError
from bitlm.history.capsule import write_capsule
from bitlm.history.distilling import Student, distil
from bitlm.history.narration import branch_of
from bitlm.history.verification import verify_capsule
from bitlm.model import ModelConfig
from bitlm.session import Anneal, RunStore, Session
from bitlm.training import TrainingConfig

WANTED = Student(share=0.8, floors=Floors(most_worse=0.0), max_rounds=2, steps=2, representatives=1, heads=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    opened = RunStore(tmp_path_factory.mktemp("data"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def run_id(store: RunStore, corpus: Corpus) -> str:
    """A run of six steps whose rate is falling, with counts mixed in."""
    model = ModelConfig(
        d_model=16, nhead=2, num_layers=4, dim_feedforward=32, max_seq_len=256, mixing="reference"
    )
    session = Session.create(store, model=model, training=TrainingConfig(warmup_steps=2), corpus=corpus)
    list(islice(session, 3))
    session.apply(Anneal(steps=3), source="cli")
    list(islice(session, 3))
    session.checkpoint()
    session.close()
    return session.run_id


def test_a_student_is_a_run_with_a_receipt_that_goes_on_and_comes_out_again(
    store: RunStore, run_id: str, tmp_path: Path
) -> None:
    branch, distilled = distil(store, run_id, WANTED, source="cli")
    session, parent = Session.open(store, branch), Session.open(store, run_id, writable=False)
    origin = store.run(branch).origin
    assert origin is not None
    receipt = origin.distillation
    assert receipt is not None
    assert session.model.parameter_count == receipt.parameters[1] <= 0.8 * receipt.parameters[0]
    assert receipt.bits_per_byte == pytest.approx((parent.evaluate(), session.evaluate()), abs=0.2)
    assert receipt.met is distilled.met
    assert (receipt.rounds, receipt.steps) == (len(distilled.rounds), 2 * len(distilled.rounds))
    assert receipt.heads == (2, 1)
    assert (origin.config_changes["nhead"], origin.config_changes["head_width"]) == (1, 8)
    assert origin.config_changes["num_layers"] == session.config.model.num_layers < 4
    weights = session.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in distilled.student.state_dict().items())
    assert (session.step_count, session.bytes_seen) == (parent.step_count, parent.bytes_seen)
    assert (parent.annealing is None, session.annealing) == (False, None)
    assert branch_of(origin) == f"student of {run_id} at step 6"
    assert (store.run(branch).name or "").endswith(
        f"distilled to {100 * receipt.parameters[1] / receipt.parameters[0]:.3g} %"
    )
    list(islice(session, 2))
    session.save()
    session.close()
    store.flush()
    write_capsule(store, branch, tmp_path / "run.zip")
    verified = verify_capsule(tmp_path / "run.zip")
    assert verified.same
    assert verified.comparisons
    other, _ = distil(store, run_id, WANTED, source="cli")
    assert store.checkpoints.of(other)[-1].weights_sha256 == store.checkpoints.of(branch)[-1].weights_sha256


def test_what_cannot_be_distilled_is_said_and_leaves_no_run_behind(store: RunStore, run_id: str) -> None:
    before = [record.run_id for record in store.runs()]
    with pytest.raises(ConfigError, match=r"share=0.01: use at least 0.\d+: a student has [\d,]+ parameters"):
        distil(store, run_id, replace(WANTED, share=0.01), source="cli")
    with pytest.raises(ConfigError, match="heads=3: use a whole number from 1 to 2"):
        distil(store, run_id, replace(WANTED, heads=3), source="cli")
    with pytest.raises(ConfigError, match="below 1"):
        Student(share=1.0)
    with pytest.raises(CheckpointError, match="step 5"):
        distil(store, run_id, WANTED, step=5, source="cli")
    assert [record.run_id for record in store.runs()] == before
