"""When a run is saved, and what becomes of the checkpoints before."""

from collections.abc import Callable

from bitlm.session.checkpoint import Snapshot
from bitlm.session.durability import Reached
from bitlm.session.events import Event, Source
from bitlm.session.policy import CheckpointPolicy
from bitlm.session.store import RunStore


class Saving:
    """Saves one run by its policy.

    Attributes:
        is_due: Whether it is time for a checkpoint.
        step: The step that was last saved or taken up from; None if nothing is saved yet.
    """

    def __init__(
        self,
        store: RunStore,
        run_id: str,
        *,
        interval_steps: int,
        policy: CheckpointPolicy,
        clock: Callable[[], float],
        reached: Reached,
    ) -> None:
        self.is_due = False
        self.step: int | None = None
        self._store = store
        self._run_id = run_id
        self._interval_steps = interval_steps
        self._policy = policy
        self._clock = clock
        self._reached = reached
        self._saved_at = clock()

    def note_step(self, step: int) -> None:
        """Take in that a step is done."""
        waited_s = self._clock() - self._saved_at
        if step % self._interval_steps == 0 or waited_s >= self._policy.interval_s:
            self.is_due = True

    def save(
        self, snapshot: Snapshot, *, name: str | None, validation: float | None, source: Source
    ) -> Event:
        """Bring a checkpoint to the disk, then record it; drop what is not to be kept.

        Raises:
            StorageFullError: It did not fit; the ones before are as they were.
        """
        self._store.flush()
        event = self._store.checkpoints.save(
            self._run_id,
            snapshot,
            at=self._clock(),
            source=source,
            name=name,
            validation_bits_per_byte=validation,
            reached=self._reached,
        )
        self.is_due, self.step, self._saved_at = False, event.step, self._clock()
        self._store.checkpoints.prune(self._run_id, self._policy.keep)
        self._reached("pruned")
        return event
