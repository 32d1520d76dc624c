"""Taking up a run: what was recorded may come out otherwise, and what is saved must not run ahead of it."""

import sqlite3
from dataclasses import replace
from itertools import islice

import pytest
import torch

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session, SetTelemetry
from bitlm.session.recovery import first_difference
from bitlm.session.reference_file import REFERENCE_FILE
from bitlm.training import TrainingConfig

ELSEWHERE = 12
"""The step whose recorded loss is not the one that is computed."""


@pytest.fixture
def run_id(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> str:
    """A run of 25 steps with a command at step 23, whose steps from 10 on have to be computed again."""
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    list(islice(session, 23))
    session.apply(SetTelemetry(lambda_K=0.7), source="rest")
    list(islice(session, 2))
    session.close()
    damage_newest(store, session.run_id)
    connection = sqlite3.connect(store.data_dir / RunStore.FILE_NAME)
    connection.execute("UPDATE metrics SET loss = loss + 0.1 WHERE step = ?", (ELSEWHERE,))
    connection.commit()
    connection.close()
    return session.run_id


def damage_newest(store: RunStore, run_id: str) -> None:
    record = store.checkpoints.of(run_id)[0]
    (store.checkpoints.folder(record) / "weights.safetensors").write_bytes(b"")


def test_a_step_that_comes_out_otherwise_is_told_and_recorded_as_it_is_now(
    store: RunStore, run_id: str
) -> None:
    recorded = store.metrics(run_id)
    session = Session.open(store, run_id)
    diverged = [event.payload for event in store.all_events(run_id, kinds=("diverged",))]
    before = recorded["loss"][ELSEWHERE - 1]
    after = pytest.approx(before - 0.1)
    assert diverged == [{"metric": "loss", "recorded": before, "recomputed": after}]
    session.close()
    metrics = store.metrics(run_id)
    assert metrics["step"] == list(range(1, 26))
    assert metrics["loss"][ELSEWHERE - 1] == diverged[0]["recomputed"]


def test_a_figure_that_was_not_measured_then_or_now_is_no_difference() -> None:
    """A version that measures more, or less, takes up a run as it was."""
    recorded = {"loss": 0.5, "depth_mean": None}
    assert first_difference(recorded, {"loss": 0.5, "depth_mean": 1.5}) is None
    assert first_difference({"loss": 0.5, "depth_mean": 1.5}, recorded) is None
    assert (
        first_difference({"loss": 0.5, "depth_mean": 1.5}, {"loss": 0.5, "depth_mean": 2.0}) == "depth_mean"
    )


def test_no_checkpoint_is_saved_while_commands_wait_that_are_not_in_it(store: RunStore, run_id: str) -> None:
    """Its event would be newer than they are, and whoever begins there would never follow them."""
    Session.open(store, run_id).close()
    damage_newest(store, run_id)
    session = Session.open(store, run_id)
    assert (session.step_count, session.telemetry.lambda_K) == (25, 0.7)
    entry = store.all_events(run_id, kinds=("telemetry_changed",))[0]
    newer = [record.step for record in store.checkpoints.of(run_id) if record.event_id > entry.event_id]
    assert min(newer) >= entry.step


def test_what_a_run_has_announced_is_recorded_before_the_checkpoint_that_has_it_is(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    """Else a death in between would leave a state that no replay of the journal comes to."""
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    session.request_steps(5, source="rest")
    session.step()
    session.end_request("paused")
    session.checkpoint()
    kinds = [event.kind for event in store.all_events(session.run_id)]
    assert kinds[-2:] == ["steps_ended", "checkpoint_saved"]


@pytest.mark.parametrize("damage", [b"", b"not safetensors"])
def test_a_run_that_mixes_counts_in_is_taken_up_bit_for_bit_even_if_its_counts_are_damaged(
    store: RunStore,
    corpus: Corpus,
    model_config: ModelConfig,
    training_config: TrainingConfig,
    damage: bytes,
) -> None:
    mixing = replace(model_config, mixing="reference")
    whole, broken = (
        Session.create(store, model=mixing, training=training_config, corpus=corpus, seed=1) for _ in range(2)
    )
    list(islice(whole, 16))
    list(islice(broken, 14))
    broken.close()
    damage_newest(store, broken.run_id)
    (store.run_dir(broken.run_id) / REFERENCE_FILE).write_bytes(damage)
    again = Session.open(store, broken.run_id)
    list(islice(again, 2))
    store.flush()
    assert store.metrics(whole.run_id)["loss"] == store.metrics(broken.run_id)["loss"]
    weights = dict(whole.model.named_parameters())
    assert all(torch.equal(weights[name], weight) for name, weight in again.model.named_parameters())
    assert again.evaluate() == whole.evaluate()
