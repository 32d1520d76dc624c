"""What is done about a run beside the live one: begun, followed, cancelled."""

from collections.abc import Callable
from http import HTTPStatus

from app.service import ModelManager
from app.service.distillations import DistillationReport
from app.service.jobs import Jobs, Report
from app.service.replays import ReplayReport
from app.service.roundings import RoundingReport
from app.web.access import Scope
from app.web.routes import Route, asked_by
from app.web.schemas import Body, DistilRequest, Empty, RoundingRequest


class JobRoutes:
    """What takes a while and goes on beside the live run, one of a kind at a time."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        manager = self._manager
        return [
            *_routes("replay", manager.replays, ReplayReport, self.replay, Empty),
            *_routes("distil", manager.distillations, DistillationReport, self.distil, DistilRequest),
            *_routes("rounding", manager.roundings, RoundingReport, self.rounding, RoundingRequest),
        ]

    def replay(self, run_id: str, body: Empty) -> ReplayReport:  # noqa: ARG002 - checked to be empty
        """Begin to do a run again, and to compare every checkpoint."""
        return self._manager.replay(run_id)

    def distil(self, run_id: str, body: DistilRequest) -> DistillationReport:
        """Begin to make a smaller run, whose model learns from this run's what that says of every bit."""
        return self._manager.distil(run_id, body.wanted, step=body.step, source=asked_by())

    def rounding(self, run_id: str, body: RoundingRequest) -> RoundingReport:
        """Begin to measure what a run's model in fewer bits takes, and what it costs."""
        return self._manager.measure_rounding(run_id, body.step)


def _routes(
    name: str, jobs: Jobs[Report], report: type[Report], begin: Callable[..., Report], body: type[Body]
) -> list[Route]:
    """Return the routes of a kind of job: to begin one, to look at it, and to cancel it."""

    def look(run_id: str) -> Report:
        """Say how far the run's last one since the service started is, or how it ended."""
        return jobs.report(run_id)

    def cancel(run_id: str, body: Empty) -> Report:  # noqa: ARG001 - checked to be empty
        """End the run's before its end, and say how far it was."""
        return jobs.cancel(run_id)

    path, errors = f"/runs/<run_id>/{name}", (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
    begun = HTTPStatus.ACCEPTED
    return [
        Route("POST", path, Scope.TUNE, begin, report, body=body, status=begun, errors=errors),
        Route("GET", path, Scope.READ, look, report, errors=errors),
        Route("DELETE", path, Scope.TUNE, cancel, report, body=Empty, errors=errors),
    ]
