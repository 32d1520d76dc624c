"""Letters to whoever trains a run: posted by those who only watch it, done between two steps, answered.

A letter is a row of the store. The process that trains holds a lock for as long as it looks for letters, so
that nobody waits for an answer that cannot come. It takes a letter before it does what is asked, so that each
is either done or withdrawn by whoever posted it, and not both.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from bitlm.errors import BitLMError, ChangedMeanwhileError, UnansweredError, UnattendedError
from bitlm.session.database import Database
from bitlm.session.events import Event, Source
from bitlm.session.letters import (
    ANSWER,
    WISH,
    Done,
    Letter,
    Refusal,
    SaveCheckpoint,
    StopTraining,
    Wish,
    seen_in,
)
from bitlm.session.run_lock import RunLock, holder
from bitlm.session.session import Session
from bitlm.session.steering import save_by_hand, steer
from bitlm.session.store import RunStore
from bitlm.version import VERSION

LOCK_NAME = "mailbox"
"""In the run's folder; held by who looks for letters."""

LOOK_INTERVAL_S = 0.25
"""Shortest time between two looks for letters."""

POLL_S = 0.02
"""How long whoever waits for an answer sleeps between two looks."""

PATIENCE_S = 30.0
"""How long that goes on: a step of a large model takes seconds."""

Item = TypeVar("Item")


class Mailbox:
    """The letters of a data folder, on connections of their own; any thread may use it."""

    def __init__(self, store: RunStore) -> None:
        self._database = Database(store.data_dir)
        self._run_dir = store.run_dir

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def is_attended(self, run_id: str) -> bool:
        """Return whether somebody trains the run and looks for letters."""
        return holder(self._run_dir(run_id), LOCK_NAME) is not None

    # Who asks

    def ask(
        self, run_id: str, wish: Wish, *, source: Source, seen: Mapping[str, Any], patience_s: float
    ) -> Done:
        """Post a letter and return what became of it; what is refused is raised.

        Args:
            run_id: The run.
            wish: What is to be done.
            source: Who asks.
            seen: As a letter's.
            patience_s: After so long it is withdrawn; once it is being done, that gets as long again.

        Raises:
            UnattendedError: Nobody trains the run, or not any more by the time of the next look.
            UnansweredError: There was no look in time, or the process that trains ended while it did this.
        """
        self._require_attended(run_id)
        letter_id = self.post(run_id, wish, source=source, seen=seen)
        deadline = time.monotonic() + patience_s
        while True:
            has_left = not self.is_attended(run_id)  # first: an answer given before that must not be missed
            answer = self.answer_to(letter_id)
            if answer is not None:
                return answer
            late_s = time.monotonic() - deadline
            if (has_left or late_s > 0) and self._withdraw(letter_id):
                self._require_attended(run_id)
                raise UnansweredError(
                    f"whoever trains run {run_id!r} did not answer within {patience_s:g} s: this is "
                    "withdrawn, and nothing was changed; repeat it once steps go on."
                )
            if has_left or late_s > patience_s:
                raise UnansweredError(_undecided(run_id))
            time.sleep(POLL_S)

    def post(self, run_id: str, wish: Wish, *, source: Source, seen: Mapping[str, Any]) -> int:
        """Leave a letter and return its number; it is on the disk when this returns."""
        row = (run_id, time.time(), source, WISH.dump_json(wish).decode(), json.dumps(seen))
        insert = "INSERT INTO letters (run_id, at, source, wish, seen) VALUES (?, ?, ?, ?, ?)"
        with self._database.writing() as writer:
            return writer.execute(insert, row).lastrowid or 0

    def answer_to(self, letter_id: int) -> Done | None:
        """Return what became of a letter, or None while that is open; what is refused is raised."""
        query = "SELECT answer FROM letters WHERE letter_id = ? AND answer IS NOT NULL"
        with self._database.reading() as reader:
            row = reader.execute(query, (letter_id,)).fetchone()
        if row is None:
            return None
        answer = ANSWER.validate_json(row["answer"])
        if isinstance(answer, Refusal):
            raise answer.to_raise()
        return answer

    def _withdraw(self, letter_id: int) -> bool:
        """Take a letter back; return whether that was in time."""
        with self._database.writing() as writer:
            done = writer.execute("DELETE FROM letters WHERE letter_id = ? AND NOT taken", (letter_id,))
            return done.rowcount == 1

    def _require_attended(self, run_id: str) -> None:
        if self.is_attended(run_id):
            return
        writer = holder(self._run_dir(run_id))
        if writer is None:
            fix = f"`bitlm train --run {run_id}` goes on with it."
            raise UnattendedError(f"nobody trains run {run_id!r}, so there is nobody to ask; {fix}")
        raise UnattendedError(
            f"{writer} has run {run_id!r} and takes no letters: ask a service at its own address, and a "
            "command once it does steps again."
        )

    # Who trains

    def begin(self, run_id: str) -> None:
        """Answer the letters that are left over from before that nothing comes of them now."""
        late = UnattendedError(
            f"not applied: whoever trained run {run_id!r} when this was asked has ended; ask again."
        )
        with self._database.writing() as writer:
            for is_taken, error in enumerate((late, UnansweredError(_undecided(run_id)))):
                answer = Refusal.of(error).model_dump_json()
                writer.execute(
                    "UPDATE letters SET answer = ? WHERE run_id = ? AND taken = ? AND answer IS NULL",
                    (answer, run_id, is_taken),
                )

    def waiting(self, run_id: str) -> list[Letter]:
        """Return the letters that nobody has taken yet, the oldest first."""
        query = (
            "SELECT letter_id, source, wish, seen FROM letters "
            "WHERE run_id = ? AND answer IS NULL AND NOT taken ORDER BY letter_id"
        )
        with self._database.reading() as reader:
            rows = reader.execute(query, (run_id,)).fetchall()
        return [
            Letter(letter_id, source, _read(wish), json.loads(seen)) for letter_id, source, wish, seen in rows
        ]

    def take(self, letter: Letter) -> bool:
        """Begin to do what a letter asks; return whether it is still there and not withdrawn."""
        with self._database.writing() as writer:
            done = writer.execute("UPDATE letters SET taken = 1 WHERE letter_id = ?", (letter.letter_id,))
            return done.rowcount == 1

    def reply(self, letter: Letter, answer: Done | Refusal) -> None:
        """Answer a letter."""
        row = (answer.model_dump_json(), letter.letter_id)
        with self._database.writing() as writer:
            writer.execute("UPDATE letters SET answer = ? WHERE letter_id = ?", row)


