"""The gate between a model and a reader: samples that are held to it, and drawn again where they fail."""

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from bitlm.curtailment import Curtailment
from bitlm.diffusion import Frame
from bitlm.draw import Draw, Filling
from bitlm.errors import ConfigError, MissingReferenceError, SafetyGateError, SafetyGateWarning
from bitlm.gate import GateVerdict, SafetyGate, require_number
from bitlm.generation import GeneratedByte, Sample, collect
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed

LADDER_STEP = 0.1
"""How much each retry adds to or takes from the temperature, as a share of the first one."""

LEAST_LADDER_TEMPERATURE = 0.1

MOST_RETRIES = 100
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Attempt:
    """One sample's settings, its text as far as it was emitted, and what the gate said of that."""

    seed: int
    temperature: float
    top_p: float
    mode: str
    text: str
    verdict: GateVerdict


@dataclass(frozen=True)
class AttemptBegun:
    """The bytes that follow are of this attempt.

    Attributes:
        number: From 1.
        draw: What decides it.
        is_resumed: Whether it was given up before and is now emitted to its end, from where it was left.
    """

    number: int
    draw: Draw
    is_resumed: bool = False


@dataclass(frozen=True)
class AttemptEnded:
    """The attempt of that number is over: whole, or given up."""

    number: int
    attempt: Attempt


Progress = AttemptBegun | GeneratedByte | Frame | AttemptEnded


@dataclass(frozen=True)
class GatedSample:
    """A sample with its verdict.

    Attributes:
        sample: What was emitted.
        verdict: The gate's finding on this sample.
        attempts: All samples drawn, in order, this one among them.
    """

    sample: Sample
    verdict: GateVerdict
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class _Trial:
    """A sample with its verdict.

    Attributes:
        number: Of the attempt, from 1.
        draw: What decided the sample.
        sample: What was emitted of it.
        verdict: The gate's finding on that.
        rest: What it would go on with, if it was given up.
    """

    number: int
    draw: Draw
    sample: Sample
    verdict: GateVerdict
    rest: Iterator[GeneratedByte]

    @property
    def attempt(self) -> Attempt:
        draw = self.draw
        return Attempt(draw.seed, draw.temperature, draw.top_p, draw.mode, self.sample.text, self.verdict)

    @property
    def ended(self) -> AttemptEnded:
        return AttemptEnded(self.number, self.attempt)


def hil_safe_inference(
    model: BitTransformer,
    bits: Tensor,
    c_floor: float = 0.3,
    s_floor: float = 0.5,
    strict: bool = True,  # noqa: FBT001, FBT002 - a published signature
    *,
    max_new_bytes: int = 128,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    filling: Filling | None = None,
) -> GatedSample:
    """Emit text after a prompt and measure what was emitted.

    Where strict, emission ends as soon as the text can no longer pass, whatever would follow.

    Args:
        model: Carries the reference model S compares with.
        bits: The prompt, whole frames in the model's format; not measured.
        c_floor: Least C, in [0, 1].
        s_floor: Least S, in [0, 1].
        strict: Refuse a sample below a floor; otherwise warn and mark it.
        max_new_bytes: As for `generate`.
        temperature: As for `generate`.
        top_p: As for `generate`.
        seed: As for `generate`.
        filling: As for `stream_with_retry`.

    Raises:
        SafetyGateError: strict, and a floor was missed; carries the verdict.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range.
    """
    drawing = stream_with_retry(
        model, bits, c_floor, s_floor, strict, max_new_bytes=max_new_bytes, temperature=temperature,
        top_p=top_p, seed=seed, stop_early=strict, max_retries=0, filling=filling,
    )  # fmt: skip
    return _drained(drawing)


