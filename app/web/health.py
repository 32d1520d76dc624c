"""Whether the service is well."""

from http import HTTPStatus

from app.service import ModelManager, ServiceStoppingError
from app.service.errors import NotReadyError
from app.web.access import Scope
from app.web.answers import Health
from app.web.routes import Route
from bitlm.version import VERSION


class HealthRoutes:
    """For whoever watches over the process."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        stopping = (HTTPStatus.SERVICE_UNAVAILABLE,)
        return [
            Route("GET", "/healthz", Scope.PUBLIC, self.health, Health, errors=stopping),
            Route("GET", "/readyz", Scope.READ, self.ready, Health, errors=stopping),
        ]

    def health(self) -> Health:
        """Say that requests are being answered."""
        if not self._manager.is_alive:
            raise ServiceStoppingError
        return Health(status="ok", version=VERSION)

    def ready(self) -> Health:
        """Say that the service can do its work: it has taken up its run, and the disk has room."""
        health, status = self.health(), self._manager.status()
        if status.state in {"initializing", "resuming"}:
            raise NotReadyError("the last run is being taken up; ask again in a moment.")
        disk = self._manager.disk()
        if disk.state == "full" or (status.disk is not None and status.disk.state == "full"):
            raise NotReadyError(
                status.error or f"the disk is full ({disk.free_bytes:,} bytes free); make room."
            )
        return health
