"""Whether the service is well."""

from http import HTTPStatus

from app.service import ModelManager, ServiceStoppingError
from app.web.routes import Route
from app.web.schemas import Health
from bitlm.version import VERSION


class HealthRoutes:
    """For whoever watches over the process."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        return [Route("GET", "/healthz", self.health, Health, errors=(HTTPStatus.SERVICE_UNAVAILABLE,))]

    def health(self) -> Health:
        """Say that requests are being answered."""
        if not self._manager.is_alive:
            raise ServiceStoppingError
        return Health(status="ok", version=VERSION)
