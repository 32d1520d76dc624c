"""A sample, drawn through the gate between two steps of training: whole, or told as it comes."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from secrets import randbelow

import structlog
from jaxtyping import UInt8
from torch import Tensor

from app.service.answers import (
    AttemptReport,
    ByteInside,
    CharacterInside,
    CharacterSurprise,
    GateReport,
    InferAnswer,
)
from app.service.denoising import drawn_bytes, filling_of, frame_line
from app.service.errors import AbandonedError
from app.service.requests import Infer
from app.service.stream import (
    AttemptStart,
    AttemptVerdict,
    Line,
    StreamAnswer,
    StreamStart,
    TextFrame,
    TextPiece,
)
from bitlm.bits import bits_to_bytes, bytes_to_bits
from bitlm.characters import CharacterSplitter
from bitlm.diffusion import Frame
from bitlm.errors import SafetyGateError
from bitlm.generation import GeneratedByte
from bitlm.model import BitTransformer
from bitlm.safety import Attempt, AttemptBegun, AttemptEnded, GatedSample, Progress, stream_with_retry
from bitlm.session import Session
from bitlm.session.events import Source

CHOSEN_SEEDS = 2**32
"""Seeds that are chosen when none is given: small enough to be exact in a browser."""

TOLD_ALTERNATIVES = 6
"""How many of the likeliest bytes are told in each byte's place, where details are asked for."""


def prompt_bits(session: Session, request: Infer) -> UInt8[Tensor, "bit"]:
    """Return the prompt as whole frames in the model's format.

    Raises:
        BitFormatError: The given bits are not whole frames, or fail parity.
    """
    parity = session.config.model.parity
    prompt = request.prompt.encode() if request.bits is None else bits_to_bytes(request.bits, parity=parity)
    return bytes_to_bits(prompt, parity=parity)


class Spelling:
    """Makes characters of the bytes of one attempt as they come."""

    def __init__(self, *, details: bool) -> None:
        self._details = details
        self._splitter = CharacterSplitter()
        self._unspelled: deque[GeneratedByte] = deque()

    def read(self, generated: GeneratedByte) -> list[CharacterSurprise]:
        """Return the characters that are complete with this byte."""
        self._unspelled.append(generated)
        return self._spelled(self._splitter.read(generated.value))

    def end(self) -> list[CharacterSurprise]:
        """Return what is left when no byte follows."""
        return self._spelled(self._splitter.end())

    def _spelled(self, characters: list[tuple[str, int]]) -> list[CharacterSurprise]:
        spelled: list[CharacterSurprise] = []
        for text, length in characters:
            emitted = [self._unspelled.popleft() for _ in range(length)]
            surprise_bits = sum(generated.surprise_bits for generated in emitted)
            if self._details:
                inside = tuple(_inside(generated) for generated in emitted)
                spelled.append(CharacterInside(text=text, surprise_bits=surprise_bits, bytes=inside))
            else:
                spelled.append(CharacterSurprise(text=text, surprise_bits=surprise_bits))
        return spelled