def safe_sample_with_retry(
    model: BitTransformer,
    bits: Tensor,
    c_floor: float = 0.3,
    s_floor: float = 0.5,
    strict: bool = True,  # noqa: FBT001, FBT002 - as hil_safe_inference
    *,
    max_new_bytes: int = 128,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    drawn: Sample | None = None,
    stop_early: bool = True,
    max_retries: int = 3,
    backoff_s: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
    filling: Filling | None = None,
    switch_modes: bool = False,
) -> GatedSample:
    """Draw again, differently, until a sample passes or the retries are used up.

    Retry i has a new seed, and the first temperature times 1 - 0.1·i; after a sample that repeated itself
    it is times 1 + 0.1·i instead, since sharper predictions only tighten a loop. Every attempt goes on from
    the prompt alone, never from what another one said.

    An attempt is given up as soon as it can no longer pass, whatever would follow. What is returned is whole
    all the same: the best attempt is taken up again where it was left.

    Args:
        model: As for `hil_safe_inference`, like the arguments up to `seed`.
        bits: The prompt.
        c_floor: Least C.
        s_floor: Least S.
        strict: Refuse when no sample passes; otherwise warn and return the best, marked.
        max_new_bytes: As for `generate`.
        temperature: Of the first attempt.
        top_p: As for `generate`.
        seed: Of the first attempt.
        drawn: The first attempt, where `generate_batch` has drawn it already.
        stop_early: Give attempts up; otherwise each is emitted and judged whole.
        max_retries: Samples after the first, 0 to 100.
        backoff_s: Seconds to wait before retry 1, doubled before each further one; at most 60.
        sleep: What waits.
        filling: As for `stream_with_retry`.
        switch_modes: Draw every other retry, from the first on, in the other mode: what was to be denoised is
            written from left to right, and the other way round.

    Raises:
        SafetyGateError: strict, and no sample passed; carries the best verdict and all attempts.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range.
    """
    drawing = stream_with_retry(
        model, bits, c_floor, s_floor, strict, max_new_bytes=max_new_bytes, temperature=temperature,
        top_p=top_p, seed=seed, drawn=drawn, stop_early=stop_early, max_retries=max_retries,
        backoff_s=backoff_s, sleep=sleep, filling=filling, switch_modes=switch_modes,
    )  # fmt: skip
    return _drained(drawing)


def stream_with_retry(
    model: BitTransformer,
    bits: Tensor,
    c_floor: float = 0.3,
    s_floor: float = 0.5,
    strict: bool = True,  # noqa: FBT001, FBT002 - as safe_sample_with_retry
    *, max_new_bytes: int = 128, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0,
    drawn: Sample | None = None, stop_early: bool = True, max_retries: int = 3, backoff_s: float = 0.0,
    sleep: Callable[[float], None] = time.sleep, alternatives: int = 0, filling: Filling | None = None,
    switch_modes: bool = False,
) -> Generator[Progress, None, GatedSample]:  # fmt: skip
    """Do what `safe_sample_with_retry` does and yield every byte of every attempt as it comes.

    What it returns is that function's answer, without the warning. Whoever closes it ends the generation.

    Args:
        model: As for `safe_sample_with_retry`, like all that is not named here.
        bits: The prompt.
        c_floor: Least C.
        s_floor: Least S.
        strict: Refuse when no sample passes; what was refused has been yielded all the same.
        max_new_bytes: As for `generate`.
        temperature: Of the first attempt.
        top_p: As for `generate`.
        seed: Of the first attempt.
        drawn: The first attempt, of which no byte is yielded then.
        stop_early: Give attempts up.
        max_retries: Samples after the first.
        backoff_s: Seconds to wait before retry 1.
        sleep: What waits.
        alternatives: As for `generate`.
        filling: Denoise this instead of going on from the prompt; `bits` and `max_new_bytes` do not count
            then. What is judged is the stretch from the first byte filled in to the last.
        switch_modes: As for `safe_sample_with_retry`.

    Raises:
        SafetyGateError: strict, and no sample passed.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range, or there is no other mode to switch to.
    """
    _check_retries(max_retries, backoff_s)
    gate = SafetyGate(c_floor, s_floor)
    first = Draw(model, bits, max_new_bytes, temperature, top_p, seed, alternatives, filling)
    other = first.in_other_mode() if switch_modes else first
    best = last = yield from _try(1, first, gate, drawn, stop_early=stop_early)
    attempts = [best.attempt]
    while not last.verdict.passed and len(attempts) <= max_retries:
        retry = len(attempts)
        if backoff_s:
            sleep(min(backoff_s * 2.0 ** (retry - 1), LONGEST_BACKOFF_S))
        draw = _retry_draw(other if retry % 2 else first, retry, last.verdict)
        last = yield from _try(retry + 1, draw, gate, stop_early=stop_early)
        attempts.append(last.attempt)
        best = max(best, last, key=lambda trial: trial.verdict.margin)
    if not best.verdict.passed and strict:
        raise SafetyGateError(best.verdict, tuple(attempts))
    if best.verdict.stopped_at is not None:
        best = yield from _completed(best, gate)
        attempts[best.number - 1] = best.attempt
    return GatedSample(best.sample, best.verdict, tuple(attempts))


