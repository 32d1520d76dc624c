"""Making a run and training it."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from app.service import ModelManager, RunCreated, RunEstimate, Status, StepAnswer
from app.service.requests import Apply, Control, IdempotencyKey, Init, Request, TrainStep
from app.web.access import Scope
from app.web.routes import Route, asked_by
from app.web.schemas import AnnealRequest, Empty, EstimateRequest, InitRequest, TrainStepRequest
from bitlm.data.corpus import EMBEDDED
from bitlm.errors import ConfigError
from bitlm.session import Anneal, preset


class TrainingRoutes:
    """Everything that makes steps happen."""

    def __init__(self, manager: ModelManager, roots: tuple[Path, ...] | None) -> None:
        """Read texts below `roots` only, or anywhere (None)."""
        self._manager = manager
        self._roots = roots

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
                takes_key=True,
                status=HTTPStatus.CREATED,
                errors=conflict,
            ),
            Route("POST", "/estimate", read, self.estimate, RunEstimate, body=EstimateRequest),
            Route(
                "POST",
                "/train-step",
                tune,
                self.train_step,
                StepAnswer,
                body=TrainStepRequest,
                takes_key=True,
                errors=conflict,
            ),
            Route("POST", "/train/start", tune, self.start, Status, body=Empty, errors=conflict),
            Route("POST", "/train/pause", tune, self.pause, Status, body=Empty, errors=conflict),
            Route(
                "POST",
                "/train/stop",
                tune,
                self.stop,
                Status,
                body=Empty,
                is_passed_on=True,
                errors=conflict,
            ),
            Route(
                "POST",
                "/train/anneal",
                tune,
                self.anneal,
                Status,
                body=AnnealRequest,
                is_passed_on=True,
                errors=conflict,
            ),
        ]

    def init(self, body: InitRequest, key: IdempotencyKey | None) -> RunCreated:
        """Make a run and take it live."""
        model, training = preset(body.size, **body.changes())
        request = Init(
            model,
            training,
            corpus=readable(body.corpus, self._roots),
            text=body.text,
            text_name=body.text_name,
            seed=body.seed,
            key=key,
        )
        return self._manager.ask(request, asked_by())

    def estimate(self, body: EstimateRequest) -> RunEstimate:
        """Say what POST /init would make of these settings, or what is wrong with them; make nothing."""
        model, training = preset(body.size, **body.changes())
        length = len(body.text.encode()) if body.text is not None else body.text_bytes
        text = readable(body.corpus, self._roots) if length is None else length
        return self._manager.estimate(model, training, text)

    def train_step(self, body: TrainStepRequest, key: IdempotencyKey | None) -> StepAnswer:
        """Do some steps and say what the last one measured."""
        bits = None if body.bits is None else tuple(body.bits)
        return self._manager.ask(TrainStep(body.steps, body.text, bits, key), asked_by())

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


def readable(corpus: str, roots: tuple[Path, ...] | None) -> str:
    """Return where a text that a request names is to be read, all links followed.

    Raises:
        ConfigError: It is below none of `roots`; whether there is anything is not told.
    """
    if roots is None or corpus == EMBEDDED:
        return corpus
    place = _real(corpus)
    if place is None or not any(place.is_relative_to(root.expanduser().resolve()) for root in roots):
        raise ConfigError(
            "corpus", corpus, "name a file or folder below one of corpus_roots, or send the text itself."
        )
    return str(place)


def _real(path: str) -> Path | None:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, nobody's home folder, a NUL
        return None