class Inference:
    """One request on its way: drawn by whoever iterates over its lines, or by `answer` at once.

    Args:
        session: The live run, whose model or a copy of it is asked.
        request: What is asked.
        source: Who asks.
        model: The copy; None for the model itself.

    Raises:
        BitFormatError: The prompt's bits are not in the model's format.
    """

    def __init__(
        self, session: Session, request: Infer, source: Source, model: BitTransformer | None = None
    ) -> None:
        self.session = session
        self._request = request
        self._source = source
        self._step = session.step_count
        self._seed = randbelow(CHOSEN_SEEDS) if request.seed is None else request.seed
        self._spellings: dict[int, Spelling] = {}
        asked = model or session.model
        prompt = prompt_bits(session, request)
        history = bits_to_bytes(prompt, parity=session.config.model.parity)
        floors = session.telemetry
        self._drawing = stream_with_retry(
            asked,
            prompt,
            c_floor=floors.c_floor if request.c_floor is None else request.c_floor,
            s_floor=floors.s_floor if request.s_floor is None else request.s_floor,
            strict=request.strict,
            max_new_bytes=request.max_new_bytes,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=self._seed,
            alternatives=TOLD_ALTERNATIVES if request.details else 0,
            filling=filling_of(asked, request, history),
            switch_modes=request.switch_modes,
        )

    def answer(self, is_abandoned: Callable[[], bool]) -> InferAnswer:
        """Draw to the end, keep the sample as an event of the run, and log every attempt.

        Raises:
            SafetyGateError: The request is strict and every attempt fell below a floor.
            AbandonedError: Nobody waits for it any more; nothing is kept of it.
        """
        while True:
            if is_abandoned():
                self.close()
                raise AbandonedError
            try:
                next(self._drawing)
            except StopIteration as end:
                return self._delivered(end.value)
            except SafetyGateError as refusal:
                self._log(refusal.attempts)
                raise

    def lines(self) -> Iterator[Line]:
        """Yield what comes as it comes, the same answer last; of a strict request, no text before it passed.

        Each byte is a line, if only an empty piece: whoever draws can stop, or do something else, after it.

        Raises:
            SafetyGateError: As `answer`.
        """
        yield StreamStart(run_id=self.session.run_id, step=self._step, seed=self._seed)
        held = list[TextPiece]()
        while True:
            try:
                progress = next(self._drawing)
            except StopIteration as end:
                yield StreamAnswer(answer=self._delivered(end.value))
                return
            except SafetyGateError as refusal:
                self._log(refusal.attempts)
                raise
            if isinstance(progress, AttemptBegun):
                begun = progress
            for line in self._told(begun, progress):
                if isinstance(line, TextPiece | TextFrame) and self._request.strict:
                    if isinstance(line, TextPiece):
                        held.append(line)
                    yield TextPiece(characters=())
                    continue
                if isinstance(line, AttemptVerdict):
                    yield from held if line.report.passed else ()
                    held.clear()
                yield line

    def close(self) -> None:
        """Draw no more, and keep nothing."""
        self._drawing.close()

    def _told(self, begun: AttemptBegun, progress: Progress) -> Iterator[Line]:
        """Say what the attempt that was begun has come to."""
        number, draw = begun.number, begun.draw
        if isinstance(progress, AttemptBegun):
            self._spellings.setdefault(number, Spelling(details=self._request.details))
            yield AttemptStart(
                attempt=number,
                resumed=begun.is_resumed,
                mode=draw.mode,
                seed=draw.seed,
                temperature=draw.temperature,
                top_p=draw.top_p,
            )
            return
        if isinstance(progress, Frame):
            yield frame_line(number, progress)
            if progress.step < progress.steps:
                return
            spelling, drawn = self._spellings[number], drawn_bytes(progress, draw.filling)
            yield TextPiece(characters=tuple(chain.from_iterable(map(spelling.read, drawn))))
            return
        if isinstance(progress, GeneratedByte):
            characters = self._spellings[number].read(progress)
        else:
            is_whole = progress.attempt.verdict.stopped_at is None
            characters = self._spellings[number].end() if is_whole else []
        yield TextPiece(characters=tuple(characters))
        if isinstance(progress, AttemptEnded):
            is_told = progress.attempt.verdict.passed or not self._request.strict
            yield AttemptVerdict(attempt=number, report=AttemptReport.of(progress.attempt, is_told=is_told))

    def _delivered(self, gated: GatedSample) -> InferAnswer:
        """Return the answer, kept as an event and logged."""
        self._log(gated.attempts)
        request, sample = self._request, gated.sample
        spelling = Spelling(details=request.details)
        spelled = [character for generated in sample.emitted for character in spelling.read(generated)]
        answer = InferAnswer(
            run_id=self.session.run_id,
            step=self._step,
            seed=self._seed,
            text=sample.text,
            bits=tuple(sample.bits.tolist()),
            characters=tuple(spelled + spelling.end()),
            gate=GateReport.of(gated.verdict, gated.attempts, are_told=not request.strict),
        )
        self.session.record("sample", _payload(request, answer), source=self._source)
        return answer

    def _log(self, attempts: Sequence[Attempt]) -> None:
        """Log what was drawn and measured; never what was said."""
        log = structlog.get_logger("bitlm.inference")
        for number, attempt in enumerate(attempts, start=1):
            verdict = attempt.verdict
            log.info(
                "sample_attempt",
                run_id=self.session.run_id,
                step=self._step,
                attempt=number,
                of=len(attempts),
                seed=attempt.seed,
                temperature=attempt.temperature,
                top_p=attempt.top_p,
                mode=attempt.mode,
                **{name: value for name, value in asdict(verdict).items() if name != "broken_at"},
            )


def _inside(generated: GeneratedByte) -> ByteInside:
    """Return what is told of a byte, to six figures: its parts still add up to what anyone could see."""
    return ByteInside(
        value=generated.value,
        probabilities=tuple(_figures(probability) for probability in generated.bit_probabilities),
        alternatives=tuple((value, _figures(probability)) for value, probability in generated.alternatives),
    )


def _figures(probability: float) -> float:
    return float(f"{probability:.6g}")


def _payload(request: Infer, answer: InferAnswer) -> dict[str, object]:
    """Return what a reloaded page needs to show the sample again; the bits follow from the text."""
    unsaid = {"bits", "details", "request_id"}
    asked = {name: value for name, value in asdict(request).items() if name not in unsaid}
    response = answer.model_dump(mode="json", exclude={"bits": True, "characters": {"__all__": {"bytes"}}})
    return {
        "request": asked | {"seed": answer.seed},
        "response": response,
        "request_id": request.request_id,
    }
