"""Whether the service is well."""

import sqlite3
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from app.service import ModelManager, ServiceStoppingError
from app.service.errors import NotReadyError
from app.web.access import Scope
from app.web.answers import Health, Readiness
from app.web.routes import Route
from bitlm.session import RunStore
from bitlm.version import VERSION

if TYPE_CHECKING:
    from app.service.relay import Publisher, Subscriber  # whose redis is an extra

MOST_SILENT_S = 120
"""A model's thread that is at one step, or one answer, for longer is taken for stuck."""


class HealthRoutes:
    """For whoever watches over the process."""

    def __init__(
        self, manager: ModelManager, store: RunStore, relay: "Publisher | Subscriber | None"
    ) -> None:
        self._manager = manager
        self._store = store
        self._relay = relay

    def table(self) -> list[Route]:
        """Return these routes."""
        stopping = (HTTPStatus.SERVICE_UNAVAILABLE,)
        return [
            Route("GET", "/healthz", Scope.PUBLIC, self.health, Health, errors=stopping),
            Route("GET", "/readyz", Scope.READ, self.ready, Readiness, errors=stopping),
        ]

    def health(self) -> Health:
        """Say that requests are being answered."""
        if not self._manager.is_alive:
            raise ServiceStoppingError
        return Health(status="ok", version=VERSION)

    def ready(self) -> Readiness:
        """Say that the service can do its work: model, its thread, database and disk are well."""
        health = self.health()
        unwell = [*self._model(), *self._worker(), *self._database(), *self._disk()]
        if unwell:
            raise NotReadyError("; ".join(unwell))
        redis = None if self._relay is None else self._relay.complaint
        return Readiness(status=health.status, version=health.version, redis=redis)

    def _model(self) -> Iterator[str]:
        status = self._manager.status()
        if status.state in {"initializing", "resuming"}:
            yield "model: the last run is being taken up; ask again in a moment."
        elif status.state == "failed":
            yield f"model: {status.error}"

    def _worker(self) -> Iterator[str]:
        silent_s = self._manager.silent_s
        if silent_s > MOST_SILENT_S:
            yield f"worker: no sign of life for {silent_s:.0f} s; restart the service if that goes on."

    def _database(self) -> Iterator[str]:
        try:
            self._store.last_active_run()
        except sqlite3.Error as error:
            yield f"store: {error}; see that the data folder is there and whole."

    def _disk(self) -> Iterator[str]:
        disk, status = self._manager.disk(), self._manager.status()
        if disk.state == "full" or (status.disk is not None and status.disk.state == "full"):
            why = status.error or f"the disk is full ({disk.free_bytes:,} bytes free); make room."
            yield f"disk: {why}"
