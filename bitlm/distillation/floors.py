"""What a student is held to, and how it is measured."""

from dataclasses import dataclass
from math import isfinite

import torch

from bitlm.data import Text
from bitlm.errors import ConfigError, MissingReferenceError
from bitlm.generation import generate_batch
from bitlm.model import BitTransformer
from bitlm.telemetry import measure
from bitlm.training import held_out_bits_per_byte

TEXTS, TEXT_BYTES = 8, 128
"""How many texts a student draws to be measured, and how long they are."""

MEASURED_BYTES = 2**16
"""Of held-out text that both models are measured on, if there are so many."""


@dataclass(frozen=True)
class Achieved:
    """What a student reaches.

    Attributes:
        C: LZ complexity of texts that it draws, the mean.
        S: Geometric-mean probability that the reference gives them, the mean; in [0, 1].
        bits_per_byte: On held-out text, at most 64 KiB of it.
        teacher_bits_per_byte: The teacher's, on the same.
    """

    C: float
    S: float
    bits_per_byte: float
    teacher_bits_per_byte: float


@dataclass(frozen=True)
class Floors:
    """What a student is to reach; being equal is enough.

    Attributes:
        C: Least C of its texts, in [0, 1].
        S: Least S of its texts, in [0, 1].
        most_worse: Bits per byte that it may cost more than its teacher on held-out text, at least 0.

    Raises:
        ConfigError: One is out of range.
    """

    C: float = 0.3
    S: float = 0.5
    most_worse: float = 0.1

    def __post_init__(self) -> None:
        for field in ("C", "S"):
            if not 0 <= getattr(self, field) <= 1:
                raise ConfigError(field, getattr(self, field), "use a number from 0 to 1.")
        if not (isfinite(self.most_worse) and self.most_worse >= 0):
            raise ConfigError("most_worse", self.most_worse, "use a number of at least 0.")

    def met_by(self, found: Achieved) -> bool:
        """Return whether all are met."""
        worse = found.bits_per_byte - found.teacher_bits_per_byte
        return found.C >= self.C and found.S >= self.S and worse <= self.most_worse


def achieved(teacher: BitTransformer, student: BitTransformer, held_out: Text) -> Achieved:
    """Measure a student beside its teacher; its texts are the same every time.

    Raises:
        CorpusError: There is no held-out text.
        MissingReferenceError: The student has no reference.
    """
    if student.reference is None:
        raise MissingReferenceError
    nothing = torch.zeros(0, dtype=torch.uint8)
    texts = generate_batch(student, [nothing] * TEXTS, seeds=range(TEXTS), max_new_bytes=TEXT_BYTES)
    found = [measure(text.payload_bits, text.probabilities, student.reference) for text in texts]
    text = held_out[:MEASURED_BYTES]
    return Achieved(
        C=sum(one.C for one in found) / TEXTS,
        S=sum(one.S for one in found) / TEXTS,
        bits_per_byte=held_out_bits_per_byte(student, text),
        teacher_bits_per_byte=held_out_bits_per_byte(teacher, text),
    )
