"""Before and after an event of a run, and of a branch's past."""

from itertools import islice
from typing import Any

import pytest

from bitlm.data import Corpus
from bitlm.errors import JournalError
from bitlm.history.branching import fork, twin
from bitlm.history.effects import EffectReport, change_steps, effect_of
from bitlm.model import ModelConfig
from bitlm.session import Event, RunStore, Session, SetTelemetry
from bitlm.telemetry import effect
from bitlm.training import TrainingConfig

TEXT = b"a text of its own, a text of its own" * 4


@pytest.fixture(scope="module")
def run_id(kept: RunStore, corpus: Corpus) -> str:
    """A run of 50 steps: λ_K at 20, its own text at 31 and 32, λ_C at 40; checkpoints at 0, 10, …"""
    model = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)
    training = TrainingConfig(
        batch_size=2, warmup_steps=4, validation_interval=5, probe_interval=8, checkpoint_interval=10
    )
    run = Session.create(kept, model=model, training=training, corpus=corpus, seed=1)
    list(islice(run, 20))
    run.apply(SetTelemetry(lambda_K=0.5), source="ui")
    list(islice(run, 10))
    run.request_steps(2, TEXT, source="rest")
    list(islice(run, 10))
    run.apply(SetTelemetry(lambda_C=0.1), source="ui")
    list(islice(run, 10))
    run.record("drift_alert", {"metric": "K", "before": 0.1, "after": 0.5, "since": 44})
    run.close()
    return run.run_id


def events(store: RunStore, run_id: str, kind: str) -> list[Event]:
    return [event for event in store.all_events(run_id) if event.kind == kind]


def steps_of(found: EffectReport, column: str) -> tuple[Any, ...]:
    one = found.quantities[column]
    assert one.before is not None
    assert one.after is not None
    return one.before.first_step, one.before.last_step, one.after.first_step, one.after.last_step


def test_the_windows_end_at_the_changes_next_to_it(kept: RunStore, run_id: str) -> None:
    """Twenty steps before make five batches of four; of the ten after it nine make three of three."""
    first, second = events(kept, run_id, "telemetry_changed")
    found = effect_of(kept, run_id, first.event_id)
    assert (found.step, found.since, found.until) == (20, -1, 30)
    assert steps_of(found, "bits_per_byte") == (1, 20, 21, 29)
    assert steps_of(found, "validation_bits_per_byte") == (5, 20, 25, 30)
    later = effect_of(kept, run_id, second.event_id)
    assert (later.since, later.until) == (32, None), "what comes before is the corpus again, from 32 on"
    assert steps_of(later, "K") == (33, 40, 41, 49)


def test_it_is_the_effect_of_the_very_values(kept: RunStore, run_id: str) -> None:
    K = kept.metrics(run_id)["K"]
    points = list(enumerate(K, start=1))
    found = effect_of(kept, run_id, events(kept, run_id, "telemetry_changed")[0].event_id)
    assert found.quantities["K"] == effect(points[:20], points[20:30])


def test_an_alert_divides_where_it_says_that_all_was_still_well(kept: RunStore, run_id: str) -> None:
    alert = events(kept, run_id, "drift_alert")[0]
    found = effect_of(kept, run_id, alert.event_id)
    assert (found.step, found.since, found.until) == (44, 40, None)


def test_before_a_fork_is_what_it_did_as_its_parent(kept: RunStore, run_id: str) -> None:
    branch = fork(kept, run_id, step=30, settings={"learning_rate": 1e-4}, source="ui")
    session = Session.open(kept, branch)
    list(islice(session, 12))
    session.close()
    begun = events(kept, branch, "run_forked")[0]
    found = effect_of(kept, branch, begun.event_id)
    assert (found.step, found.since, found.until) == (30, 20, None)
    assert steps_of(found, "learning_rate") == (22, 30, 31, 42)
    ours = [value for step, value in kept.values(branch, "bits_per_byte") if 20 < step <= 30]
    assert ours == [value for step, value in kept.values(run_id, "bits_per_byte") if 20 < step <= 30]
    past = events(kept, run_id, "telemetry_changed")[0].event_id
    assert effect_of(kept, branch, past).quantities == effect_of(kept, run_id, past).quantities


def test_a_twin_divides_where_it_was_not_told_of_the_change(kept: RunStore, run_id: str) -> None:
    other = twin(kept, run_id, events(kept, run_id, "telemetry_changed")[0].event_id, source="ui")
    found = effect_of(kept, other, events(kept, other, "run_forked")[0].event_id)
    assert (found.step, found.since, found.until) == (20, -1, None)


def test_floors_alone_and_a_confirmed_setting_are_told_apart_from_nothing() -> None:
    def event(kind: Any, step: int, **payload: Any) -> Event:
        return Event(event_id=1, run_id="r", step=step, at=0.0, kind=kind, source="ui", payload=payload)

    told = [
        event("telemetry_changed", 1, changes=[{"field": "c_floor", "old": 0.3, "new": 0.4}]),
        event("telemetry_changed", 2, changes=[]),
        event("alert_action_changed", 3, old="notify", new="pause"),
        event("steps_requested", 4, steps=5),
        event("steps_requested", 6, steps=5, sha256="…", bytes=9),
        event("run_forked", 20, config_changes={}),
        event("run_forked", 21, config_changes={"seed": 2}),
        event("anneal_started", 30, steps=5, from_learning_rate=0.1),
        event("drift_alert", 40, metric="K"),
    ]
    assert change_steps(told) == {1, 6, 11, 21, 30}


def test_what_nothing_can_follow_from_is_refused(kept: RunStore, run_id: str) -> None:
    saved = events(kept, run_id, "checkpoint_saved")[0].event_id
    with pytest.raises(JournalError, match=f"event {saved} of run .* is no change, alert or beginning"):
        effect_of(kept, run_id, saved)
