"""Making a run and training it."""

from http import HTTPStatus
from typing import Any

from app.service import Estimate, ModelManager, RunCreated, Status, StepAnswer
from app.service.requests import Apply, Control, Init, Request, TrainStep
from app.web.access import Scope
from app.web.routes import Route, asked_by, idempotency_key
from app.web.schemas import AnnealRequest, Empty, EstimateRequest, InitRequest, TrainStepRequest
from bitlm.session import Anneal, preset


class TrainingRoutes:
    """Everything that makes steps happen."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        conflict = (HTTPStatus.CONFLICT,)
        read, tune = Scope.READ, Scope.TUNE
        return [
            Route(
                "POST",
                "/init",
                tune,
                self.init,
                RunCreated,
                body=InitRequest,
                status=HTTPStatus.CREATED,
                errors=conflict,
            ),
            Route("POST", "/estimate", read, self.estimate, Estimate, body=EstimateRequest),
            Route(
                "POST",
                "/train-step",
                tune,
                self.train_step,
                StepAnswer,
                body=TrainStepRequest,
                errors=conflict,
            ),
            Route("POST", "/train/start", tune, self.start, Status, body=Empty, errors=conflict),
            Route("POST", "/train/pause", tune, self.pause, Status, body=Empty, errors=conflict),
            Route("POST", "/train/stop", tune, self.stop, Status, body=Empty, errors=conflict),
            Route("POST", "/train/anneal", tune, self.anneal, Status, body=AnnealRequest, errors=conflict),
        ]

    def init(self, body: InitRequest) -> RunCreated:
        """Make a run and take it live."""
        model, training = preset(body.size, **body.changes())
        request = Init(
            model,
            training,
            corpus=body.corpus,
            text=body.text,
            text_name=body.text_name,
            seed=body.seed,
            key=idempotency_key(),
        )
        return self._manager.ask(request, asked_by())

    def estimate(self, body: EstimateRequest) -> Estimate:
        """Say what POST /init would make of these settings, or what is wrong with them; make nothing."""
        model, training = preset(body.size, **body.changes())
        length = len(body.text.encode()) if body.text is not None else body.text_bytes
        return self._manager.estimate(model, training, body.corpus if length is None else length)

    def train_step(self, body: TrainStepRequest) -> StepAnswer:
        """Do some steps and say what the last one measured."""
        bits = None if body.bits is None else tuple(body.bits)
        return self._manager.ask(TrainStep(body.steps, body.text, bits, idempotency_key()), asked_by())

    def start(self, body: Empty) -> Status:  # noqa: ARG002 - checked to be empty
        """Train until told otherwise."""
        return self._told(Control("start"))

    def pause(self, body: Empty) -> Status:  # noqa: ARG002 - checked to be empty
        """Pause after the step at hand."""
        return self._told(Control("pause"))

    def stop(self, body: Empty) -> Status:  # noqa: ARG002 - checked to be empty
        """Stop after the step at hand: the run is finished for now."""
        return self._told(Control("stop"))

    def anneal(self, body: AnnealRequest) -> Status:
        """Let the learning rate fall from the next step on."""
        return self._told(Apply(Anneal(steps=body.steps)))

    def _told(self, request: Request[Any]) -> Status:
        """Pass the request on and return the status that it led to."""
        self._manager.ask(request, asked_by())
        return self._manager.status()
