"""Branches whose model is larger than their parent's."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import CorpusError
from bitlm.growth import GROWTHS, Growth
from bitlm.history.branching import fork
from bitlm.history.capsule import write_capsule
from bitlm.history.replay import Replay
from bitlm.history.verification import verify_capsule
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session
from bitlm.training import TrainingConfig


@pytest.fixture
def run_id(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> str:
    """A run of eight steps."""
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    losses(session, 8)
    session.checkpoint()
    session.close()
    return session.run_id


def losses(session: Session, steps: int) -> list[float]:
    return [event.loss for event in islice(session, steps)]


def grown(store: RunStore, run_id: str, growth: Growth, **settings: float) -> Session:
    return Session.open(store, fork(store, run_id, growth=growth, settings=settings, source="cli"))


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_branch_whose_model_has_grown_begins_as_its_parent_ends_and_has_the_receipt(
    store: RunStore, run_id: str, growth: Growth
) -> None:
    parent = Session.open(store, run_id, writable=False)
    session = grown(store, run_id, growth)
    record, origin = store.run(session.run_id), store.run(session.run_id).origin
    assert origin is not None
    receipt = origin.growth
    assert receipt is not None
    assert receipt.by == growth
    assert receipt.parameters == (store.run(run_id).parameters, record.parameters)
    assert record.parameters == session.model.parameter_count
    assert receipt.logit_difference <= (1e-3 if growth == "width" else 0.0)
    assert receipt.bits_per_byte[0] == pytest.approx(parent.evaluate(), abs=0.2)  # of the same text, or less
    changed = {name for name, value in vars(session.config.model).items()} & set(origin.config_changes)
    assert changed == set(origin.config_changes) != set()
    assert (session.step_count, session.bytes_seen) == (parent.step_count, parent.bytes_seen)
    if growth == "layer":
        assert receipt.bits_per_byte[0] == receipt.bits_per_byte[1]
        assert session.evaluate() == parent.evaluate()
    assert parent.config == store.run(run_id).config


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_grown_run_goes_on_bit_for_bit_after_a_death_and_is_replayed(
    store: RunStore, run_id: str, growth: Growth
) -> None:
    whole = grown(store, run_id, growth)
    expected = losses(whole, 6)
    whole.close()
    other = grown(store, run_id, growth)
    assert losses(other, 3) == expected[:3], "the same growth is the same bits"
    other.checkpoint()
    other.close()
    again = Session.open(store, other.run_id)
    assert losses(again, 3) == expected[3:]
    weights = again.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.model.state_dict().items())
    again.close()
    store.flush()
    replayed = Replay(store, other.run_id).all()
    assert replayed.same
    assert len(replayed.comparisons) >= 2


def test_a_grown_run_is_verified_from_its_capsule(store: RunStore, run_id: str, tmp_path: Path) -> None:
    session = grown(store, run_id, "layer")
    losses(session, 2)
    session.save()
    session.close()
    store.flush()
    write_capsule(store, session.run_id, tmp_path / "run.zip")
    report = verify_capsule(tmp_path / "run.zip")
    assert report.same
    assert report.comparisons


def test_a_growth_comes_with_other_settings_and_gives_the_branch_its_name(
    store: RunStore, run_id: str
) -> None:
    session = grown(store, run_id, "width", learning_rate=0.001)
    assert session.config.training.learning_rate == 0.001
    assert (store.run(session.run_id).name or "").endswith("× 2 wide")
    session.close()
    deeper = grown(store, session.run_id, "layer")
    assert (store.run(deeper.run_id).name or "").endswith("× 2 wide + a layer")
    assert deeper.config.model.num_layers == session.config.model.num_layers + 1


def test_what_cannot_grow_is_said_and_leaves_no_run_behind(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    short = replace(corpus, data=corpus.data[: 12 * model_config.window_bytes])
    session = Session.create(store, model=model_config, training=training_config, corpus=short)
    session.close()
    with pytest.raises(CorpusError, match="window"):
        fork(store, session.run_id, growth="context", source="cli")
    assert [record.run_id for record in store.runs()] == [session.run_id]
