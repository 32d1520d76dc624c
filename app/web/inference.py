"""Sampling the live model through the gate."""

from http import HTTPStatus
from typing import get_args

from app.service import InferAnswer, ModelManager
from app.service.requests import Infer, InferStream, InferWhole
from app.service.stream import Line
from app.web.access import Scope
from app.web.request_ids import request_id
from app.web.routes import Lines, Route, asked_by, hung_up
from app.web.schemas import InferRequest


class InferenceRoutes:
    """What the model says."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        return [
            Route(
                "POST",
                "/infer",
                Scope.READ,
                self.infer,
                InferAnswer,
                body=InferRequest,
                lines=get_args(Line),
                errors=(HTTPStatus.CONFLICT,),
            ),
        ]

    def infer(self, body: InferRequest) -> InferAnswer | Lines:
        """Emit bytes after a prompt, with the gate's verdict on them: at once, or as they come."""
        request = Infer(
            prompt=body.prompt or "",
            bits=None if body.bits is None else tuple(body.bits),
            max_new_bytes=body.max_new_bytes,
            temperature=body.temperature,
            top_p=body.top_p,
            seed=body.seed,
            strict=body.strict,
            c_floor=body.c_floor,
            s_floor=body.s_floor,
            details=body.details,
            denoise=body.denoise,
            switch_modes=body.switch_modes,
            request_id=request_id(),
        )
        if body.stream:
            stream = self._manager.ask(InferStream(request, hung_up()), asked_by())
            return Lines(stream, stream.close)
        return self._manager.ask(InferWhole(request, hung_up()), asked_by())
