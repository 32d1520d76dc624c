"""When a run is to grow, and which way: what a session says of it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from bitlm.data import Corpus
from bitlm.errors import ConfigError, JournalError
from bitlm.history.branching import fork, twin
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import Anneal, GrowthRule, RunStore, Session, SetGrowthRule, SetTelemetry
from bitlm.session.growing import growth_due, stop_growing
from bitlm.training import TrainingConfig

ALWAYS = GrowthRule(improve_thresh=9.0)
DUE_AT = 5
"""Steps with an estimate each, after which there are four gains to be less than that."""


@pytest.fixture
def begin(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Callable[..., Session]:
    def make(rule: GrowthRule | None = ALWAYS, *, dim_feedforward: int = 32, **training: Any) -> Session:
        model = replace(model_config, dim_feedforward=dim_feedforward)
        config = replace(training_config, validation_interval=1, **training)
        session = Session.create(store, model=model, training=config, corpus=corpus)
        if rule is not None:
            session.apply(SetGrowthRule(rule=rule), source="rest")
        return session

    return make


def due_after(session: Session, steps: int) -> list[str | None]:
    """Do so many steps, and return what was due after each."""
    return [growth_due(session) for _ in islice(session, steps)]


def test_a_run_is_due_once_it_stalls_and_as_often_as_it_is_asked(begin: Callable[..., Session]) -> None:
    session = begin()
    assert due_after(session, DUE_AT) == [None] * (DUE_AT - 1) + ["layer"]
    assert growth_due(session) == "layer"
    session.apply(SetGrowthRule(rule=None), source="rest")
    assert growth_due(session) is None


def test_a_larger_run_goes_on_by_the_same_rule_with_the_next_of_the_turn_and_both_are_replayed(
    begin: Callable[..., Session],
) -> None:
    session = begin()
    due_after(session, DUE_AT)
    session.save()
    session.close()
    larger = Session.open(
        session.store, fork(session.store, session.run_id, growth="layer", source="session")
    )
    assert larger.growth_rule == ALWAYS
    assert due_after(larger, DUE_AT)[-1] == "width"
    larger.save()
    larger.close()
    for run_id in (session.run_id, larger.run_id):
        assert Replay(session.store, run_id).all().same
    assert Session.open(session.store, larger.run_id).growth_rule == ALWAYS


def test_a_run_that_settles_and_one_without_a_rule_are_not_due(begin: Callable[..., Session]) -> None:
    settling, plain = begin(), begin(None)
    settling.apply(Anneal(steps=DUE_AT), source="rest")
    for session in (settling, plain):
        assert due_after(session, DUE_AT) == [None] * DUE_AT
    assert settling.growth_rule == ALWAYS


def test_a_twin_does_not_grow_while_it_repeats_its_original(begin: Callable[..., Session]) -> None:
    session = begin()
    change = session.apply(SetTelemetry(lambda_K=0.1), source="rest")
    due_after(session, DUE_AT)
    session.save()
    other = Session.open(session.store, twin(session.store, session.run_id, change.event_id, source="rest"))
    assert due_after(other, DUE_AT + 1) == [None] * DUE_AT + ["layer"]


def test_where_there_is_no_room_the_journal_says_so_and_it_is_not_asked_again(
    begin: Callable[..., Session],
) -> None:
    rule = GrowthRule(improve_thresh=9.0, most_memory_mb=1)
    session = begin(rule, dim_feedforward=2048)
    assert due_after(session, DUE_AT) == [None] * DUE_AT
    assert session.growth_rule is None
    session.close()
    told = session.store.all_events(session.run_id, kinds=("growth_rule_changed",))[-1]
    assert (told.source, told.payload["old"], told.payload["new"]) == ("session", rule.model_dump(), None)
    assert told.payload["reason"] == "no larger model fits 1 MB and this text"
    assert Session.open(session.store, session.run_id).growth_rule is None


def test_what_learns_for_few_bits_cannot_be_let_grow_nor_does_it_by_an_inherited_rule(
    begin: Callable[..., Session],
) -> None:
    with pytest.raises(ConfigError, match="grow the run without it"):
        begin(qat=True)
    session = begin()
    session.step()
    session.save()
    inherits = Session.open(
        session.store, fork(session.store, session.run_id, settings={"qat": True}, source="rest")
    )
    assert inherits.growth_rule == ALWAYS
    assert due_after(inherits, DUE_AT) == [None] * DUE_AT
    assert inherits.growth_rule is None


def test_without_a_rule_of_growth_a_twin_would_be_the_same(begin: Callable[..., Session]) -> None:
    session = begin()
    rule = session.store.all_events(session.run_id, kinds=("growth_rule_changed",))[0]
    with pytest.raises(JournalError, match="when the run goes on as a larger one"):
        twin(session.store, session.run_id, rule.event_id, source="rest")
    stop_growing(session, "enough")
    assert session.growth_rule is None
