from itertools import islice, pairwise
from typing import Any

import pytest

from bitlm.data import Corpus
from bitlm.errors import CheckpointError, ConfigError, JournalError
from bitlm.history.branching import fork, twin
from bitlm.history.comparison import compare, difference
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import Anneal, RunStore, Session, SetTelemetry
from bitlm.session.reference_file import REFERENCE_FILE
from bitlm.training import TrainingConfig


@pytest.fixture
def run_id(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> str:
    """A run of 26 steps: λ_K at 13, own text at 15 to 17, λ_K and a floor at 18, an anneal at 22."""
    session = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    walk(session, 13)
    session.apply(SetTelemetry(lambda_K=0.5), source="ui")
    walk(session, 2)
    session.request_steps(3, b"a text of one's own " * 20, source="rest")
    walk(session, 3)
    session.apply(SetTelemetry(lambda_K=0.2, c_floor=0.4), source="ui")
    walk(session, 4)
    session.apply(Anneal(steps=6), source="ui")
    walk(session, 4)
    session.close()
    return session.run_id


def walk(session: Session, steps: int) -> list[float]:
    return [event.loss for event in islice(session, steps)]


def train_to_its_end(store: RunStore, run_id: str) -> Session:
    session = Session.open(store, run_id)
    assert session.plan_ends_at is not None
    while session.step_count < session.plan_ends_at:
        session.step()
    session.close()
    return session


def column(store: RunStore, run_id: str, name: str) -> list[Any]:
    return store.metrics(run_id)[name]


def change(store: RunStore, run_id: str, kind: str, index: int = 0) -> int:
    return [event.event_id for event in store.all_events(run_id) if event.kind == kind][index]


def told(store: RunStore, run_id: str) -> list[tuple[int, str]]:
    kinds = ("telemetry_changed", "anneal_started", "steps_requested", "steps_ended")
    return [(event.step, event.kind) for event in store.all_events(run_id, kinds=kinds)]


def test_a_twin_is_the_same_up_to_the_change_and_another_run_after_it(store: RunStore, run_id: str) -> None:
    other = twin(store, run_id, change(store, run_id, "telemetry_changed"), source="rest")
    train_to_its_end(store, other)
    ours, theirs = column(store, run_id, "loss"), column(store, other, "loss")
    assert column(store, other, "step") == list(range(1, 27))
    assert ours[:14] == theirs[:14], "step 14 is computed with the weights of step 13, which are the same"
    assert all(a != b for a, b in zip(ours[14:], theirs[14:], strict=True))
    assert told(store, other) == told(store, run_id)[1:]
    found = compare(store, [run_id, other])
    assert (found.first_difference, found.compared_steps) == (15, 26)
    assert [(row.step, row.kind) for row in found.journal] == [(13, "telemetry_changed")]


def test_a_twin_without_any_difference_in_weights_is_the_run_again_bit_for_bit(
    store: RunStore, run_id: str
) -> None:
    """A floor steers the gate and not the weights, so a change of it alone changes no loss."""
    session = Session.open(store, run_id)
    session.apply(SetTelemetry(s_floor=0.1), source="ui")
    walk(session, 3)
    session.close()
    other = twin(store, run_id, change(store, run_id, "telemetry_changed", 2), source="rest")
    train_to_its_end(store, other)
    for name in ("loss", "K", "gradient_norm", "learning_rate", "bytes_seen", "validation_bits_per_byte"):
        assert column(store, other, name) == column(store, run_id, name)


def test_a_twin_does_something_else_in_the_changes_place(store: RunStore, run_id: str) -> None:
    event_id = change(store, run_id, "telemetry_changed")
    other = twin(store, run_id, event_id, instead={"lambda_K": 0.9}, source="rest")
    train_to_its_end(store, other)
    changes = [
        event.payload["changes"] for event in store.all_events(other) if event.kind == "telemetry_changed"
    ]
    assert changes[0] == [{"field": "lambda_K", "old": 0.0, "new": 0.9}]
    assert changes[1][0] == {"field": "lambda_K", "old": 0.9, "new": 0.2}
    assert column(store, other, "loss")[14] != column(store, run_id, "loss")[14]


def test_undoing_ends_where_the_change_was_with_the_weights_of_that_step(
    store: RunStore, run_id: str
) -> None:
    undone = twin(store, run_id, change(store, run_id, "anneal_started"), undo=True, source="ui")
    session = train_to_its_end(store, undone)
    assert session.step_count == 22
    assert session.annealing is None
    assert column(store, undone, "loss") == column(store, run_id, "loss")[:22]
    assert session.telemetry.lambda_K == 0.2


def test_leaving_a_text_out_trains_those_steps_on_the_corpus(store: RunStore, run_id: str) -> None:
    other = twin(store, run_id, change(store, run_id, "steps_requested"), source="rest")
    train_to_its_end(store, other)
    seen, ours = column(store, other, "bytes_seen"), column(store, run_id, "bytes_seen")
    window = store.run(run_id).config.model.window_bytes
    assert [after - before for before, after in pairwise(seen)] == [4 * window] * 25
    assert ours[:15] == seen[:15]


def test_a_request_and_its_key_stay_with_the_run_that_was_asked(store: RunStore, run_id: str) -> None:
    session = Session.open(store, run_id)
    session.request_steps(2, source="rest", asked={"idempotency_key": "a", "request_sha256": "f" * 64})
    walk(session, 2)
    session.close()
    other = train_to_its_end(store, twin(store, run_id, change(store, run_id, "anneal_started"), source="ui"))
    assert told(store, other.run_id)[-1] == (26, "steps_requested")
    assert [event.run_id for event in store.events_with_key("steps_requested", "a")] == [run_id]


def test_a_twin_that_is_killed_on_its_way_ends_as_if_it_had_not_been(store: RunStore, run_id: str) -> None:
    event_id = change(store, run_id, "telemetry_changed")
    whole, broken = (twin(store, run_id, event_id, source="rest") for _ in range(2))
    train_to_its_end(store, whole)
    for steps in (6, 1, 5):
        session = Session.open(store, broken)
        walk(session, steps)
        session.close()
    train_to_its_end(store, broken)
    assert column(store, broken, "loss") == column(store, whole, "loss")
    assert told(store, broken) == told(store, whole)


def test_a_fork_begins_with_the_weights_and_the_past_of_its_checkpoint(store: RunStore, run_id: str) -> None:
    branch = fork(store, run_id, step=20, source="cli")
    session = Session.open(store, branch)
    assert (session.step_count, session.telemetry.lambda_K) == (20, 0.2)
    assert column(store, branch, "loss") == column(store, run_id, "loss")[:20]
    assert walk(session, 2) == column(store, run_id, "loss")[20:22]
    session.close()


def test_a_fork_can_change_how_it_is_trained_and_a_new_rate_ends_an_anneal(
    store: RunStore, run_id: str
) -> None:
    branch = fork(store, run_id, settings={"learning_rate": 1e-3, "seed": 5}, source="cli")
    session = Session.open(store, branch)
    assert session.step().learning_rate == 1e-3
    assert session.config.seed == 5
    assert store.run(branch).origin.config_changes == {"learning_rate": 1e-3, "seed": 5}  # type: ignore[union-attr] # a branch
    session.close()


def test_the_threshold_can_be_chosen_after_training_and_whether_positions_halt_cannot(
    store: RunStore, run_id: str
) -> None:
    branch = fork(store, run_id, settings={"act_threshold": 0.2}, source="cli")
    assert store.run(branch).config.model.act_threshold == 0.2
    with pytest.raises(ConfigError, match=r"use_act=True: a fork can change .*act_threshold.*new run"):
        fork(store, run_id, settings={"use_act": True}, source="cli")


def test_what_a_fork_cannot_change_is_refused_with_what_it_can(store: RunStore, run_id: str) -> None:
    with pytest.raises(
        ConfigError, match=r"d_model=32: a fork can change accumulation_steps, autocast, batch_size.*new run"
    ):
        fork(store, run_id, settings={"d_model": 32}, source="cli")
    with pytest.raises(ConfigError, match="batch_size"):
        fork(store, run_id, settings={"batch_size": -1}, source="cli")
    with pytest.raises(ConfigError, match=r"reference_bytes=100: a fork can change .*new run"):
        fork(store, run_id, settings={"reference_bytes": 100}, source="cli")
    assert len(store.runs()) == 1


def test_a_fork_counts_the_text_again_if_its_parents_counts_are_gone(store: RunStore, run_id: str) -> None:
    counts = (store.run_dir(run_id) / REFERENCE_FILE).read_bytes()
    (store.run_dir(run_id) / REFERENCE_FILE).unlink()
    branch = fork(store, run_id, source="cli")
    assert (store.run_dir(branch) / REFERENCE_FILE).read_bytes() == counts


def test_a_checkpoint_that_is_not_there_is_refused_with_those_there_are(store: RunStore, run_id: str) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 7; it has .*20, 10, 0"):
        fork(store, run_id, step=7, source="cli")


def test_only_a_change_can_be_left_out(store: RunStore, run_id: str) -> None:
    created = change(store, run_id, "run_created")
    with pytest.raises(JournalError, match=f"event {created} is not a change"):
        twin(store, run_id, created, source="rest")
    event_id = change(store, run_id, "telemetry_changed")
    with pytest.raises(ConfigError, match="lambda_K=7"):
        twin(store, run_id, event_id, instead={"lambda_K": 7}, source="rest")
    assert len(store.runs()) == 1


def test_a_branch_is_replayed_from_the_checkpoint_it_began_at(store: RunStore, run_id: str) -> None:
    other = twin(store, run_id, change(store, run_id, "telemetry_changed", 1), source="rest")
    train_to_its_end(store, other)
    again = Replay(store, other).all()
    assert (again.from_step, again.until) == (10, 26)
    assert again.same
    assert [comparison.step for comparison in again.comparisons] == [20]


def test_what_a_change_did_is_the_difference_step_for_step(store: RunStore, run_id: str) -> None:
    other = twin(store, run_id, change(store, run_id, "telemetry_changed"), source="rest")
    train_to_its_end(store, other)
    ours, theirs = column(store, other, "bits_per_byte"), column(store, run_id, "bits_per_byte")
    plain = [a - b for a, b in zip(ours, theirs, strict=True)]
    found = difference(store, other, run_id, max_points=100)
    assert found.training["step"] == list(range(1, 27))
    assert found.training["mean"] == plain
    assert (found.first_difference, found.compared_steps) == (15, 26)
    assert found.mean == pytest.approx(sum(plain[14:]) / 12)
    assert set(plain[:14]) == {0.0}
    stretches = difference(store, other, run_id, max_points=4).training
    assert stretches["step"] == [7, 14, 21, 26]
    assert stretches["low"][2] == min(plain[14:21])
    assert stretches["high"][3] == max(plain[21:])
    assert found.validation["step"] == [5, 10, 15, 20, 25]
    assert found.validation["difference"][:2] == [0.0, 0.0]
    assert found.validation["difference"][3] != 0.0
    with pytest.raises(ConfigError, match="another run"):
        difference(store, other, other, max_points=4)
