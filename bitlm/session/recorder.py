"""How a run's events get to the disk: what is acknowledged at once, what it says by itself when it can."""

from collections.abc import Callable
from typing import Any

from bitlm.session.events import Event, EventKind, Source
from bitlm.session.store import RunStore


class Recorder:
    """Writes the events of one run.

    Attributes:
        clock: Returns Unix time in seconds.
    """

    def __init__(self, store: RunStore, run_id: str, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._store = store
        self._run_id = run_id
        self._unsaid: list[tuple[int, float, EventKind, dict[str, Any]]] = []

    def record(
        self, step: int, kind: EventKind, payload: dict[str, Any], source: Source, plan_id: int | None = None
    ) -> Event:
        """Keep an event at that step, after those announced; it is on the disk when this returns."""
        self.write_announced()
        return self._store.add_event(
            self._run_id,
            step=step,
            at=self.clock(),
            kind=kind,
            source=source,
            payload=payload,
            plan_id=plan_id,
        )

    def announce(self, step: int, kind: EventKind, payload: dict[str, Any]) -> None:
        """Keep an event of the run's own, to be written by the next `write_announced` that succeeds."""
        self._unsaid.append((step, self.clock(), kind, payload))

    def write_announced(self) -> None:
        """Write what was announced, in order.

        Raises:
            StorageFullError: It did not fit; what is missing is kept.
        """
        while self._unsaid:
            step, at, kind, payload = self._unsaid[0]
            self._store.add_event(
                self._run_id, step=step, at=at, kind=kind, source="session", payload=payload
            )
            self._unsaid.pop(0)