class Attendance:
    """What whoever trains a run does about its letters; `attended` begins with it.

    Attributes:
        stopped_by: Who asked for training to end, or None.
    """

    def __init__(
        self, session: Session, mailbox: Mailbox, *, interval_s: float, clock: Callable[[], float]
    ) -> None:
        self.stopped_by: Source | None = None
        self._session = session
        self._mailbox = mailbox
        self._interval_s = interval_s
        self._clock = clock
        self._looked_at = clock()
        self._stop: Letter | None = None

    def until_stopped(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, one for each step, up to the one after which training is to end; look between them."""
        for item in items:
            yield item
            if self._clock() - self._looked_at >= self._interval_s:
                self._looked_at = self._clock()
                self.look()
            if self.stopped_by is not None:
                return

    def look(self) -> None:
        """Do what letters ask for, in their order, and answer them; nothing where an alert ends training."""
        if self._session.interruption is not None:
            return
        for letter in self._mailbox.waiting(self._session.run_id):
            if not self._mailbox.take(letter):
                continue
            if isinstance(letter.wish, StopTraining):
                self.stopped_by, self._stop = letter.source, letter
                return
            self._mailbox.reply(letter, self._answer(letter))

    def _answer(self, letter: Letter) -> Done | Refusal:
        try:
            event = self._do(letter)
        except BitLMError as error:
            return Refusal.of(error)
        return Done(step=self._session.step_count, event_id=event.event_id if event else None)

    def _do(self, letter: Letter) -> Event | None:
        wish, session = letter.wish, self._session
        if wish is None:
            raise BitLMError(
                f"BitLM {VERSION}, which trains run {session.run_id!r}, does not know what is asked; let who "
                "watches and who trains be of one version."
            )
        if letter.seen and letter.seen != seen_in(session, wish):
            raise ChangedMeanwhileError
        if isinstance(wish, SaveCheckpoint):
            return save_by_hand(session, wish.name, source=letter.source)
        assert not isinstance(wish, StopTraining), "the caller ends training"
        return steer(session, wish, source=letter.source)

    def answer_stop(self) -> None:
        """Answer whoever asked for training to end: what there is to say of it stands in the journal."""
        if self._stop is not None:
            event_id = self._session.store.last_event_id(self._session.run_id)
            self._mailbox.reply(self._stop, Done(step=self._session.step_count, event_id=event_id))


@contextmanager
def attended(
    session: Session, *, interval_s: float = LOOK_INTERVAL_S, clock: Callable[[], float] = time.monotonic
) -> Iterator[Attendance]:
    """Let a run that is trained here be steered by letters, as long as this lasts.

    Letters that are left over from another process are refused. Afterwards nobody looks for any, which is
    noticed by whoever waits.
    """
    with closing(Mailbox(session.store)) as mailbox:
        mailbox.begin(session.run_id)  # what is posted once others see the lock is not left over
        lock = RunLock(session.store.run_dir(session.run_id), LOCK_NAME)
        try:
            attendance = Attendance(session, mailbox, interval_s=interval_s, clock=clock)
            yield attendance
            attendance.answer_stop()
        finally:
            lock.release()


def _read(wish: str) -> Wish | None:
    try:
        return WISH.validate_json(wish)
    except ValidationError:  # another version's, which must not end a training: it is refused
        return None


def _undecided(run_id: str) -> str:
    return (
        f"whoever trains run {run_id!r} began with this and did not say that it is done; the run's events "
        "tell whether it was."
    )
