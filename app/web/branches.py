"""Going to another run: one that is there, a fork, a twin."""

from http import HTTPStatus

from app.service import ModelManager, RunCreated, Status
from app.service.requests import Fork, Open, RollBack, Twin
from app.web.access import Scope
from app.web.routes import Route, asked_by
from app.web.schemas import Empty, ForkRequest, TwinRequest
from bitlm.session import SetTelemetry


class BranchRoutes:
    """Everything that takes another run live."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        errors = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        tune = Scope.TUNE
        one, made = "/runs/<run_id>", HTTPStatus.CREATED
        return [
            Route("POST", f"{one}/open", tune, self.open, Status, body=Empty, errors=errors),
            Route(
                "POST",
                f"{one}/fork",
                tune,
                self.fork,
                RunCreated,
                body=ForkRequest,
                status=made,
                errors=errors,
            ),
            Route(
                "POST",
                f"{one}/rollback",
                tune,
                self.roll_back,
                RunCreated,
                body=Empty,
                status=made,
                errors=errors,
            ),
            Route(
                "POST",
                f"{one}/twin",
                tune,
                self.twin,
                RunCreated,
                body=TwinRequest,
                status=made,
                errors=errors,
            ),
        ]

    def open(self, run_id: str, body: Empty) -> Status:  # noqa: ARG002 - checked to be empty
        """Take a run live where it was."""
        self._manager.ask(Open(run_id), asked_by())
        return self._manager.status()

    def fork(self, run_id: str, body: ForkRequest) -> RunCreated:
        """Branch off at a checkpoint."""
        told = body.telemetry.model_dump(exclude_none=True) if body.telemetry else {}
        telemetry = SetTelemetry(**told) if told else None
        return self._manager.ask(Fork(run_id, body.step, body.settings, telemetry, body.grow), asked_by())

    def roll_back(self, run_id: str, body: Empty) -> RunCreated:  # noqa: ARG002 - checked to be empty
        """Branch off the last good state, at half the learning rate."""
        return self._manager.ask(RollBack(run_id), asked_by())

    def twin(self, run_id: str, body: TwinRequest) -> RunCreated:
        """Branch off before a change, to do without it or otherwise."""
        return self._manager.ask(Twin(run_id, body.event_id, body.instead, body.undo), asked_by())
