"""Doing a run's steps once more from one of its states, and comparing with what it had saved.

Crash recovery, replay and the verification of a capsule follow a journal by the same rule: an entry takes
effect before the first step that is done after it was made (bitlm/session/recovery.py).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bitlm.errors import GridOverflowError, HaltedError
from bitlm.session.checkpoint import StateHashes, state_hashes
from bitlm.session.durability import unobserved
from bitlm.session.events import Event
from bitlm.session.learner import JOURNAL_KINDS, Learner, Texts, Update

Progress = Callable[[int, int], None]
"""Told the step reached and the step aimed at; it ends the walk by raising."""


@dataclass(frozen=True)
class Mark:
    """What a run had at a checkpoint, as its event tells, whether or not the files are still there.

    Attributes:
        step: Of the checkpoint.
        event_id: Of its `checkpoint_saved` event.
        expected: The hashes that were recorded.
    """

    step: int
    event_id: int
    expected: StateHashes


@dataclass(frozen=True)
class Comparison:
    """A mark beside what was found there.

    Attributes:
        step: Of the checkpoint.
        event_id: Of its event.
        expected: The hashes that were recorded.
        found: Those of the state that was computed again; None if the walk could not get there.
        detail: Why it could not.
    """

    step: int
    event_id: int
    expected: StateHashes
    found: StateHashes | None
    detail: str = ""

    @property
    def same(self) -> bool:
        """Whether weights and optimizer state agree to the last bit."""
        return self.found == self.expected


def journal_of(events: Iterable[Event], *, after: int = 0) -> list[Event]:
    """Return the entries of the journal with an event id above `after`, in order."""
    return sorted(
        (event for event in events if event.kind in JOURNAL_KINDS and event.event_id > after),
        key=lambda event: event.event_id,
    )


def marks_of(events: Iterable[Event], *, after: int = 0, until: int | None = None) -> list[Mark]:
    """Return the checkpoints that were saved after event `after`, up to step `until`, in order of step."""
    marks = [
        Mark(
            event.step,
            event.event_id,
            StateHashes(event.payload["weights_sha256"], event.payload["optimizer_sha256"]),
        )
        for event in events
        if event.kind == "checkpoint_saved"
        and "weights_sha256" in event.payload  # earlier versions did not write the hashes down
        and event.event_id > after
        and (until is None or event.step <= until)
    ]
    return sorted(marks, key=lambda mark: (mark.step, mark.event_id))


def retrace(learner: Learner, journal: Sequence[Event], texts: Texts, *, until: int) -> Iterator[Update]:
    """Do the learner's next steps under the journal, up to step `until`, and yield each.

    Args:
        learner: In the state to begin from.
        journal: Entries that are not in that state yet, in order of their event ids.
        texts: Returns a kept text by its SHA-256.
        until: Step to end with; the entries made at it are followed as well.

    Raises:
        HaltedError: A step is not finite; the learner is as it was before it.
        GridOverflowError: As above, for an activation that left the grid.
    """
    waiting = deque(journal)
    learner.choose_memory()
    _follow_due(learner, waiting, texts)
    while learner.step_count < until:
        update = learner.update()
        if not update.result.finite:
            raise HaltedError(
                f"step {learner.step_count + 1} is not finite, so nothing after it can be computed."
            )
        _follow_due(learner, waiting, texts)
        yield update


def _follow_due(learner: Learner, waiting: deque[Event], texts: Texts) -> None:
    while waiting and waiting[0].step <= learner.step_count:
        entry = waiting.popleft()
        learner.follow(entry.kind, entry.payload, texts)


def walk(
    learner: Learner,
    journal: Sequence[Event],
    texts: Texts,
    marks: Sequence[Mark],
    *,
    until: int,
    progress: Progress = unobserved,
) -> Iterator[Comparison]:
    """Do the learner's next steps under the journal and compare its state at every mark.

    Args:
        learner: In the state to begin from.
        journal: Entries that are not in that state yet, in order of their event ids.
        texts: Returns a kept text by its SHA-256.
        marks: In order of step; those before the learner's step or after `until` are passed over.
        until: Step to end with.
        progress: Told every step.

    Yields:
        A comparison for each mark. Where a step cannot be done, the marks after it have `found` None.
    """
    waiting = deque(mark for mark in marks if learner.step_count <= mark.step <= until)
    progress(learner.step_count, until)
    yield from _compare(learner, waiting)
    try:
        for _ in retrace(learner, journal, texts, until=until):
            progress(learner.step_count, until)
            yield from _compare(learner, waiting)
    except (HaltedError, GridOverflowError) as error:
        for mark in waiting:
            yield Comparison(mark.step, mark.event_id, mark.expected, None, str(error))


def _compare(learner: Learner, waiting: deque[Mark]) -> Iterator[Comparison]:
    if not waiting or waiting[0].step > learner.step_count:
        return
    found = state_hashes(learner.snapshot())
    while waiting and waiting[0].step == learner.step_count:
        mark = waiting.popleft()
        yield Comparison(mark.step, mark.event_id, mark.expected, found)
