"""News for those who watch: everything since the last update, a few times a second at most."""

from collections.abc import Callable
from typing import Any

from app.service.manager import ModelManager
from app.service.watch import Watch
from bitlm.session import RunStore

MOST_ROWS = 1000
"""Rows of metrics in one update; faster training is thinned as charts are."""


class Broadcaster:
    """Tells `emit` what changed, no more often than `interval_s`, and only while someone is `listening`.

    Between two updates any number of changes is gathered into one. Whoever joins late reads the past
    over REST by cursor; an update never reaches back further than the one before it.
    """

    def __init__(
        self,
        manager: ModelManager,
        store: RunStore,
        *,
        emit: Callable[[dict[str, Any]], None],
        listening: Callable[[], bool],
        interval_s: float,
    ) -> None:
        self._manager = manager
        self._store = store
        self._emit = emit
        self._listening = listening
        self._watch = Watch(manager, self._tell, name="broadcaster", interval_s=interval_s)
        self._run_id: str | None = None
        self._metrics_cursor = 0
        self._events_cursor = 0

    def start(self) -> None:
        """Begin to watch the manager."""
        self._watch.start()

    def close(self) -> None:
        """Say what is left to say, and stop."""
        self._watch.close()

    def _tell(self) -> None:
        status = self._manager.status()
        if not self._listening():
            self._run_id = status.run_id
            self._metrics_cursor, self._events_cursor = status.metrics_cursor, status.events_cursor
            return
        if status.run_id != self._run_id:
            self._run_id, self._metrics_cursor, self._events_cursor = status.run_id, 0, 0
        self._emit({"run_id": status.run_id, "status": status.model_dump(mode="json"), **self._news()})

    def _news(self) -> dict[str, Any]:
        """Return the metrics and events since the last update, and move the cursors past them."""
        if self._run_id is None:
            return {"metrics": {}, "events": []}
        metrics = self._store.metrics(self._run_id, since=self._metrics_cursor, max_points=MOST_ROWS)
        events = self._store.events(self._run_id, since=self._events_cursor)
        if metrics["step"]:
            self._metrics_cursor = metrics["step"][-1]
        if events:
            self._events_cursor = events[-1].event_id
        return {"metrics": metrics, "events": [event.model_dump(mode="json") for event in events]}
