from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count, islice
from typing import Any

import pytest
from pydantic import ValidationError

from bitlm.data import Corpus
from bitlm.errors import JournalError
from bitlm.history.branching import fork, twin
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import (
    CheckpointPolicy,
    RunStore,
    SampleSchedule,
    ScheduleSamples,
    Session,
    SetTelemetry,
)
from bitlm.session.scheduled_samples import draw
from bitlm.training import TrainingConfig

SCHEDULE = SampleSchedule(every=3, prompt="The ", max_new_bytes=24, seed=5)
EVERY_THIRD = [1, 2, 3, 6, 9, 12]
"""The steps up to 12 that are looked at every 3 steps: densely before the first interval is over."""


@pytest.fixture
def begin(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Callable[..., Session]:
    def make(**settings: Any) -> Session:
        return Session.create(
            store, model=replace(model_config, mixing="reference"), training=training_config, corpus=corpus,
            **settings,
        )  # fmt: skip

    return make


def steps(store: RunStore, run_id: str) -> list[int]:
    store.flush()
    return [sample.step for sample in store.samples.page(run_id)]


def test_samples_are_drawn_along_training_and_change_no_bit_of_it(begin: Callable[..., Session]) -> None:
    plain, sampled = begin(), begin()
    sampled.apply(ScheduleSamples(schedule=SCHEDULE), source="rest")
    losses = [[event.loss for event in islice(session, 12)] for session in (plain, sampled)]
    assert losses[0] == losses[1]
    assert steps(plain.store, plain.run_id) == []
    assert steps(sampled.store, sampled.run_id) == EVERY_THIRD
    weights = [one.model.state_dict() for one in (plain, sampled)]
    assert all(bool((weights[0][name] == weights[1][name]).all()) for name in weights[0])


def test_a_sample_is_what_the_model_says_at_its_step(begin: Callable[..., Session]) -> None:
    session = begin()
    session.apply(ScheduleSamples(schedule=SCHEDULE), source="rest")
    list(islice(session, 3))
    session.store.flush()
    kept = session.store.samples.page(session.run_id)[-1]
    again = draw(session.model, SCHEDULE, step=3, at=kept.at)
    assert kept == again
    assert len(kept.text) == len(kept.surprise_bits)
    assert sum(kept.surprise_bits) == pytest.approx(kept.bits_per_byte * 24, abs=0.01 * 24)


def test_the_schedule_is_journalled_outlives_the_process_and_a_replay_comes_out_the_same(
    begin: Callable[..., Session],
) -> None:
    session = begin(policy=CheckpointPolicy(interval_s=1e9))
    session.apply(ScheduleSamples(schedule=SCHEDULE), source="ui")
    list(islice(session, 7))
    session.close()
    again = Session.open(session.store, session.run_id)
    assert again.sample_schedule == SCHEDULE
    list(islice(again, 5))
    again.apply(ScheduleSamples(schedule=None), source="ui")
    list(islice(again, 6))
    again.save()
    again.close()
    assert steps(session.store, session.run_id) == EVERY_THIRD
    said = session.store.all_events(session.run_id, kinds=("samples_scheduled",))
    assert [event.payload["new"] for event in said] == [SCHEDULE.model_dump(), None]
    assert said[1].payload["old"] == SCHEDULE.model_dump()
    assert Replay(session.store, session.run_id).all().same
    assert Session.open(session.store, session.run_id).sample_schedule is None


def test_a_branch_has_the_samples_of_its_past_and_a_deleted_run_has_none(
    begin: Callable[..., Session],
) -> None:
    session = begin()
    session.apply(ScheduleSamples(schedule=SCHEDULE), source="rest")
    list(islice(session, 12))
    session.close()
    branch = fork(session.store, session.run_id, step=10, source="cli")
    assert steps(session.store, branch) == [1, 2, 3, 6, 9]
    session.store.delete_run(session.run_id)
    assert steps(session.store, session.run_id) == []
    assert steps(session.store, branch) == [1, 2, 3, 6, 9]


def test_a_twin_draws_as_its_original_did_and_cannot_do_without_the_schedule(
    begin: Callable[..., Session],
) -> None:
    session = begin()
    scheduled = session.apply(ScheduleSamples(schedule=SCHEDULE), source="rest")
    list(islice(session, 2))
    change = session.apply(SetTelemetry(lambda_K=0.5), source="rest")
    list(islice(session, 4))
    session.close()
    with pytest.raises(JournalError, match="drawn along training"):
        twin(session.store, session.run_id, scheduled.event_id, source="cli")
    other = Session.open(session.store, twin(session.store, session.run_id, change.event_id, source="cli"))
    list(islice(other, 6))
    assert steps(session.store, other.run_id) == [1, 2, 3, 6]


def test_samples_keep_to_their_share_of_the_budget_and_leave_the_rest_to_other_looks(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    thrifty = replace(training_config, probe_interval=2, telemetry_budget=0.02)
    session = Session.create(
        store, model=model_config, training=thrifty, corpus=corpus,
        clock=partial(next, count(1_000_000_000.0)),  # whatever is timed takes at least a second
    )  # fmt: skip
    session.apply(ScheduleSamples(schedule=replace_every(1)), source="rest")
    list(islice(session, 12))
    assert steps(store, session.run_id) == [1]
    said = store.all_events(session.run_id, kinds=("telemetry_thinned",))
    intervals = {name: event.payload[name] for event in said for name in event.payload if "interval" in name}
    assert intervals["sample_interval"] > 60
    assert intervals["probe_interval"] > 60


def replace_every(steps: int) -> SampleSchedule:
    return SCHEDULE.model_copy(update={"every": steps})


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"max_new_bytes": 1025}, {"temperature": 6.0}, {"top_p": 0.0}, {"seed": -1}]
)
def test_a_wrong_schedule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SampleSchedule(**{"every": 10, **wrong})


def test_samples_that_wait_are_written_with_the_next_event(begin: Callable[..., Session]) -> None:
    session = begin()
    session.apply(ScheduleSamples(schedule=SCHEDULE), source="rest")
    session.step()
    assert session.store.samples.last_step(session.run_id) == 1
    session.record("training_paused", {})
    assert [sample.step for sample in session.store.samples.page(session.run_id)] == [1]
    session.store.drop_metrics_after(session.run_id, 0)
    assert session.store.samples.last_step(session.run_id) == -1
