"""The gate between a model and a reader: loops, noise and broken text, measured on what was emitted."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

import torch
from torch import Tensor

from bitlm.bits import bits_to_bytes, first_fault
from bitlm.curtailment import REPETITION_CEILING, Curtailment
from bitlm.errors import (
    BitFormatError,
    ConfigError,
    MissingReferenceError,
    SafetyGateError,
    SafetyGateWarning,
)
from bitlm.generation import GeneratedByte, Sample, collect, generate
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel
from bitlm.telemetry import Repetition, measure, repetition

LADDER_STEP = 0.1
"""How much each retry adds to or takes from the temperature, as a share of the first one."""

LEAST_LADDER_TEMPERATURE = 0.1

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
        stopped_at: Bytes after which the text was given up, all of which are judged; None where it is whole.
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
    stopped_at: int | None = None

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
        broken_at = first_fault(sample.data, history=history) if self.s_floor and reference.is_utf8 else None
        verdict = self.verdict_of(
            C=found.C,
            S=found.S,
            copies=repetition(sample.data),
            broken=None if broken_at is None else (broken_at, sample.data[broken_at]),
        )
        return replace(verdict, K=found.K)

    def verdict_of(
        self, *, C: float, S: float, copies: Repetition, broken: tuple[int, int] | None
    ) -> GateVerdict:
        """Hold what was measured to the floors.

        Args:
            C: LZ complexity of the payload bits.
            S: Geometric-mean probability the reference gives them.
            copies: The longest stretch of copies of one passage.
            broken: Place and value of the first byte that is not UTF-8, where the training text is.

        Returns:
            A verdict without K, on which it does not depend.
        """
        reasons = []
        if self.c_floor > C:
            reasons.append(f"C {C:.2f} is below the floor {self.c_floor:.2f}: the text repeats itself")
        if self.c_floor and copies.share > REPETITION_CEILING:
            reasons.append(
                f"{copies.share:.0%} of the text are copies of the same {_bytes(copies.period)}, "
                f"more than {REPETITION_CEILING:.0%}"
            )
        if self.s_floor > S:
            reasons.append(
                f"S {S:.2f} is below the floor {self.s_floor:.2f}: "
                "the text is unlike what the model was trained on"
            )
        if broken is not None:
            reasons.append(f"byte {broken[0]} (0x{broken[1]:02x}) is not UTF-8, which the training text is")
        broken_at = None if broken is None else broken[0]
        return GateVerdict(
            passed=not reasons, K=nan, C=C, S=S, repetition=copies.share,
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

    def emit(self) -> Iterator[GeneratedByte]:
        return generate(
            self.model,
            self.prompt,
            max_new_bytes=self.max_new_bytes,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
        )


@dataclass(frozen=True)
class _Trial:
    """A sample with its verdict.

    Attributes:
        draw: What decided the sample.
        sample: What was emitted of it.
        verdict: The gate's finding on that.
        rest: What it would go on with, if it was given up.
    """

    draw: _Draw
    sample: Sample
    verdict: GateVerdict
    rest: Iterator[GeneratedByte]

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.draw.seed, self.draw.temperature, self.draw.top_p, self.verdict)


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

    Raises:
        SafetyGateError: strict, and a floor was missed; carries the verdict.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range.
    """
    gate = SafetyGate(c_floor, s_floor)
    trial = _try(_Draw(model, bits, max_new_bytes, temperature, top_p, seed), gate, stop_early=strict)
    return _deliver(gate, trial, (trial.attempt,), strict=strict)


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

    Raises:
        SafetyGateError: strict, and no sample passed; carries the best verdict and all attempts.
        MissingReferenceError: The model has no reference.
        ConfigError: A setting is out of range.
    """
    _check_retries(max_retries)
    _check_number("backoff_s", backoff_s, LONGEST_BACKOFF_S)
    gate, first = SafetyGate(c_floor, s_floor), _Draw(model, bits, max_new_bytes, temperature, top_p, seed)
    best = last = _try(first, gate, drawn, stop_early=stop_early)
    attempts = [best.attempt]
    while not last.verdict.passed and len(attempts) <= max_retries:
        retry = len(attempts)
        if backoff_s:
            sleep(min(backoff_s * 2.0 ** (retry - 1), LONGEST_BACKOFF_S))
        last = _try(_retry_draw(first, retry, last.verdict), gate, stop_early=stop_early)
        attempts.append(last.attempt)
        best = max(best, last, key=lambda trial: trial.verdict.margin)
    return _deliver(gate, best, tuple(attempts), strict=strict)


def _try(draw: _Draw, gate: SafetyGate, drawn: Sample | None = None, *, stop_early: bool) -> _Trial:
    """Draw one sample, if it is not drawn yet, as far as it can pass, and judge it."""
    reference = draw.model.reference
    if reference is None:
        raise MissingReferenceError
    parity = draw.model.config.parity
    rest: Iterator[GeneratedByte] = iter(()) if drawn else draw.emit()
    history = bits_to_bytes(draw.prompt, parity=parity)
    emitted = rest
    if stop_early:
        emitted = Curtailment(
            reference,
            c_floor=gate.c_floor,
            s_floor=gate.s_floor,
            length_bytes=draw.max_new_bytes,
            history=history,
        ).until_settled(rest)
    sample = drawn or collect(emitted, parity)
    verdict = gate.judge(sample, reference, history=history)
    if drawn is None and len(sample.data) < draw.max_new_bytes:
        assert not verdict.passed, "what settles a text's verdict is there to be seen in what was emitted"
        verdict = replace(verdict, stopped_at=len(sample.data))
    return _Trial(draw, sample, verdict, rest)


def _completed(trial: _Trial, gate: SafetyGate) -> _Trial:
    """Take up a sample where it was given up, and judge the whole of it."""
    begun, rest = trial.sample, collect(trial.rest, trial.sample.parity)
    whole = Sample(begun.data + rest.data, torch.cat([begun.probabilities, rest.probabilities]), begun.parity)
    return _try(trial.draw, gate, whole, stop_early=False)


def _retry_draw(first: _Draw, retry: int, last: GateVerdict) -> _Draw:
    """Return the settings of one retry; a greedy first attempt is retried above temperature 0."""
    base = first.temperature or 1 - LADDER_STEP
    share = (
        1 + LADDER_STEP * retry if last.repeats else max(1 - LADDER_STEP * retry, LEAST_LADDER_TEMPERATURE)
    )
    return replace(first, temperature=base * share, seed=counter_seed(first.seed, retry, "retry"))


def _deliver(gate: SafetyGate, best: _Trial, attempts: tuple[Attempt, ...], *, strict: bool) -> GatedSample:
    """Return the best sample with all attempts, whole, or refuse it."""
    if not best.verdict.passed:
        if strict:
            raise SafetyGateError(best.verdict, attempts)
        if best.verdict.stopped_at is not None:
            given_up, best = best.attempt, _completed(best, gate)
            attempts = tuple(best.attempt if attempt == given_up else attempt for attempt in attempts)
        reasons = "; ".join(best.verdict.reasons)
        warnings.warn(SafetyGateWarning(f"let through below a floor: {reasons}"), stacklevel=3)
    return GatedSample(best.sample, best.verdict, attempts)


def _check_number(field: str, value: object, most: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not is_number or not 0 <= value <= most:  # type: ignore[operator] # a number by now
        raise ConfigError(field, value, f"use a number from 0 to {most:g}.")


def _check_retries(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_RETRIES:
        raise ConfigError("max_retries", value, f"use a whole number from 0 to {MOST_RETRIES}.")
