"""The λ, the floors, what alerts lead to and what is drawn along training; and floors that fit the text."""

from http import HTTPStatus

from app.service import CalibrationAnswer, ModelManager
from app.service.requests import Apply
from app.web.access import Scope
from app.web.queries import CalibrationQuery
from app.web.routes import Route, asked_by
from app.web.schemas import AlertSettings, SampleSettings, TelemetryRequest
from bitlm.session import ScheduleSamples, SetAlertAction, SetTelemetry, TelemetrySettings


class TelemetryRoutes:
    """How the objective, the gate and alerts are steered."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        path, alerts, samples = "/config/telemetry", "/config/alerts", "/config/samples"
        conflict = (HTTPStatus.CONFLICT,)
        read, tune = Scope.READ, Scope.TUNE
        return [
            Route("GET", path, read, self.read, TelemetrySettings),
            Route("POST", path, tune, self.change, TelemetrySettings, body=TelemetryRequest, errors=conflict),
            Route(
                "GET",
                "/calibration",
                read,
                self.calibrate,
                CalibrationAnswer,
                query=CalibrationQuery,
                errors=(*conflict, HTTPStatus.SERVICE_UNAVAILABLE),
            ),
            Route("GET", alerts, read, self.read_alerts, AlertSettings),
            Route(
                "POST", alerts, tune, self.change_alerts, AlertSettings, body=AlertSettings, errors=conflict
            ),
            Route("GET", samples, read, self.read_samples, SampleSettings),
            Route("POST", samples, tune, self.schedule, SampleSettings, body=SampleSettings, errors=conflict),
        ]

    def read(self) -> TelemetrySettings:
        """Return the settings in force."""
        return self._manager.status().telemetry

    def change(self, body: TelemetryRequest) -> TelemetrySettings:
        """Change some settings from the next step on and return them all."""
        command = SetTelemetry(**body.model_dump(exclude_none=True))
        return self._manager.ask(Apply(command), asked_by())

    def calibrate(self, query: CalibrationQuery) -> CalibrationAnswer:
        """Return floors that fit the live run's held-out text; changes nothing."""
        return self._manager.calibrate(query.false_reject_rate, asked_by())

    def read_alerts(self) -> AlertSettings:
        """Return what an alert leads to."""
        return AlertSettings(action=self._manager.status().alert_action)

    def change_alerts(self, body: AlertSettings) -> AlertSettings:
        """Change what every alert leads to from now on."""
        self._manager.ask(Apply(SetAlertAction(action=body.action)), asked_by())
        return self.read_alerts()

    def read_samples(self) -> SampleSettings:
        """Return what is drawn along training."""
        return SampleSettings(schedule=self._manager.status().sample_schedule)

    def schedule(self, body: SampleSettings) -> SampleSettings:
        """Change what is drawn along training from the next step on."""
        self._manager.ask(Apply(ScheduleSamples(schedule=body.schedule)), asked_by())
        return self.read_samples()
