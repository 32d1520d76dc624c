"""When the gate's verdict on a text is settled before the text is whole.

The gate judges whole texts. Of a text whose length is known beforehand it can be clear earlier that it will
be refused, whatever follows: then nothing is gained by emitting the rest. Until it is clear nothing is said,
so a text that passes is never stopped.

Source: curtailed inspection; Dodge & Romig, "A Method of Sampling Inspection", BSTJ 8(4), 1929.
"""

from collections.abc import Iterator
from math import log2

from bitlm.bits import PAYLOAD_BITS, FaultFinder
from bitlm.gate import REPETITION_CEILING
from bitlm.generation import GeneratedByte
from bitlm.reference import ReferenceModel
from bitlm.telemetry import byte_log_probabilities, repetition

LOOK_BYTES = 16
"""How much is emitted between two looks at S and copies: one at each byte would slow a small model a lot."""

MOST_LOOKS = 64
"""Of a long text; so they stay a fixed share of its cost."""

_ROUNDING = 1e-9
"""What sums of logarithms, divided by their number, can differ by for the order they are added in."""


class Curtailment:
    """Watches one text and says when it can no longer pass, whatever follows.

    * A byte that UTF-8 cannot have there is noticed at once.
    * S is a geometric mean of probabilities, each below 1: when those so far, with all of the rest 1, would
      miss the floor, the whole must.
    * The longest stretch of copies only grows: when it is more than the whole may have, it stays so.

    C is not watched. A phrase may be as short as a few bits, so even after nine tenths of a loop enough of
    them could follow.
    """

    def __init__(
        self,
        reference: ReferenceModel,
        *,
        c_floor: float,
        s_floor: float,
        length_bytes: int,
        history: bytes = b"",
    ) -> None:
        """Begin.

        Args:
            reference: The model of the training text.
            c_floor: As the gate's; at 0 copies are not looked for.
            s_floor: As the gate's; at 0 neither S nor UTF-8 is.
            length_bytes: How many bytes the whole text will have.
            history: The bytes before it, which may have begun its first character.
        """
        self._reference = reference
        self._length = length_bytes
        self._most_copies = REPETITION_CEILING * length_bytes if c_floor else float("inf")
        self._least_log2 = (
            PAYLOAD_BITS * length_bytes * (log2(s_floor) - _ROUNDING) if s_floor else -float("inf")
        )
        self._faults = FaultFinder(history) if s_floor and reference.is_utf8 else None
        self._interval = max(LOOK_BYTES, length_bytes // MOST_LOOKS)
        self._text = bytearray()
        self._log2 = 0.0

    def until_settled(self, emitted: Iterator[GeneratedByte]) -> Iterator[GeneratedByte]:
        """Pass bytes on up to the one with which the text is lost, and leave the rest in `emitted`."""
        for generated in emitted:
            yield generated
            if self._is_lost_with(generated.value):
                return

    def _is_lost_with(self, value: int) -> bool:
        self._text.append(value)
        if self._faults is not None and self._faults.is_broken_by(value):
            return True
        return len(self._text) % self._interval == 0 and self._is_lost()

    def _is_lost(self) -> bool:
        if self._least_log2 > -float("inf"):
            start = len(self._text) - self._interval
            before = bytes(self._text[max(0, start - self._reference.order) : start])
            self._log2 += float(
                byte_log_probabilities(bytes(self._text[start:]), self._reference, history=before).sum()
            )
            if self._log2 < self._least_log2:
                return True
        if len(self._text) <= self._most_copies:
            return False
        return round(repetition(bytes(self._text)).share * len(self._text)) > self._most_copies
