"""Checkpoints that are listed, named, pruned and read by several at once."""

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import CheckpointError
from bitlm.model import ModelConfig
from bitlm.session import CheckpointPolicy, RunStore, Session
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.checkpoint_table import CheckpointRecord, CheckpointTable
from bitlm.training import TrainingConfig


@pytest.fixture
def session(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Session:
    policy = CheckpointPolicy(keep=10)
    session = Session.create(
        store, model=model_config, training=training_config, corpus=corpus, policy=policy
    )
    save_after_a_step(session, 3)
    return session


def save_after_a_step(session: Session, times: int = 1) -> None:
    for _ in range(times):
        session.step()
        session.checkpoint()


@pytest.fixture
def table(session: Session) -> CheckpointTable:
    return session.store.checkpoints


def steps(session: Session) -> list[int]:
    return [record.step for record in session.store.checkpoints.of(session.run_id)]


def test_a_checkpoint_that_was_named_after_pruning_had_chosen_it_stays(
    session: Session, table: CheckpointTable
) -> None:
    chosen = table.of(session.run_id)[1]
    table.rename(chosen, "kept")
    table.delete_unnamed(chosen)
    assert steps(session) == [3, 2, 1, 0]
    assert isinstance(table.load(chosen), Checkpoint)
    table.delete(chosen)
    assert steps(session) == [3, 1, 0]


def test_a_name_for_a_checkpoint_that_was_deleted_meanwhile_is_refused(
    session: Session, table: CheckpointTable
) -> None:
    chosen = table.of(session.run_id)[1]
    table.delete_unnamed(chosen)
    with pytest.raises(CheckpointError, match="no checkpoint of step 2 any more"):
        table.rename(chosen, "too late")


def test_whoever_reads_while_others_prune_finds_the_newest_that_is_left(
    session: Session, table: CheckpointTable
) -> None:
    found = table.good_ones(session.run_id)
    assert taken(next(found)) == 3
    for record in table.of(session.run_id)[1:3]:
        table.delete(record)
    save_after_a_step(session)
    assert [taken(one) for one in found] == [4, 0]


def taken(found: tuple[CheckpointRecord, Checkpoint | CheckpointError]) -> int:
    record, loaded = found
    assert isinstance(loaded, Checkpoint), loaded
    return record.step


def test_a_checkpoint_that_was_deleted_is_not_called_damaged(
    session: Session, table: CheckpointTable
) -> None:
    record = table.of(session.run_id)[0]
    table.delete(record)
    table.mark_damaged(record)
    assert steps(session) == [2, 1, 0]
    with pytest.raises(CheckpointError, match="cannot be read"):
        table.files(record)


def test_a_checkpoint_that_is_looked_at_has_the_weights_of_its_step(
    session: Session, table: CheckpointTable
) -> None:
    saved = table.load(table.at(session.run_id, 2))
    session.close()
    assert isinstance(saved, Checkpoint)
    looked_at = Session.open(session.store, session.run_id, writable=False, step=2)
    assert looked_at.step_count == 2
    weights = looked_at.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in saved.weights.items())
