"""Files made small by the live model, and given back."""

from functools import partial
from http import HTTPStatus

from app.service import ModelManager
from app.service.coding import CodedFile, CodingProgress
from app.web.access import Scope
from app.web.routes import Lines, Route, asked_by
from app.web.schemas import FileRequest


class CodingRoutes:
    """Lossless compression with the model."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def table(self) -> list[Route]:
        """Return these routes."""
        errors, lines = (HTTPStatus.CONFLICT,), (CodingProgress, CodedFile)
        body, read, tune = FileRequest, Scope.READ, Scope.TUNE
        return [
            Route("POST", "/compress", tune, self.compress, None, body=body, lines=lines, errors=errors),
            Route("POST", "/decompress", read, self.decompress, None, body=body, lines=lines, errors=errors),
        ]

    def compress(self, body: FileRequest) -> Lines:
        """Save the live run, and say line by line how its model makes the file small."""
        coding = self._manager.compress(body.name, body.content, asked_by())
        return Lines(coding, partial(self._manager.end_coding, coding))

    def decompress(self, body: FileRequest) -> Lines:
        """Say line by line how the file is given back."""
        coding = self._manager.decompress(body.name, body.content)
        return Lines(coding, partial(self._manager.end_coding, coding))
