"""The gate between a model and a reader: loops, noise and broken text, measured on what was emitted."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite

from torch import Tensor

from bitlm.bits import bits_to_bytes, first_fault
from bitlm.errors import (
    BitFormatError,
    ConfigError,
    MissingReferenceError,
    SafetyGateError,
    SafetyGateWarning,
)
from bitlm.generation import Sample, collect, generate
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel
from bitlm.telemetry import measure, repetition

LADDER_STEP = 0.1
"""How much each retry adds to or takes from the temperature, as a share of the first one."""

LEAST_LADDER_TEMPERATURE = 0.1

REPETITION_CEILING = 0.75
"""Most of a text that copies of one passage may take: running text has 0, and tables' rules less."""

MOST_RETRIES = 100
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class GateVerdict:
    """What the gate found.

    Attributes:
        passed: Whether there is no reason against it.
        K: Negentropy of the model's predictions, in [0, 1]; reported, never gated.
        C: LZ complexity of the payload bits; near 0 in a loop.
        S: Geometric-mean probability the reference gives the bits, in [0, 1]; low in noise.
        repetition: The share that copies of one passage take, in [0, 1]; 1 in a loop.
        reasons: One sentence with figures for each thing against it.
        c_floor: The floor C was held to.
        s_floor: The floor S was held to.
        broken_at: The first byte that is not UTF-8, where the training text is; None without one.
    """

    passed: bool
    K: float
    C: float
    S: float
    repetition: float
    reasons: tuple[str, ...]
    c_floor: float
    s_floor: float
    broken_at: int | None = None

    @property
    def repeats(self) -> bool:
        """Whether C missed its floor, or copies take too much."""
        return self.c_floor > self.C or (self.c_floor > 0 and self.repetition > REPETITION_CEILING)

    @property
    def margin(self) -> float:
        """How far from its nearest bound the text is, as a share of that bound; below 0 when refused.

        The least of C ÷ its floor − 1, S ÷ its floor − 1 and 1 − repetition ÷ its ceiling; 1 less where the
        text is broken. Infinite where both floors are 0.
        """
        margins = [inf]
        if self.c_floor:
            margins += [self.C / self.c_floor - 1, 1 - self.repetition / REPETITION_CEILING]
        if self.s_floor:
            margins.append(self.S / self.s_floor - 1)
        return min(margins) - (self.broken_at is not None)


@dataclass(frozen=True)
class SafetyGate:
    """Floors for what may pass; being equal to a floor passes, and a floor of 0 lets everything pass.

    Attributes:
        c_floor: Least C, in [0, 1]. Above 0, copies of one passage may not take more than three quarters.
        s_floor: Least S, in [0, 1]. Above 0, the text must be UTF-8 where the training text is.

    Raises:
        ConfigError: A floor is out of range.
    """

    c_floor: float = 0.3
    s_floor: float = 0.5

    def __post_init__(self) -> None:
        for field in ("c_floor", "s_floor"):
            _check_number(field, getattr(self, field), 1.0)

    def judge(self, sample: Sample, reference: ReferenceModel, *, history: bytes = b"") -> GateVerdict:
        """Measure a sample, prompt excluded, and hold it to the floors.

        Args:
            sample: What was emitted.
            reference: The model of the training text.
            history: The bytes before it, which may have begun its first character; not measured.

        Raises:
            BitFormatError: Nothing was emitted.
        """
        if not sample.data:
            raise BitFormatError("nothing was emitted, so there is nothing to judge; emit at least one byte.")
        found = measure(sample.payload_bits, sample.probabilities, reference)
        copies = repetition(sample.data)
        broken_at = first_fault(sample.data, history=history) if self.s_floor and reference.is_utf8 else None
        reasons = []
        if self.c_floor > found.C:
            reasons.append(f"C {found.C:.2f} is below the floor {self.c_floor:.2f}: the text repeats itself")
        if self.c_floor and copies.share > REPETITION_CEILING:
            reasons.append(
                f"{copies.share:.0%} of the text are copies of the same {_bytes(copies.period)}, "
                f"more than {REPETITION_CEILING:.0%}"
            )
        if self.s_floor > found.S:
            reasons.append(
                f"S {found.S:.2f} is below the floor {self.s_floor:.2f}: "
                "the text is unlike what the model was trained on"
            )
        if broken_at is not None:
            reasons.append(
                f"byte {broken_at} (0x{sample.data[broken_at]:02x}) is not UTF-8, which the training text is"
            )
        return GateVerdict(
            passed=not reasons, K=found.K, C=found.C, S=found.S, repetition=copies.share,
            reasons=tuple(reasons), c_floor=self.c_floor, s_floor=self.s_floor, broken_at=broken_at,
        )  # fmt: skip


