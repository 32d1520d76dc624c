"""How much of a text is one passage over and over."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from bitlm.compiled import compiled

LONGEST_PERIOD = 64
LEAST_COPIES = 4


@dataclass(frozen=True)
class Repetition:
    """The longest stretch of a text that is copies of one passage, the last of them possibly cut off.

    Attributes:
        period: Bytes of the passage; 0 where nothing is repeated so often.
        share: The stretch's share of the text, from 0 to 1.
    """

    period: int
    share: float


def repetition(data: bytes) -> Repetition:
    """Return the longest stretch of at least four copies of a passage of at most 64 bytes.

    Unlike C it does not depend on the text's length: a loop has a share of 1 and running text of 0. It sees
    exact copies only. Time is linear in the length.

    Args:
        data: The text; four bytes are the fewest that can repeat so.
    """
    if not data:
        return Repetition(0, 0.0)
    row = np.frombuffer(data, dtype=np.uint8)
    length, period = _longest_stretch(row, min(LONGEST_PERIOD, len(data) // LEAST_COPIES))
    return Repetition(period, length / len(data))


@compiled
def _longest_stretch(row: UInt8[np.ndarray, "byte"], longest_period: int) -> tuple[int, int]:
    """Return its length and period; of equally long ones that with the shortest period."""
    longest, found = 0, 0
    for period in range(1, longest_period + 1):
        same = 0
        for place in range(period, len(row)):
            same = same + 1 if row[place] == row[place - period] else 0
            stretch = same + period
            if stretch >= LEAST_COPIES * period and stretch > longest:
                longest, found = stretch, period
    return longest, found
