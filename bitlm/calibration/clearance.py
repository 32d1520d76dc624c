"""How high the gate's floors may stand before they refuse a text."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from bitlm.bits import PAYLOAD_BITS
from bitlm.gate import REPETITION_CEILING, SafetyGate
from bitlm.generation import Sample
from bitlm.reference import ReferenceModel


@dataclass(frozen=True, eq=False)
class Clearances:
    """The highest floors that some texts pass, text by text.

    Attributes:
        C: Each text's C; 0 where copies of one passage take too much, which any floor above 0 refuses.
        S: Each text's S; 0 where it is not UTF-8 and the training text is.
    """

    C: Float64[np.ndarray, "text"]
    S: Float64[np.ndarray, "text"]

    @classmethod
    def of(cls, texts: Iterable[bytes], reference: ReferenceModel) -> "Clearances":
        """Have the gate judge each text as if a model had emitted it.

        Raises:
            BitFormatError: A text has no bytes.
        """
        gate = SafetyGate()
        verdicts = [gate.judge(as_sample(text), reference) for text in texts]
        return cls(
            np.array([0.0 if found.repetition > REPETITION_CEILING else found.C for found in verdicts]),
            np.array([found.S if found.broken_at is None else 0.0 for found in verdicts]),
        )

    def __add__(self, other: "Clearances") -> "Clearances":
        return Clearances(np.concatenate([self.C, other.C]), np.concatenate([self.S, other.S]))

    def refused(self, c_floor: float, s_floor: float) -> float:
        """Return the share of the texts that a gate of these floors refuses."""
        return float(((c_floor > self.C) | (s_floor > self.S)).mean())

    def headroom(self, c_floor: float, s_floor: float) -> Float64[np.ndarray, "text"]:
        """Return by what factor both floors could be raised together before each text is refused.

        1 and more passes; infinite where both floors are 0.
        """
        room = np.full(len(self.C), np.inf)
        for cleared, floor in ((self.C, c_floor), (self.S, s_floor)):
            if floor:
                with np.errstate(over="ignore"):  # a floor next to 0 leaves all the room there is
                    room = np.minimum(room, cleared / floor)
        return room


def as_sample(text: bytes) -> Sample:
    """Return bytes as if a model had emitted them; what it thought of them the gate does not judge."""
    halves = torch.full((PAYLOAD_BITS * len(text),), 0.5, dtype=torch.float64)
    return Sample(text, halves, parity=False)
