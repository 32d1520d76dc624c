"""Letters to whoever trains a run: what they do, what is refused, what is left when somebody dies."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bitlm.data import Corpus
from bitlm.errors import (
    BitLMError,
    ChangedMeanwhileError,
    ConfigError,
    JournalError,
    UnansweredError,
    UnattendedError,
)
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import (
    Anneal,
    Command,
    RunStore,
    SampleSchedule,
    ScheduleSamples,
    Session,
    SetAlertAction,
    SetTelemetry,
)
from bitlm.session.letters import SaveCheckpoint, StopTraining, Wish, seen_in
from bitlm.session.mailbox import LOCK_NAME, Mailbox, attended
from bitlm.session.run_lock import RunLock
from bitlm.training import TrainingConfig
from tests.conftest import WaitUntil

MODEL = ModelConfig(d_model=8, nhead=2, num_layers=1, dim_feedforward=16, max_seq_len=64)
TRAINING = TrainingConfig(batch_size=1, telemetry_budget=1.0)
TEXT = Corpus("a text", b"some text to learn " * 40)
COMMANDS: tuple[Command, ...] = (
    SetTelemetry(lambda_K=0.25, c_floor=0.1),
    SetAlertAction(action="pause"),
    ScheduleSamples(schedule=SampleSchedule(every=2, max_new_bytes=4)),
    Anneal(steps=3),
)
WISHES: tuple[Wish, ...] = (*COMMANDS, SaveCheckpoint(name="by letter"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path_factory.mktemp("data"))) as made:
        yield made


@pytest.fixture(scope="module")
def mailbox(store: RunStore) -> Iterator[Mailbox]:
    """As another process has it, which may not write in the store otherwise."""
    with closing(RunStore(store.data_dir, read_only=True)) as reader, closing(Mailbox(reader)) as made:
        yield made


@pytest.fixture
def run(store: RunStore) -> Iterator[Session]:
    with closing(new_run(store)) as session:
        yield session


def new_run(store: RunStore) -> Session:
    return Session.create(store, model=MODEL, training=TRAINING, corpus=TEXT)


def post(mailbox: Mailbox, run: Session, wish: Wish, **seen: Any) -> int:
    return mailbox.post(run.run_id, wish, source="ui", seen=seen)


def journal(store: RunStore, run: Session) -> list[tuple[int, str, str, dict[str, Any]]]:
    """What happened to a run, by what it was: neither when, nor where its files are."""
    return [
        (
            one.step,
            one.kind,
            one.source,
            {name: value for name, value in one.payload.items() if name != "path"},
        )
        for one in store.all_events(run.run_id)
    ]


def test_what_is_asked_by_letter_is_the_same_journal_and_the_same_bits_as_asked_directly(
    store: RunStore, mailbox: Mailbox, run: Session
) -> None:
    letters: list[int] = []
    with attended(run, interval_s=0) as attendance:
        for event in attendance.until_stopped(run):
            if event.step <= len(WISHES):
                letters.append(post(mailbox, run, WISHES[event.step - 1]))
            if event.step == 7:
                letters.append(post(mailbox, run, StopTraining()))
        assert (run.step_count, attendance.stopped_by) == (7, "ui")
        assert mailbox.answer_to(letters[-1]) is None
        ended = run.record("training_stopped", {}, source="ui")
    run.save()
    with closing(new_run(store)) as other:
        for event in islice(other, 7):
            if event.step == 5:
                other.checkpoint("by letter", source="ui")
            elif event.step < 5:
                other.apply(COMMANDS[event.step - 1], source="ui")
        other.record("training_stopped", {}, source="ui")
        other.save()
        assert journal(store, run) == journal(store, other)  # which hold the hashes of all weights
    answers = [mailbox.answer_to(letter) for letter in letters]
    told = {event.event_id: event.kind for event in store.all_events(run.run_id)}
    assert [told[answer.event_id or 0] for answer in answers if answer] == [
        "telemetry_changed",
        "alert_action_changed",
        "samples_scheduled",
        "anneal_started",
        "checkpoint_saved",
        ended.kind,
    ]
    assert Replay(store, run.run_id).all().same


def test_what_cannot_be_is_refused_in_the_words_of_whoever_asks_directly(
    mailbox: Mailbox, run: Session
) -> None:
    run.apply(Anneal(steps=1), source="cli")
    run.step()
    event_id = run.store.last_event_id(run.run_id)
    with attended(run) as attendance:
        causal, fall, same, stale = (
            post(mailbox, run, SetTelemetry(causal_share=0.5)),
            post(mailbox, run, Anneal(steps=4)),
            post(mailbox, run, SetAlertAction(action="notify")),
            post(mailbox, run, SetTelemetry(lambda_K=0.5), telemetry={"lambda_K": 0.75}),
        )
        attendance.look()
    with pytest.raises(ConfigError) as refused:
        mailbox.answer_to(causal)
    with pytest.raises(ConfigError) as directly:
        run.apply(SetTelemetry(causal_share=0.5), source="ui")
    assert str(refused.value) == str(directly.value)
    assert vars(refused.value) == vars(directly.value)
    with pytest.raises(JournalError, match="has fallen already; fork it from a checkpoint up to step 0"):
        mailbox.answer_to(fall)
    with pytest.raises(ChangedMeanwhileError):
        mailbox.answer_to(stale)
    answer = mailbox.answer_to(same)
    assert answer is not None
    assert answer.event_id is None
    assert run.store.last_event_id(run.run_id) == event_id


def test_a_wish_holds_where_what_it_changes_is_as_it_was_seen(mailbox: Mailbox, run: Session) -> None:
    wish = SetTelemetry(lambda_K=0.5)
    with attended(run) as attendance:
        letter = post(mailbox, run, wish, **seen_in(run, wish))
        run.apply(SetAlertAction(action="pause"), source="cli")
        attendance.look()
    assert mailbox.answer_to(letter) is not None
    assert run.telemetry.lambda_K == 0.5


def test_letters_are_looked_for_a_few_times_a_second(mailbox: Mailbox, run: Session) -> None:
    times = iter([0.0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5])
    with attended(run, interval_s=0.25, clock=lambda: next(times)) as attendance:
        post(mailbox, run, SetTelemetry(lambda_K=0.5))
        seen = [run.telemetry.lambda_K for _ in attendance.until_stopped(range(5))]
    assert seen == [0.0, 0.0, 0.0, 0.5, 0.5]


def test_nobody_waits_for_who_does_not_look(mailbox: Mailbox, run: Session) -> None:
    def refused() -> str:
        with pytest.raises(UnattendedError) as error:
            mailbox.ask(run.run_id, StopTraining(), source="ui", seen={}, patience_s=60)
        return str(error.value)

    assert "takes no letters: ask a service at its own address" in refused()
    run.close()
    assert refused() == (
        f"nobody trains run '{run.run_id}', so there is nobody to ask; `bitlm train --run {run.run_id}` goes "
        "on with it."
    )
    assert mailbox.waiting(run.run_id) == []


def test_a_letter_that_nobody_answers_is_withdrawn_and_never_done(mailbox: Mailbox, run: Session) -> None:
    with attended(run) as attendance:
        with pytest.raises(UnansweredError, match=r"within 0\.1 s: this is withdrawn, and nothing was chan"):
            mailbox.ask(run.run_id, SetTelemetry(lambda_K=1), source="ui", seen={}, patience_s=0.1)
        attendance.look()
    assert run.telemetry.lambda_K == 0.0


def test_a_letter_that_was_begun_with_is_waited_for_twice_as_long_and_never_said_to_be_withdrawn(
    mailbox: Mailbox, run: Session, wait_until: WaitUntil
) -> None:
    caught: list[str] = []

    def ask() -> None:
        with pytest.raises(UnansweredError) as error:
            mailbox.ask(run.run_id, SetTelemetry(lambda_K=1), source="ui", seen={}, patience_s=0.5)
        caught.append(str(error.value))

    with attended(run):
        asker = Thread(target=ask)
        asker.start()
        assert mailbox.take(wait_until(lambda: mailbox.waiting(run.run_id))[0])
        asker.join()
    assert caught[0].endswith("did not say that it is done; the run's events tell whether it was.")


def test_letters_to_a_process_that_died_are_refused_by_the_next_and_not_applied(
    mailbox: Mailbox, run: Session
) -> None:
    dead = RunLock(run.store.run_dir(run.run_id), LOCK_NAME)
    waiting, begun = (post(mailbox, run, SetTelemetry(lambda_K=value)) for value in (0.5, 0.75))
    assert mailbox.take(mailbox.waiting(run.run_id)[1])
    dead.release()
    with attended(run) as attendance:
        attendance.look()
    with pytest.raises(UnattendedError, match=r"not applied: whoever trained run .* has ended; ask again"):
        mailbox.answer_to(waiting)
    with pytest.raises(UnansweredError, match="the run's events tell whether it was"):
        mailbox.answer_to(begun)
    assert run.telemetry.lambda_K == 0.0


def test_a_letter_that_is_posted_as_soon_as_somebody_looks_is_not_taken_for_left_over(
    mailbox: Mailbox, run: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, seen = Mailbox.begin, list[bool]()

    def observed(self: Mailbox, run_id: str) -> None:
        seen.append(mailbox.is_attended(run_id))
        begin(self, run_id)

    monkeypatch.setattr(Mailbox, "begin", observed)
    with attended(run):
        assert mailbox.is_attended(run.run_id)
    assert seen == [False], "whoever saw the lock could post, and be refused"


def test_what_another_version_asks_for_is_refused_and_ends_no_training(
    mailbox: Mailbox, run: Session
) -> None:
    with attended(run) as attendance:
        unknown, known = post(mailbox, run, StopTraining()), post(mailbox, run, SetTelemetry(lambda_K=0.5))
        with mailbox._database.writing() as writer:
            writer.execute("UPDATE letters SET wish = ? WHERE letter_id = ?", ('{"kind": "sing"}', unknown))
        attendance.look()
    with pytest.raises(BitLMError, match=r"does not know what is asked; let .* be of one version"):
        mailbox.answer_to(unknown)
    assert mailbox.answer_to(known) is not None
    assert run.telemetry.lambda_K == 0.5


def test_letters_go_with_their_run(store: RunStore, mailbox: Mailbox, run: Session) -> None:
    post(mailbox, run, StopTraining())
    run.close()
    store.delete_run(run.run_id)
    assert mailbox.waiting(run.run_id) == []
    assert not Path(store.run_dir(run.run_id)).exists()
