"""What happened to the live run since one last looked."""

from collections.abc import Iterator

from app.service.manager import ModelManager
from bitlm.session import Event, RunStore


class News:
    """Each event once, and those since `since` (Unix seconds) only; for one thread."""

    def __init__(self, manager: ModelManager, store: RunStore, *, since: float) -> None:
        self._manager = manager
        self._store = store
        self._since = since
        self._run_id: str | None = None
        self._cursor = 0

    def events(self) -> Iterator[Event]:
        """Yield the events since the last look, first those of the run before: one may have ended it."""
        status = self._manager.status()
        if status.run_id == self._run_id and status.events_cursor == self._cursor:
            return
        for run_id in dict.fromkeys((self._run_id, status.run_id)):
            if run_id is None:
                continue
            if run_id != self._run_id:
                self._run_id, self._cursor = run_id, 0
            while events := self._store.events(run_id, since=self._cursor):
                self._cursor = events[-1].event_id
                yield from (event for event in events if event.at >= self._since)
