"""Doing a run again beside the live one: begun, followed, cancelled."""

from http import HTTPStatus

from app.service import ModelManager
from app.service.replays import ReplayReport
from app.web.access import Scope
from app.web.routes import Route
from app.web.schemas import Empty


class ReplayRoutes:
    """Whether a run is what its journal says."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        errors = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        path, begun = "/runs/<run_id>/replay", HTTPStatus.ACCEPTED
        return [
            Route(
                "POST", path, Scope.TUNE, self.replay, ReplayReport, body=Empty, status=begun, errors=errors
            ),
            Route("GET", path, Scope.READ, self.replayed, ReplayReport, errors=errors),
            Route("DELETE", path, Scope.TUNE, self.cancel, ReplayReport, body=Empty, errors=errors),
        ]

    def replay(self, run_id: str, body: Empty) -> ReplayReport:  # noqa: ARG002 - checked to be empty
        """Begin to do a run again, beside the live one, and compare every checkpoint."""
        return self._manager.replay(run_id)

    def replayed(self, run_id: str) -> ReplayReport:
        """Say how far the last replay of a run is, or how it ended."""
        return self._manager.replayed(run_id)

    def cancel(self, run_id: str, body: Empty) -> ReplayReport:  # noqa: ARG002 - checked to be empty
        """End the replay of a run before its end."""
        return self._manager.cancel_replay(run_id)
