"""λ, floors, what alerts lead to, samples along training and growth; and floors that fit the text."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from pydantic import BaseModel
from werkzeug.datastructures import ETags

from app.service import CalibrationAnswer, ModelManager
from app.service.requests import Apply
from app.web.access import Scope
from app.web.queries import CalibrationQuery
from app.web.routes import Route, asked_by, require_match
from app.web.schemas import AlertSettings, Body, GrowthSettings, SampleSettings, TelemetryRequest
from bitlm.session import ScheduleSamples, SetAlertAction, SetGrowthRule, SetTelemetry, TelemetrySettings


class TelemetryRoutes:
    """How the objective, the gate and alerts are steered."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        path, alerts, samples = "/config/telemetry", "/config/alerts", "/config/samples"
        growth = "/config/growth"
        return [
            *_settings(path, self.read, self.change, TelemetrySettings, TelemetryRequest),
            Route(
                "GET",
                "/calibration",
                Scope.READ,
                self.calibrate,
                CalibrationAnswer,
                query=CalibrationQuery,
                errors=(HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE),
            ),
            *_settings(alerts, self.read_alerts, self.change_alerts, AlertSettings, AlertSettings),
            *_settings(samples, self.read_samples, self.schedule, SampleSettings, SampleSettings),
            *_settings(growth, self.read_growth, self.let_grow, GrowthSettings, GrowthSettings),
        ]

    def read(self) -> TelemetrySettings:
        """Return the settings in force."""
        return self._manager.status().telemetry

    def change(self, body: TelemetryRequest, match: ETags) -> TelemetrySettings:
        """Change some settings from the next step on and return them all."""
        command = SetTelemetry(**body.model_dump(exclude_none=True))
        check = _check(match, self.read)
        return self._manager.ask(Apply(command, check), asked_by())

    def calibrate(self, query: CalibrationQuery) -> CalibrationAnswer:
        """Return floors that fit the live run's held-out text; changes nothing."""
        return self._manager.calibrate(query.false_reject_rate, asked_by())

    def read_alerts(self) -> AlertSettings:
        """Return what an alert leads to."""
        return AlertSettings(action=self._manager.status().alert_action)

    def change_alerts(self, body: AlertSettings, match: ETags) -> AlertSettings:
        """Change what every alert leads to from now on."""
        check = _check(match, self.read_alerts)
        self._manager.ask(Apply(SetAlertAction(action=body.action), check), asked_by())
        return self.read_alerts()

    def read_samples(self) -> SampleSettings:
        """Return what is drawn along training."""
        return SampleSettings(schedule=self._manager.status().sample_schedule)

    def schedule(self, body: SampleSettings, match: ETags) -> SampleSettings:
        """Change what is drawn along training from the next step on."""
        check = _check(match, self.read_samples)
        self._manager.ask(Apply(ScheduleSamples(schedule=body.schedule), check), asked_by())
        return self.read_samples()

    def read_growth(self) -> GrowthSettings:
        """Return when the run goes on as a larger one."""
        return GrowthSettings(rule=self._manager.status().growth_rule)

    def let_grow(self, body: GrowthSettings, match: ETags) -> GrowthSettings:
        """Change when the run goes on as a larger one, from the next step on."""
        check = _check(match, self.read_growth)
        self._manager.ask(Apply(SetGrowthRule(rule=body.rule), check), asked_by())
        return self.read_growth()


def _check(match: ETags, read: Callable[[], BaseModel]) -> Callable[[], None] | None:
    """Return what holds the settings in force against an If-Match; None where none came."""
    return partial(require_match, match, read) if match else None


def _settings(
    path: str,
    read: Callable[[], BaseModel],
    change: Callable[..., BaseModel],
    answer: type[BaseModel],
    body: type[Body],
) -> tuple[Route, Route]:
    """Return the two routes of settings that two people may change at once."""
    errors = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
    return (
        Route("GET", path, Scope.READ, read, answer, has_version=True),
        Route(
            "POST",
            path,
            Scope.TUNE,
            change,
            answer,
            body=body,
            has_version=True,
            is_passed_on=True,
            errors=errors,
        ),
    )
