"""Every event of the live run as a line of the log, for people who read nothing else."""

import time

import structlog

from app.service.manager import ModelManager
from app.service.news import News
from app.service.watch import Watch
from bitlm.history.narration import is_alert
from bitlm.session import RunStore


class EventLog:
    """Logs kind, run, step and who asked; the rest, which may be a text, is in the event of that id."""

    def __init__(self, manager: ModelManager, store: RunStore) -> None:
        self._news = News(manager, store, since=time.time())
        self._watch = Watch(manager, self._tell, name="events")
        self._log = structlog.get_logger("bitlm.events")

    def start(self) -> None:
        """Begin to watch the manager."""
        self._watch.start()

    def close(self) -> None:
        """Log what is left to log, and stop."""
        self._watch.close()

    def _tell(self) -> None:
        for event in self._news.events():
            tell = self._log.warning if is_alert(event) else self._log.info
            tell(
                event.kind,
                event_id=event.event_id,
                run_id=event.run_id,
                step=event.step,
                source=event.source,
            )
