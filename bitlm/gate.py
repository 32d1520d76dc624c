"""What the gate holds a text to, and what it says of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

from bitlm.bits import first_fault
from bitlm.errors import BitFormatError, ConfigError
from bitlm.generation import Sample
from bitlm.reference import ReferenceModel
from bitlm.telemetry import Repetition, measure, repetition

REPETITION_CEILING = 0.75
"""Most of a text that copies of one passage may take: running text has 0, and tables' rules less."""


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
        parity_faults: Frames whose parity bit is wrong; what a model of BitLM emits has none.
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
    parity_faults: int = 0
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
        return min(margins) - (self.broken_at is not None or self.parity_faults > 0)


@dataclass(frozen=True)
class SafetyGate:
    """Floors for what may pass; being equal to a floor passes, and a floor of 0 lets everything pass.

    Attributes:
        c_floor: Least C, in [0, 1]. Above 0, copies of one passage may not take more than three quarters.
        s_floor: Least S, in [0, 1]. Above 0, the text must be UTF-8 where the training text is, and its
            frames' parity right.

    Raises:
        ConfigError: A floor is out of range.
    """

    c_floor: float = 0.3
    s_floor: float = 0.5

    def __post_init__(self) -> None:
        for field in ("c_floor", "s_floor"):
            require_number(field, getattr(self, field), 1.0)

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
            parity_faults=sample.parity_faults,
        )
        return replace(verdict, K=found.K)

    def verdict_of(
        self,
        *,
        C: float,
        S: float,
        copies: Repetition,
        broken: tuple[int, int] | None,
        parity_faults: Sequence[int] = (),
    ) -> GateVerdict:
        """Hold what was measured to the floors.

        Args:
            C: LZ complexity of the payload bits.
            S: Geometric-mean probability the reference gives them.
            copies: The longest stretch of copies of one passage.
            broken: Place and value of the first byte that is not UTF-8, where the training text is.
            parity_faults: The frames whose parity bit is wrong.

        Returns:
            A verdict without K, on which it does not depend.
        """
        reasons = []
        if self.c_floor > C:
            reasons.append(f"{_below('C', C, self.c_floor)}: the text repeats itself")
        if self.c_floor and copies.share > REPETITION_CEILING:
            reasons.append(
                f"{copies.share:.0%} of the text are copies of the same {_bytes(copies.period)}, "
                f"more than {REPETITION_CEILING:.0%}"
            )
        if self.s_floor > S:
            reasons.append(
                f"{_below('S', S, self.s_floor)}: the text is unlike what the model was trained on"
            )
        if broken is not None:
            reasons.append(f"byte {broken[0]} (0x{broken[1]:02x}) is not UTF-8, which the training text is")
        if self.s_floor and parity_faults:
            first = parity_faults[0]
            reasons.append(f"the parity of {_frames(len(parity_faults))} is wrong, first of frame {first}")
        broken_at = None if broken is None else broken[0]
        return GateVerdict(
            passed=not reasons, K=nan, C=C, S=S, repetition=copies.share,
            reasons=tuple(reasons), c_floor=self.c_floor, s_floor=self.s_floor, broken_at=broken_at,
            parity_faults=len(parity_faults),
        )  # fmt: skip


def _below(name: str, value: float, floor: float) -> str:
    """Return that a figure is below its floor as it was set, with as many decimals as tell the two apart."""
    shown = round(floor, 3) if value < round(floor, 3) else floor
    decimals = next((count for count in range(2, 16) if round(value, count) < shown), 16)
    return f"{name} {value:.{decimals}f} is below the floor {shown:g}"


def _bytes(count: int) -> str:
    return f"{count} byte{'s' if count != 1 else ''}"


def _frames(count: int) -> str:
    return f"{count} frame{'s' if count != 1 else ''}"


def require_number(field: str, value: object, most: float) -> None:
    """Check that a setting is a number from 0 to `most`.

    Raises:
        ConfigError: It is not.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not is_number or not 0 <= value <= most:  # type: ignore[operator] # a number by now
        raise ConfigError(field, value, f"use a number from 0 to {most:g}.")
