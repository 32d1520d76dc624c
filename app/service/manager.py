"""The service as the web sees it: ask and be answered; look and never wait."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from app.service.answers import Status
from app.service.requests import Request
from app.service.worker import Worker
from bitlm.errors import RunNotFoundError
from bitlm.session import Event, RunRecord, RunStore
from bitlm.session.events import Source

RUN_ID = re.compile(r"[a-z0-9-]{1,64}")

Answer = TypeVar("Answer")


class ModelManager:
    """One live model for many askers. `start` it once, `close` it once."""

    def __init__(self, store: RunStore, *, torch_threads: int) -> None:
        self._store = store
        self._observers: list[Callable[[], None]] = []
        self._worker = Worker(store, torch_threads=torch_threads, on_change=self._notify)

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after every change, in the worker's thread: it must not wait."""
        self._observers.append(observer)

    def _notify(self) -> None:
        for observer in self._observers:
            observer()

    def start(self) -> None:
        """Take up the newest run and begin to answer."""
        self._worker.start()

    def request_stop(self) -> None:
        """Begin to stop: after the step at hand the last checkpoint is written."""
        self._worker.request_stop()

    def close(self) -> None:
        """Stop, wait for the last checkpoint, and close the store."""
        self._worker.request_stop()
        self._worker.join()
        self._store.close()

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        return self._worker.is_alive

    def ask(self, request: Request[Answer], source: Source) -> Answer:
        """Return the answer to `request`, between two steps if training runs.

        Raises:
            BitLMError: Whatever was wrong with it.
            ServiceStoppingError: The service is shutting down.
        """
        answer: Answer = self._worker.submit(request, source).result()
        return answer

    def status(self) -> Status:
        """Return the newest status; never waits for the model."""
        return self._worker.status

    def runs(self) -> list[RunRecord]:
        """Return all runs, the newest first."""
        self._store.flush()
        return self._store.runs()

    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            RunNotFoundError: There is none of that name.
        """
        if RUN_ID.fullmatch(run_id) is None:
            raise RunNotFoundError(run_id)
        self._store.flush()
        return self._store.run(run_id)

    def metrics(self, run_id: str, *, since: int, max_points: int) -> dict[str, list[Any]]:
        """Return a run's metrics after step `since` by column, thinned to about `max_points` rows.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.metrics(run_id, since=since, max_points=max_points)

    def events(self, run_id: str, *, since: int) -> list[Event]:
        """Return a run's events with ids above `since`, the first thousand of them.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.events(run_id, since=since)
