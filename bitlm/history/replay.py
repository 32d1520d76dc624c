"""Doing a run again, to see that it is what its journal says: every saved hash must come out again."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

from bitlm.data import Corpus
from bitlm.errors import CheckpointError, JournalError
from bitlm.history.walk import Comparison, Mark, Progress, journal_of, marks_of, walk
from bitlm.reference import ReferenceModel
from bitlm.session import Event, RunRecord, RunStore
from bitlm.session.checkpoint_table import CheckpointRecord
from bitlm.session.durability import unobserved
from bitlm.session.learner import Learner
from bitlm.session.reference_file import read_reference
from bitlm.version import VERSION


@dataclass(frozen=True)
class Stretch:
    """A stretch of a run that can be done again.

    Attributes:
        start: The checkpoint to begin from; None for step 0.
        marks: What was saved on the way, to be compared; at least one.
        until: The step to end with.
    """

    start: CheckpointRecord | None
    marks: tuple[Mark, ...]
    until: int


@dataclass(frozen=True)
class Replayed:
    """A stretch of a run that was done again.

    Attributes:
        from_step: Where it began: 0, a branch's first checkpoint, or one on the disk.
        until: Where it ended.
        comparisons: One for each checkpoint on the way, whether or not its files are still there.
    """

    from_step: int
    until: int
    comparisons: tuple[Comparison, ...]

    @property
    def same(self) -> bool:
        """Whether every checkpoint's weights and optimizer came out again to the last bit."""
        return all(comparison.same for comparison in self.comparisons)


class Replay:
    """Does a run again, beside it: nothing is written.

    Attributes:
        record: The run.
        version_differs: Whether another version of BitLM made it, which may round differently.
    """

    def __init__(self, store: RunStore, run_id: str) -> None:
        """Read what the run was told.

        Raises:
            RunNotFoundError: There is no such run.
        """
        store.flush()
        self.record: RunRecord = store.run(run_id)
        self.version_differs = self.record.config.version != VERSION
        self._store = store
        self._events: list[Event] = store.all_events(run_id)

    def whole(self, until: int | None = None) -> Stretch:
        """Return what `all` does again.

        Raises:
            JournalError: There is nothing to do again up to there, or nothing to compare it with.
            CheckpointError: It is a branch, and the checkpoint it began at was deleted.
        """
        start = self._beginning()
        last = self._store.last_known_step(self.record.run_id)
        until = last if until is None else min(until, last)
        began = start.step if start else 0
        if until < began:
            raise JournalError(
                f"run {self.record.run_id!r} begins at step {began}: nothing to replay up to {until}."
            )
        marks = self._marks(start, until)
        if not marks:
            raise JournalError(
                f"run {self.record.run_id!r} has saved nothing of its own from step {began} to {until} to "
                "compare with; train it on, save a checkpoint, then replay."
            )
        return Stretch(start, tuple(marks), until)

    def all(self, *, until: int | None = None, progress: Progress = unobserved) -> Replayed:
        """Do the run again from its beginning, up to `until` or its last step.

        Raises:
            JournalError: As `whole`.
            CheckpointError: As `whole`, or the checkpoint that it began at is damaged.
            CorpusError: Its text is missing or was changed.
        """
        return self._done_again(self.whole(until), progress)

    def random_stretches(
        self, count: int, *, seed: int = 0, progress: Progress = unobserved
    ) -> Iterator[Replayed]:
        """Do `count` random stretches again, each from a checkpoint on the disk to the next one saved.

        Raises:
            JournalError: No two checkpoints follow each other.
            CorpusError: As `all`.
        """
        stretches: dict[int, Stretch] = {}
        for start in self._starts():
            began = start.step if start else 0
            later = [mark for mark in self._marks(start, None) if mark.step > began]
            if later:
                stretches.setdefault(began, Stretch(start, (later[0],), later[0].step))
        if not stretches:
            raise JournalError(
                f"run {self.record.run_id!r} has no stretch between two checkpoints yet; train it on."
            )
        chosen = Random(seed).sample(list(stretches.values()), min(count, len(stretches)))  # noqa: S311 - a choice, not a secret
        for stretch in chosen:
            yield self._done_again(stretch, progress)

    def _starts(self) -> list[CheckpointRecord | None]:
        """Return where a stretch can begin: the checkpoints on the disk, and step 0 of what is no branch."""
        good = [record for record in self._store.checkpoints.of(self.record.run_id) if record.state == "good"]
        return [*good] if self.record.origin is not None else [*good, None]

    def _beginning(self) -> CheckpointRecord | None:
        """Return the checkpoint that a branch began at; None for a run that began at step 0."""
        if self.record.origin is None:
            return None
        records = self._store.checkpoints.of(self.record.run_id)
        forked = next(event for event in self._events if event.kind == "run_forked")
        for record in records:
            if record.event_id == forked.event_id:
                return record
        raise CheckpointError(f"the checkpoint that {self.record.run_id!r} began at was deleted.")

    def _marks(self, start: CheckpointRecord | None, until: int | None) -> list[Mark]:
        return marks_of(self._events, after=start.event_id if start else 0, until=until)

    def _done_again(self, stretch: Stretch, progress: Progress) -> Replayed:
        learner = Learner(self.record.config, self._corpus, self._reference)
        start = stretch.start
        if start is not None:
            learner.restore(self._store.checkpoints.load(start), self._store.data)
        began = learner.step_count
        journal = journal_of(self._events, after=start.event_id if start else 0)
        compared = walk(
            learner, journal, self._store.data, stretch.marks, until=stretch.until, progress=progress
        )
        return Replayed(began, stretch.until, tuple(compared))

    @cached_property
    def _corpus(self) -> Corpus:
        config = self.record.config
        return Corpus(config.corpus, self._store.data(config.corpus_fingerprint))

    @cached_property
    def _reference(self) -> ReferenceModel:
        return read_reference(self._store.run_dir(self.record.run_id), self._corpus, self.record.config)
