from itertools import islice

import pytest

from bitlm.data import Corpus
from bitlm.errors import JournalError
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import Anneal, CheckpointPolicy, RunStore, Session, SetTelemetry
from bitlm.training import TrainingConfig


@pytest.fixture
def run_id(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> str:
    """A run of 35 steps with a slider, a text and an anneal, of which the first and last checkpoints stay."""
    session = Session.create(
        store,
        model=model_config,
        training=training_config,
        corpus=corpus,
        policy=CheckpointPolicy(interval_s=3600.0, keep=1),
    )
    for step in range(35):
        if step == 7:
            session.apply(SetTelemetry(lambda_K=0.3), source="ui")
        if step == 12:
            session.request_steps(4, b"a text of one's own " * 20, source="rest")
        if step == 24:
            session.apply(Anneal(steps=8), source="cli")
        session.step()
    session.close()
    return session.run_id


def test_every_checkpoint_ever_saved_comes_out_again(store: RunStore, run_id: str) -> None:
    kept = {record.step for record in store.checkpoints.of(run_id)}
    assert 20 not in kept, "it is compared although its files are gone"
    told: list[tuple[int, int]] = []
    again = Replay(store, run_id).all(progress=lambda step, until: told.append((step, until)))
    assert [comparison.step for comparison in again.comparisons] == [0, 10, 20, 30]
    assert again.same
    assert told[-1] == (35, 35)


def test_a_replay_can_end_early_but_not_before_it_begins(store: RunStore, run_id: str) -> None:
    again = Replay(store, run_id).all(until=15)
    assert [comparison.step for comparison in again.comparisons] == [0, 10]
    with pytest.raises(JournalError, match="begins at step 0"):
        Replay(store, run_id).all(until=-1)


def test_a_journal_that_was_changed_does_not_come_out_the_same(store: RunStore, run_id: str) -> None:
    with store._writing() as writer:
        writer.execute("DELETE FROM events WHERE kind = 'telemetry_changed'")
    again = Replay(store, run_id).all()
    assert [comparison.same for comparison in again.comparisons] == [True, False, False, False]


def test_random_stretches_begin_at_checkpoints_on_the_disk(store: RunStore, run_id: str) -> None:
    stretches = list(Replay(store, run_id).random_stretches(5))
    assert all(stretch.same and stretch.comparisons for stretch in stretches)
    kept = {record.step for record in store.checkpoints.of(run_id)}
    assert {stretch.from_step for stretch in stretches} <= kept
    assert list(Replay(store, run_id).random_stretches(2, seed=1)) == list(
        Replay(store, run_id).random_stretches(2, seed=1)
    )


def test_a_run_without_two_checkpoints_has_no_stretch(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    list(islice(session, 2))
    session.close()
    with pytest.raises(JournalError, match="train it on"):
        next(Replay(store, session.run_id).random_stretches(1))
