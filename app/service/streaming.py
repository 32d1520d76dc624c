"""Texts that are told while they are generated: a slice of each between two steps of training."""

import time
from collections.abc import Iterator
from contextvars import Context, copy_context
from copy import deepcopy
from dataclasses import dataclass, field

import structlog

from app.service.answers import CharacterSurprise
from app.service.errors import AbandonedError, BusyError, StateConflictError
from app.service.inference import Inference
from app.service.live import Live
from app.service.requests import InferStream
from app.service.stream import Line, StreamAnswer, TextFrame, TextPiece, TextStream
from bitlm.model import BitTransformer
from bitlm.session.events import Source

SLICE_S = 0.04
"""How long one text is generated before it is told, and the others and training have their turn."""

MOST_STREAMS = 8
"""Texts under way at once: each has weights of its own, and a thread that tells it."""


@dataclass(frozen=True)
class _Open:
    """A text under way.

    Attributes:
        inference: Draws it.
        lines: What it comes to.
        stream: Where that is told.
        context: Of the request for it.
    """

    inference: Inference
    lines: Iterator[Line]
    stream: TextStream
    context: Context = field(default_factory=copy_context)


class Streams:
    """The texts under way; only the worker's thread calls it.

    A text is drawn from a copy of the weights as they are when it begins, so that it is the one a whole
    answer would have been at that step, and training goes on meanwhile.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._open: list[_Open] = []
        self._log = structlog.get_logger("bitlm.streaming")

    @property
    def are_open(self) -> bool:
        """Whether there is any text to go on with."""
        return bool(self._open)

    def begin(self, request: InferStream, source: Source) -> TextStream:
        """Draw the first of a text, so that what is wrong with the request is said at once.

        Raises:
            BusyError: Too many texts are under way.
            BitLMError: Whatever is wrong with it.
        """
        if len(self._open) >= MOST_STREAMS:
            raise BusyError(MOST_STREAMS, "texts are being told")
        session = self._live.require()
        inference = Inference(session, request.infer, source, _copy(session.model))
        text = _Open(inference, inference.lines(), TextStream(request.is_abandoned))
        self._open.append(text)
        try:
            self._advance(text, 0.0)
        except Exception:
            self._open.remove(text)
            raise
        return text.stream

    def advance(self) -> None:
        """Go on with every text for a slice of time."""
        for text in list(self._open):
            try:
                text.context.run(self._advance, text, SLICE_S)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever reads, and the thread must live on
                self._open.remove(text)
                text.stream.fail(error)

    def abandon(self, error: Exception) -> None:
        """Leave every text unfinished, for that reason."""
        while self._open:
            text = self._open.pop()
            text.inference.close()
            text.stream.fail(error)

    def _advance(self, text: _Open, slice_s: float) -> None:
        """Generate for so long, at least one byte or frame; tell the bytes' characters together."""
        if text.inference.session is not self._live.session:
            text.inference.close()
            raise StateConflictError("another run was taken live while this text was generated; ask again.")
        deadline, told = time.monotonic() + slice_s, list[CharacterSurprise]()
        while text in self._open:
            if text.stream.is_closed:  # asked before the last line is drawn, with which the sample is kept
                self._cancel(text)
                return
            line = next(text.lines)
            if isinstance(line, TextPiece):
                told += line.characters
            else:
                _tell(text.stream, told)
                if isinstance(line, StreamAnswer):
                    self._live.publish()  # everyone is told before the asker is
                    self._open.remove(text)
                text.stream.write(line)
            if isinstance(line, TextPiece | TextFrame) and time.monotonic() >= deadline:
                break
        _tell(text.stream, told)
        if text not in self._open:
            text.stream.end()

    def _cancel(self, text: _Open) -> None:
        """Generate no more of what nobody reads; nothing is kept of it."""
        text.inference.close()
        self._open.remove(text)
        text.stream.fail(AbandonedError())
        self._log.info("stream_cancelled", run_id=text.inference.session.run_id)


def _tell(stream: TextStream, characters: list[CharacterSurprise]) -> None:
    """Hand over the characters that have gathered, and let go of them."""
    if characters:
        stream.write(TextPiece(characters=tuple(characters)))
        characters.clear()


def _copy(model: BitTransformer) -> BitTransformer:
    """Return the model as it is now, with the same reference, which never changes."""
    return deepcopy(model, {id(model.reference): model.reference})
