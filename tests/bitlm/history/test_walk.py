from dataclasses import replace
from itertools import islice

import pytest
import torch

from bitlm.data import Corpus
from bitlm.history.walk import Comparison, Mark, journal_of, marks_of, retrace, walk
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import Anneal, Event, RunStore, Session, SetTelemetry
from bitlm.session.checkpoint import StateHashes
from bitlm.session.learner import Learner
from bitlm.training import TrainingConfig


@pytest.fixture
def session(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> Session:
    """A run of 16 steps with every kind of entry in its journal and checkpoints at 0, 6, 10 and 16."""
    run = Session.create(store, model=model_config, training=training_config, corpus=corpus, seed=1)
    list(islice(run, 4))
    run.apply(SetTelemetry(lambda_K=0.3), source="ui")
    list(islice(run, 2))
    run.checkpoint("by hand")
    run.request_steps(3, b"a text of its own, a text of its own" * 4, source="rest")
    list(islice(run, 1))
    run.end_request("paused")
    run.apply(Anneal(steps=8), source="cli")
    list(islice(run, 9))
    run.checkpoint()
    run.close()
    return run


def learner_of(session: Session) -> Learner:
    return Learner(session.config, session.corpus, ReferenceModel.fit(session.corpus.train))


def events_of(session: Session) -> list[Event]:
    return session.store.all_events(session.run_id)


def compare(session: Session, journal: list[Event], marks: list[Mark], until: int = 16) -> list[Comparison]:
    return list(walk(learner_of(session), journal, session.store.data, marks, until=until))


def test_the_journal_followed_from_the_seed_gives_every_checkpoint_to_the_last_bit(session: Session) -> None:
    events = events_of(session)
    assert [event.kind for event in journal_of(events)] == [
        "telemetry_changed",
        "steps_requested",
        "steps_ended",
        "anneal_started",
    ]
    found = compare(session, journal_of(events), marks_of(events))
    assert [(one.step, one.same) for one in found] == [(0, True), (6, True), (10, True), (16, True)]


@pytest.mark.parametrize(("left_out", "first"), [(0, 6), (1, 10), (2, 10), (3, 10)])
def test_no_entry_of_the_journal_can_be_left_out_unnoticed(
    session: Session, left_out: int, first: int
) -> None:
    events = events_of(session)
    journal = journal_of(events)
    del journal[left_out]
    found = compare(session, journal, marks_of(events))
    assert next(one.step for one in found if not one.same) == first


def test_a_walk_goes_on_from_a_checkpoint_in_the_middle_with_what_came_after_it(session: Session) -> None:
    events = events_of(session)
    record = session.store.checkpoints.at(session.run_id, 6)
    learner = learner_of(session)
    learner.restore(session.store.checkpoints.load(record), session.store.data)
    later = journal_of(events, after=record.event_id)
    marks = marks_of(events, after=record.event_id)
    found = list(walk(learner, later, session.store.data, marks, until=16))
    assert [(one.step, one.same) for one in found] == [(10, True), (16, True)]


def test_a_walk_ends_where_it_is_told_and_tells_every_step(session: Session) -> None:
    events = events_of(session)
    told: list[tuple[int, int]] = []
    marks = marks_of(events)
    learner = learner_of(session)
    found = walk(
        learner,
        journal_of(events),
        session.store.data,
        marks,
        until=8,
        progress=lambda *now: told.append(now),
    )
    assert [one.step for one in found] == [0, 6]
    assert told == [(step, 8) for step in range(9)]
    assert learner.step_count == 8


def test_a_mark_that_says_otherwise_is_different_and_the_walk_goes_on(session: Session) -> None:
    events = events_of(session)
    marks = marks_of(events)
    wrong = replace(marks[1], expected=StateHashes("0" * 64, marks[1].expected.optimizer))
    found = compare(session, journal_of(events), [marks[0], wrong, marks[2]])
    assert [one.same for one in found] == [True, False, True]
    assert found[1].found == marks[1].expected


def test_marks_behind_a_step_that_is_not_finite_are_told_as_not_reached(session: Session) -> None:
    learner = learner_of(session)

    def break_at_step_7(step: int, until: int) -> None:
        if step == 7:
            with torch.no_grad():
                next(iter(learner.model.parameters())).fill_(float("nan"))

    events = events_of(session)
    found = walk(
        learner, journal_of(events), session.store.data, marks_of(events), until=16, progress=break_at_step_7
    )
    assert [(one.step, one.same, one.found is None) for one in found] == [
        (0, True, False),
        (6, True, False),
        (10, False, True),
        (16, False, True),
    ]
    assert learner.step_count == 7


def test_retracing_yields_each_step_with_what_it_measured(session: Session) -> None:
    journal = journal_of(events_of(session))
    losses = [u.result.loss for u in retrace(learner_of(session), journal, session.store.data, until=16)]
    assert losses == session.store.metrics(session.run_id)["loss"]