def _bytes(count: int) -> str:
    return f"{count} byte{'s' if count != 1 else ''}"


@dataclass(frozen=True)
class Attempt:
    """One sample's settings and what the gate said of it."""

    seed: int
    temperature: float
    top_p: float
    verdict: GateVerdict


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
class _Draw:
    """Everything that decides one sample."""

    model: BitTransformer
    prompt: Tensor
    max_new_bytes: int
    temperature: float
    top_p: float
    seed: int

    def sample(self) -> Sample:
        emitted = generate(
            self.model,
            self.prompt,
            max_new_bytes=self.max_new_bytes,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
        )
        return collect(emitted, self.model.config.parity)


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
) -> GatedSample:
    """Emit text after a prompt and measure what was emitted.

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

    Raises:
        SafetyGateError: strict, and a floor was missed; carries the verdict.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range.
    """
    draw = _Draw(model, bits, max_new_bytes, temperature, top_p, seed)
    return _deliver([_judged(draw, SafetyGate(c_floor, s_floor))], strict=strict)


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
    max_retries: int = 3,
    backoff_s: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> GatedSample:
    """Draw again, differently, until a sample passes or the retries are used up.

    Retry i has a new seed, and the first temperature times 1 - 0.1·i; after a sample that repeated itself
    it is times 1 + 0.1·i instead, since sharper predictions only tighten a loop.

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
        drawn: What `generate` gives for the first attempt, where `generate_batch` has drawn it already.
        max_retries: Samples after the first, 0 to 100.
        backoff_s: Seconds to wait before retry 1, doubled before each further one; at most 60.
        sleep: What waits.

    Raises:
        SafetyGateError: strict, and no sample passed; carries the best verdict and all attempts.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range.
    """
    _check_retries(max_retries)
    _check_number("backoff_s", backoff_s, LONGEST_BACKOFF_S)
    gate = SafetyGate(c_floor, s_floor)
    first = _Draw(model, bits, max_new_bytes, temperature, top_p, seed)
    judged = [_judged(first, gate, drawn)]
    for retry in range(1, max_retries + 1):
        if judged[-1].verdict.passed:
            break
        if backoff_s:
            sleep(min(backoff_s * 2.0 ** (retry - 1), LONGEST_BACKOFF_S))
        judged.append(_judged(_retry_draw(first, retry, judged[-1].verdict), gate))
    return _deliver(judged, strict=strict)


def _judged(draw: _Draw, gate: SafetyGate, drawn: Sample | None = None) -> GatedSample:
    """Draw one sample, if it is not drawn yet, and judge it."""
    if draw.model.reference is None:
        raise MissingReferenceError
    sample = draw.sample() if drawn is None else drawn
    history = bits_to_bytes(draw.prompt, parity=draw.model.config.parity)
    verdict = gate.judge(sample, draw.model.reference, history=history)
    return GatedSample(sample, verdict, (Attempt(draw.seed, draw.temperature, draw.top_p, verdict),))


def _retry_draw(first: _Draw, retry: int, last: GateVerdict) -> _Draw:
    """Return the settings of one retry; a greedy first attempt is retried above temperature 0."""
    base = first.temperature or 1 - LADDER_STEP
    share = (
        1 + LADDER_STEP * retry if last.repeats else max(1 - LADDER_STEP * retry, LEAST_LADDER_TEMPERATURE)
    )
    return replace(first, temperature=base * share, seed=counter_seed(first.seed, retry, "retry"))


def _deliver(judged: list[GatedSample], *, strict: bool) -> GatedSample:
    """Return the best sample with all attempts, or refuse it."""
    best = max(judged, key=lambda candidate: candidate.verdict.margin)
    attempts = tuple(attempt for candidate in judged for attempt in candidate.attempts)
    if not best.verdict.passed:
        if strict:
            raise SafetyGateError(best.verdict, attempts)
        reasons = "; ".join(best.verdict.reasons)
        warnings.warn(SafetyGateWarning(f"let through below a floor: {reasons}"), stacklevel=3)
    return replace(best, attempts=attempts)


def _check_number(field: str, value: object, most: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not is_number or not 0 <= value <= most:  # type: ignore[operator] # a number by now
        raise ConfigError(field, value, f"use a number from 0 to {most:g}.")


def _check_retries(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_RETRIES:
        raise ConfigError("max_retries", value, f"use a whole number from 0 to {MOST_RETRIES}.")
