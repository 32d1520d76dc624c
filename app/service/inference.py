"""A sample, drawn through the gate between two steps of training."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from secrets import randbelow

import structlog
from jaxtyping import UInt8
from torch import Tensor

from app.service.answers import CharacterSurprise, GateReport, InferAnswer
from app.service.requests import Infer
from bitlm.bits import bits_to_bytes, bytes_to_bits
from bitlm.errors import SafetyGateError, SafetyGateWarning
from bitlm.safety import Attempt, GatedSample, safe_sample_with_retry
from bitlm.session import Session
from bitlm.session.events import Source

CHOSEN_SEEDS = 2**32
"""Seeds that are chosen when none is given: small enough to be exact in a browser."""


def prompt_bits(session: Session, request: Infer) -> UInt8[Tensor, "bit"]:
    """Return the prompt as whole frames in the model's format.

    Raises:
        BitFormatError: The given bits are not whole frames, or fail parity.
    """
    parity = session.config.model.parity
    prompt = request.prompt.encode() if request.bits is None else bits_to_bytes(request.bits, parity=parity)
    return bytes_to_bits(prompt, parity=parity)


def infer(session: Session, request: Infer, source: Source) -> InferAnswer:
    """Draw a sample, keep it as an event of the run, and log every attempt with what was against it.

    Raises:
        SafetyGateError: The request is strict and every attempt fell below a floor.
        BitFormatError: The prompt's bits are not in the model's format.
    """
    seed = randbelow(CHOSEN_SEEDS) if request.seed is None else request.seed
    prompt = prompt_bits(session, request)
    gated = _drawn(session, request, prompt, seed)
    sample = gated.sample
    answer = InferAnswer(
        run_id=session.run_id,
        step=session.step_count,
        seed=seed,
        text=sample.text,
        bits=tuple(sample.bits.tolist()),
        characters=tuple(
            CharacterSurprise(text=text, surprise_bits=surprise_bits)
            for text, surprise_bits in sample.characters
        ),
        gate=GateReport.of(gated.verdict, gated.attempts),
    )
    session.record("sample", _payload(request, answer), source=source)
    return answer


def _drawn(session: Session, request: Infer, prompt: UInt8[Tensor, "bit"], seed: int) -> GatedSample:
    """Draw through the gate, with the session's floors where the request has none."""
    floors = session.telemetry
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SafetyGateWarning)  # the verdict is part of the answer
        try:
            gated = safe_sample_with_retry(
                session.model,
                prompt,
                c_floor=floors.c_floor if request.c_floor is None else request.c_floor,
                s_floor=floors.s_floor if request.s_floor is None else request.s_floor,
                strict=request.strict,
                max_new_bytes=request.max_new_bytes,
                temperature=request.temperature,
                top_p=request.top_p,
                seed=seed,
            )
        except SafetyGateError as refusal:
            _log(session, refusal.attempts)
            raise
    _log(session, gated.attempts)
    return gated


def _log(session: Session, attempts: Sequence[Attempt]) -> None:
    """Log what was drawn and measured; never what was said."""
    log = structlog.get_logger("bitlm.inference")
    for number, attempt in enumerate(attempts, start=1):
        verdict = attempt.verdict
        log.info(
            "sample_attempt",
            run_id=session.run_id,
            step=session.step_count,
            attempt=number,
            of=len(attempts),
            seed=attempt.seed,
            temperature=attempt.temperature,
            top_p=attempt.top_p,
            **{name: value for name, value in asdict(verdict).items() if name != "broken_at"},
        )


def _payload(request: Infer, answer: InferAnswer) -> dict[str, object]:
    """Return what a reloaded page needs to show the sample again; the bits follow from the text."""
    asked = {name: value for name, value in vars(request).items() if name != "bits"}
    return {
        "request": asked | {"seed": answer.seed},
        "response": answer.model_dump(mode="json", exclude={"bits"}),
    }
