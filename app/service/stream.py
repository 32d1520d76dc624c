"""A text on its way from the worker to whoever reads it, line by line."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Event as Flag
from typing import Literal

from app.service.answers import Answered, AttemptReport, CharacterInside, CharacterSurprise, InferAnswer


class StreamStart(Answered):
    """The first line: what the text is of.

    Attributes:
        step: The weights are those of this step to the end, whatever is trained meanwhile.
        seed: As in the answer.
    """

    kind: Literal["start"] = "start"
    run_id: str
    step: int
    seed: int


class AttemptStart(Answered):
    """The text that follows is of this attempt.

    Attributes:
        attempt: From 1.
        resumed: Whether it was given up before and goes on from there, being the best there is.
        mode: "causal" or "diffusion".
    """

    kind: Literal["attempt"] = "attempt"
    attempt: int
    resumed: bool
    mode: str
    seed: int
    temperature: float
    top_p: float


class TextPiece(Answered):
    """The next characters of the attempt."""

    kind: Literal["text"] = "text"
    characters: tuple[CharacterInside | CharacterSurprise, ...]


class TextFrame(Answered):
    """The attempt's text in the middle of being denoised, given bytes included.

    Attributes:
        step: Steps done, from 0.
        steps: Steps in all.
        values: Each byte, 0 to 255; null where it is not known yet.
        confidence: The model's probability of each byte when it was drawn, in [0, 1]; 1 where it was given,
            null where it is not known yet.
    """

    kind: Literal["frame"] = "frame"
    attempt: int
    step: int
    steps: int
    values: tuple[int | None, ...]
    confidence: tuple[float | None, ...]


class AttemptVerdict(Answered):
    """What the gate says of the attempt: of a whole text, or of one that was given up."""

    kind: Literal["verdict"] = "verdict"
    attempt: int
    report: AttemptReport


class StreamAnswer(Answered):
    """The last line: the very answer that comes without streaming."""

    kind: Literal["answer"] = "answer"
    answer: InferAnswer


Line = StreamStart | AttemptStart | TextPiece | TextFrame | AttemptVerdict | StreamAnswer


class TextStream:
    """Lines from one thread to another; the writer ends it or fails it, the reader may close it before."""

    def __init__(self, is_abandoned: Callable[[], bool]) -> None:
        """Take the reader for gone once `is_abandoned`, too: it may notice only with its next line."""
        self._is_abandoned = is_abandoned
        self._lines: SimpleQueue[Line | Exception | None] = SimpleQueue()
        self._closed = Flag()

    # The reader

    def __iter__(self) -> Iterator[Line]:
        """Wait for each line; raise what went wrong in its place."""
        while (line := self._lines.get()) is not None:
            if isinstance(line, Exception):
                raise line
            yield line

    def close(self) -> None:
        """Read no more: nothing further is generated."""
        self._closed.set()

    # The writer

    @property
    def is_closed(self) -> bool:
        """Whether nobody reads it any more."""
        return self._closed.is_set() or self._is_abandoned()

    def write(self, line: Line) -> None:
        """Hand over a line."""
        self._lines.put(line)

    def end(self) -> None:
        """Say that all has been said."""
        self._lines.put(None)

    def fail(self, error: Exception) -> None:
        """Say what went wrong; nothing follows."""
        self._lines.put(error)
