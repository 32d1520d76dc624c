"""When a run is saved by itself, what stays, and what its event says."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import CheckpointPolicy, RunStore, Session
from bitlm.session.policy import new_run_id
from bitlm.training import TrainingConfig
from tests.bitlm.session.test_commit_protocol import POINTS


class Clock:
    """A clock that stands still until it is put forward."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(
    store: RunStore,
    corpus: Corpus,
    model_config: ModelConfig,
    training_config: TrainingConfig,
    clock: Clock,
) -> Session:
    seldom = replace(training_config, checkpoint_interval=1_000)
    return Session.create(store, model=model_config, training=seldom, corpus=corpus, clock=clock)


def saved(session: Session) -> list[int]:
    return [record.step for record in session.store.checkpoints.of(session.run_id)]


def test_a_run_is_saved_after_two_minutes_of_steps_and_the_time_counts_from_there(
    session: Session, clock: Clock
) -> None:
    clock.now += 119.9
    session.step()
    assert saved(session) == [0]
    clock.now += 0.1
    session.step()
    assert saved(session) == [2, 0]
    clock.now += 119.9
    session.step()
    assert saved(session) == [2, 0]


def test_the_three_newest_the_first_the_named_and_the_best_stay(session: Session) -> None:
    list(islice(session, 1))
    session.checkpoint("kept")
    for _ in range(6):
        session.step()
        session.checkpoint()
    assert session.store.checkpoints.of(session.run_id)[2].validation_bits_per_byte == pytest.approx(8, abs=1)
    assert saved(session) == [7, 6, 5, 1, 0]
    session.step()
    session.checkpoint()
    assert saved(session) == [8, 7, 6, 5, 1, 0], "step 5 was measured, as no other was"


def test_a_step_that_is_saved_is_not_saved_again_and_another_is(session: Session) -> None:
    session.save()
    assert saved(session) == [0]
    assert len(session.store.all_events(session.run_id, kinds=("checkpoint_saved",))) == 1
    session.step()
    session.save()
    assert saved(session) == [1, 0]


def test_the_event_of_a_checkpoint_says_where_it_lies_and_what_is_in_it(
    session: Session, store: RunStore
) -> None:
    session.step()
    event = session.checkpoint("by hand", source="cli")
    record = store.checkpoints.at(session.run_id, 1)
    folder = f"runs/{session.run_id}/checkpoints/{record.folder}"
    assert event.payload == {
        "path": folder,
        "weights_sha256": record.weights_sha256,
        "optimizer_sha256": record.optimizer_sha256,
        "name": "by hand",
    }
    assert (event.kind, event.source, event.step, event.at) == ("checkpoint_saved", "cli", 1, 1_000.0)
    assert store.events(session.run_id)[-1] == event
    assert (record.event_id, record.at, record.name) == (event.event_id, 1_000.0, "by hand")
    assert record.bytes == sum(file.stat().st_size for file in (store.data_dir / folder).iterdir())
    assert "name" not in session.checkpoint().payload


def test_the_points_on_the_way_to_the_disk_are_told_in_order(
    tmp_path: Path, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    told: list[str] = []
    store = RunStore(tmp_path)
    Session.create(
        store, model=model_config, training=training_config, corpus=corpus, reached=told.append,
        policy=CheckpointPolicy(keep=1),
    )  # fmt: skip
    store.close()
    assert tuple(told) == POINTS


def test_a_run_is_called_by_the_time_it_was_made_at_and_no_two_alike() -> None:
    first, second = new_run_id(0.0), new_run_id(0.0)
    assert first.startswith("19700101-000000-")
    assert len(first) == len("19700101-000000-") + 4
    assert first != second
