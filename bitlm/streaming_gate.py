"""The gate on a text without an end: what it says of the last few bytes, while they are emitted."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import exp, exp2

import torch

from bitlm.bits import PAYLOAD_BITS, FaultFinder, bytes_to_bits, first_fault
from bitlm.gate import GateVerdict, SafetyGate
from bitlm.generation import GeneratedByte
from bitlm.reference import ReferenceModel
from bitlm.telemetry import (
    LEAST_COPIES,
    LONGEST_PERIOD,
    Repetition,
    byte_log_probabilities,
    lz_complexity,
    negentropy_score,
    repetition,
)

WINDOW_BYTES = 128
"""What C and the share of copies are measured on: the length the floors are meant for."""

BURN_IN_BYTES = WINDOW_BYTES
"""What is emitted before anything but a broken byte is a reason: fewer bytes say little."""

MEMORY_BYTES = 64
"""In the moving average behind S, a byte counts less by a factor of e for each so many that follow it."""

LOOK_BYTES = 16
"""How much is emitted between two looks."""

_KEPT_BYTES = LEAST_COPIES * LONGEST_PERIOD


@dataclass
class _MovingMean:
    """The mean of what has been read, the earlier counting less (an exponential moving average).

    The weights of what was read add up to 1 from the first value on, so it starts with no bias towards 0.
    """

    memory: float
    weighted: float = 0.0
    weights: float = 0.0

    def read(self, values: Iterable[float]) -> None:
        keep = exp(-1 / self.memory)
        for value in values:
            self.weighted = keep * self.weighted + value
            self.weights = keep * self.weights + 1

    @property
    def mean(self) -> float:
        return self.weighted / self.weights


class StreamingGate:
    """Watches one text while it is emitted, for as long as it goes on, and ends it where it fails.

    Its verdict is of the last bytes alone: a text that was good for a page and then falls into a loop is
    stopped, though the page with its loop would pass as a whole. So it is for text that someone reads as it
    comes; of a text that is whole, `SafetyGate.judge` has the last word, and `Curtailment` spares what
    cannot change it.

    Attributes:
        verdict: Why the text was ended; None as long as it goes on.
    """

    def __init__(self, gate: SafetyGate, reference: ReferenceModel, *, history: bytes = b"") -> None:
        """Begin.

        Args:
            gate: The floors. C and copies are held to them over the last 128 bytes, S by a moving average
                of the reference's log-probability per bit.
            reference: The model of the training text.
            history: The bytes before the text, which may have begun its first character.
        """
        self.verdict: GateVerdict | None = None
        self._gate = gate
        self._reference = reference
        self._faults = FaultFinder(history) if gate.s_floor and reference.is_utf8 else None
        self._history = history
        self._log2 = _MovingMean(MEMORY_BYTES)
        self._length = 0
        self._kept: deque[GeneratedByte] = deque(maxlen=_KEPT_BYTES + reference.order)

    def watch(self, emitted: Iterable[GeneratedByte]) -> Iterator[GeneratedByte]:
        """Pass bytes on, up to the one with which the text fails; then `verdict` says why."""
        for generated in emitted:
            yield generated
            self._length += 1
            self._kept.append(generated)
            is_broken = self._faults is not None and self._faults.is_broken_by(generated.value)
            if is_broken or self._length % LOOK_BYTES == 0:
                self._look(is_broken=is_broken)
            if self.verdict is not None:
                return

    def _look(self, *, is_broken: bool) -> None:
        """Measure what has been added, and end the text if the gate has something against it."""
        text = bytes(generated.value for generated in self._kept)
        added = (self._length - 1) % LOOK_BYTES + 1
        before = text[max(0, len(text) - added - self._reference.order) : len(text) - added]
        self._log2.read(byte_log_probabilities(text[len(text) - added :], self._reference, history=before))
        if not is_broken and self._length < BURN_IN_BYTES:
            return
        window = text[-WINDOW_BYTES:]
        broken_at = None
        if is_broken:
            broken_at = first_fault(window, history=(self._history + text)[: -len(window)])
        verdict = self._gate.verdict_of(
            C=lz_complexity(bytes_to_bits(window)),
            S=exp2(self._log2.mean / PAYLOAD_BITS),
            copies=_copies(text[-_KEPT_BYTES:]),
            broken=None if broken_at is None else (self._length - len(window) + broken_at, window[broken_at]),
        )
        if not verdict.passed:
            self.verdict = replace(verdict, K=self._certainty(), stopped_at=self._length)

    def _certainty(self) -> float:
        rows = [generated.probabilities for generated in list(self._kept)[-WINDOW_BYTES:]]
        return float(negentropy_score(torch.tensor(rows, dtype=torch.float64)))


def _copies(text: bytes) -> Repetition:
    """Return the longest stretch of copies as a share of a window.

    It is looked for in more than a window, in which four copies of a long passage have no room.
    """
    found = repetition(text)
    return replace(found, share=min(1.0, found.share * len(text) / min(len(text), WINDOW_BYTES)))