def _drained(drawing: Generator[Progress, None, GatedSample]) -> GatedSample:
    """Draw to the end; warn of a sample below a floor, in the name of whoever called our caller."""
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            gated: GatedSample = end.value
            break
    if not gated.verdict.passed:
        reasons = "; ".join(gated.verdict.reasons)
        warnings.warn(SafetyGateWarning(f"let through below a floor: {reasons}"), stacklevel=3)
    return gated


def _try(
    number: int, draw: Draw, gate: SafetyGate, drawn: Sample | None = None, *, stop_early: bool
) -> Generator[Progress, None, _Trial]:
    """Draw one sample, if it is not drawn yet, as far as it can pass, and judge it."""
    reference = draw.model.reference
    if reference is None:
        raise MissingReferenceError
    yield _begun(number, draw)
    if drawn is None and draw.filling is not None:  # a text that comes all at once cannot be given up
        drawn = yield from draw.denoise(draw.filling)
    rest: Iterator[GeneratedByte] = iter(()) if drawn else draw.emit()
    history, emitted = draw.history, rest
    if stop_early and drawn is None:
        emitted = Curtailment(
            reference,
            c_floor=gate.c_floor,
            s_floor=gate.s_floor,
            length_bytes=draw.max_new_bytes,
            history=history,
        ).until_settled(rest)
    sample = drawn or (yield from _collected(draw, emitted))
    verdict = gate.judge(sample, reference, history=history)
    if drawn is None and len(sample.data) < draw.max_new_bytes:
        assert not verdict.passed, "what settles a text's verdict is there to be seen in what was emitted"
        verdict = replace(verdict, stopped_at=len(sample.data))
    trial = _Trial(number, draw, sample, verdict, rest)
    yield trial.ended
    return trial


def _begun(number: int, draw: Draw, *, is_resumed: bool = False) -> AttemptBegun:
    return AttemptBegun(number, draw, is_resumed)


def _completed(trial: _Trial, gate: SafetyGate) -> Generator[Progress, None, _Trial]:
    """Take up a sample where it was given up, and judge the whole of it."""
    draw, reference = trial.draw, trial.draw.model.reference
    assert reference is not None, "what was tried has been compared with it"
    yield _begun(trial.number, draw, is_resumed=True)
    rest = yield from _collected(draw, trial.rest)
    whole = collect([*trial.sample.emitted, *rest.emitted], trial.sample.parity)
    verdict = gate.judge(whole, reference, history=draw.history)
    judged = _Trial(trial.number, draw, whole, verdict, iter(()))
    yield judged.ended
    return judged


def _collected(draw: Draw, emitted: Iterator[GeneratedByte]) -> Generator[Progress, None, Sample]:
    """Yield the bytes and return them together."""
    generated = []
    for one in emitted:
        generated.append(one)
        yield one
    return collect(generated, draw.model.config.parity)


def _retry_draw(first: Draw, retry: int, last: GateVerdict) -> Draw:
    """Return the settings of one retry; a greedy first attempt is retried above temperature 0."""
    base = first.temperature or 1 - LADDER_STEP
    share = (
        1 + LADDER_STEP * retry if last.repeats else max(1 - LADDER_STEP * retry, LEAST_LADDER_TEMPERATURE)
    )
    return replace(first, temperature=base * share, seed=counter_seed(first.seed, retry, "retry"))


def _check_retries(most: object, backoff_s: object) -> None:
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= MOST_RETRIES:
        raise ConfigError("max_retries", most, f"use a whole number from 0 to {MOST_RETRIES}.")
    require_number("backoff_s", backoff_s, LONGEST_BACKOFF_S)
