"""Floors of the gate fitted on one half of a held-out text and measured on the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitlm.bits import LONGEST_CHARACTER
from bitlm.calibration.clearance import Clearances
from bitlm.calibration.failures import character_start
from bitlm.data import Text
from bitlm.errors import ConfigError, CorpusError
from bitlm.reference import ReferenceModel

LENGTHS = (32, 64, 128, 256, 512, 1024)
"""Bytes of a sample for which floors are fitted."""

FALSE_REJECT_RATE = 0.01
HIGHEST_RATE = 0.5
STRETCH_BYTES = 2 * LENGTHS[-1]
LEAST_STRETCH_BYTES = 2 * LENGTHS[0]
MOST_STRETCHES = 2**11
"""Of a longer text so many are taken, spread evenly: four megabytes, which both halves hold in memory."""

WINDOWS = 400
THOUSANDTHS = 1000
"""Floors are rounded down to these: what the page shows of them."""

Half = tuple[bytes, ...]


@dataclass(frozen=True)
class Floors:
    """Floors for samples of one length.

    Attributes:
        length_bytes: The samples' length.
        c_floor: Least C.
        s_floor: Least S.
        c_ceiling: The C that as small a share of the fitted text lies above; it shows how far noise is from
            text and is not gated.
        passages: How many samples that do not overlap the fitted half has room for: what the floors rest on.
        seen: Of the windows that the floors were fitted on.
        unseen: Of the windows of the other half.
    """

    length_bytes: int
    c_floor: float
    s_floor: float
    c_ceiling: float
    passages: int
    seen: Clearances
    unseen: Clearances

    @property
    def refused_seen(self) -> float:
        """The share of the fitted windows that these floors refuse."""
        return self.seen.refused(self.c_floor, self.s_floor)

    @property
    def refused_unseen(self) -> float:
        """The share of the other half's windows that they refuse: the figure to believe."""
        return self.unseen.refused(self.c_floor, self.s_floor)

    def record(self) -> dict[str, float]:
        """Return the figures by name, beside them what each floor refuses alone of the other half."""
        return {
            "length_bytes": self.length_bytes,
            "c_floor": self.c_floor,
            "s_floor": self.s_floor,
            "c_ceiling": self.c_ceiling,
            "passages": self.passages,
            "windows": len(self.seen.C),
            "refused_seen": self.refused_seen,
            "refused_unseen": self.refused_unseen,
            "refused_unseen_by_C": self.unseen.refused(self.c_floor, 0.0),
            "refused_unseen_by_S": self.unseen.refused(0.0, self.s_floor),
        }


@dataclass(frozen=True)
class Windows:
    """What text of one length clears.

    Attributes:
        length_bytes: The windows' length.
        passages: As of `Floors`.
        seen: Of the half to fit on.
        unseen: Of the other half.
    """

    length_bytes: int
    passages: int
    seen: Clearances
    unseen: Clearances


@dataclass(frozen=True)
class Calibration:
    """Floors by length.

    Attributes:
        false_reject_rate: The share of real text that C and S together may refuse of the fitted half.
        floors: One for each length that the text is long enough for, the shortest first.
    """

    false_reject_rate: float
    floors: tuple[Floors, ...]

    def nearest(self, length_bytes: int) -> Floors:
        """Return the floors of the length nearest by ratio; of two equally near ones the shorter."""
        return min(self.floors, key=lambda floors: abs(math.log(floors.length_bytes / length_bytes)))


def calibrate(
    halves: tuple[Half, Half],
    reference: ReferenceModel,
    *,
    false_reject_rate: float = FALSE_REJECT_RATE,
    lengths: Sequence[int] = LENGTHS,
    windows: int = WINDOWS,
) -> Calibration:
    """Fit floors of C and S for each length; nothing is drawn at random.

    Both floors lie at the same quantile of their measure, the highest at which they refuse no more
    of the fitted windows than asked, counting every reason of the gate's. Where copies of one passage alone
    are more of the text than that, the floor of C is 0.

    Args:
        halves: What to fit on and what to measure on, as `split` cuts a text the reference has not counted.
        reference: The model of the training text.
        false_reject_rate: The share of real text to refuse, above 0 and at most 0.5.
        lengths: Bytes of the samples; those longer than the text's stretches are left out.
        windows: Windows of each half, spread evenly; they overlap where the half is short.

    Raises:
        ConfigError: The rate or the number of windows is out of range.
    """
    _check_rate(false_reject_rate)
    return fit(measure(halves, reference, lengths=lengths, windows=windows), false_reject_rate)


def measure(
    halves: tuple[Half, Half],
    reference: ReferenceModel,
    *,
    lengths: Sequence[int] = LENGTHS,
    windows: int = WINDOWS,
) -> tuple[Windows, ...]:
    """Have the gate judge windows of both halves: what takes time, and does not depend on the rate.

    Arguments are those of `calibrate`.

    Raises:
        ConfigError: The number of windows is out of range.
    """
    if windows < 1:
        raise ConfigError("windows", windows, "use at least 1.")
    return tuple(
        Windows(
            length,
            sum(len(stretch) // length for stretch in halves[0]),
            *(Clearances.of(_even_windows(half, length, windows), reference) for half in halves),
        )
        for length in sorted(lengths)
        if all(any(len(stretch) >= length for stretch in half) for half in halves)
    )


def fit(measured: Sequence[Windows], false_reject_rate: float) -> Calibration:
    """Return the floors of `calibrate` for text that has been measured.

    Raises:
        ConfigError: The rate is out of range.
    """
    _check_rate(false_reject_rate)
    return Calibration(false_reject_rate, tuple(_fit(windows, false_reject_rate) for windows in measured))


def split(held_out: Text) -> tuple[Half, Half]:
    """Return a text as two halves, its stretches of 2,048 bytes going to one and the other in turn.

    So both halves are of all parts of the text, which may be of several kinds, and no byte is in both. A
    text of less than two stretches is cut in two; of one of more than four megabytes the stretches lie apart.

    Raises:
        CorpusError: A half would have less than 64 bytes.
    """
    stretch_bytes = min(STRETCH_BYTES, len(held_out) // 2)
    if stretch_bytes < LEAST_STRETCH_BYTES:
        raise CorpusError(
            f"the held-out tenth has {len(held_out)} bytes and calibration needs {2 * LEAST_STRETCH_BYTES}: "
            f"half to fit on, half to measure on; supply a text of {20 * LEAST_STRETCH_BYTES} bytes or more."
        )
    places = range(0, len(held_out), max(stretch_bytes, len(held_out) // MOST_STRETCHES))
    stretches = [
        held_out[_character_start(held_out, place) : _character_start(held_out, place + stretch_bytes)]
        for place in places
    ]
    return tuple(stretches[::2]), tuple(stretches[1::2])


def _character_start(text: Text, place: int) -> int:
    """Return `character_start` of a text that need not be in memory; its end for a place behind it."""
    if place >= len(text):
        return len(text)
    begin = max(0, place - LONGEST_CHARACTER + 1)
    return begin + character_start(text[begin : place + 1], place - begin)


def _check_rate(rate: float) -> None:
    if not 0 < rate <= HIGHEST_RATE:
        raise ConfigError("false_reject_rate", rate, f"use a share above 0 and at most {HIGHEST_RATE:g}.")


def _fit(windows: Windows, rate: float) -> Floors:
    c_floor, s_floor = _floors(windows.seen, rate)
    highest = float(np.quantile(windows.seen.C, 1 - rate, method="higher"))
    return Floors(c_floor=c_floor, s_floor=s_floor, c_ceiling=-_rounded_down(-highest), **vars(windows))


def _floors(seen: Clearances, rate: float) -> tuple[float, float]:
    """Return the values at the highest quantile at which the two refuse no more than the rate together."""
    by_C, by_S = np.sort(seen.C), np.sort(seen.S)
    best = 0.0, 0.0
    for below in range(int(rate * len(by_C)) + 1):
        floors = _rounded_down(float(by_C[below])), _rounded_down(float(by_S[below]))
        if seen.refused(*floors) > rate:
            break
        best = floors
    return best


def _rounded_down(value: float) -> float:
    return math.floor(value * THOUSANDTHS) / THOUSANDTHS


def _even_windows(half: Half, length: int, count: int) -> list[bytes]:
    """Return windows spread evenly over all the places at which one can start."""
    ends = np.cumsum([max(0, len(stretch) - length + 1) for stretch in half])
    chosen = np.linspace(0, ends[-1] - 1, min(count, ends[-1])).astype(int)
    windows = []
    for place, number in zip(chosen, np.searchsorted(ends, chosen, side="right"), strict=True):
        stretch = half[number]
        start = character_start(stretch, int(place - ends[number]) + max(0, len(stretch) - length + 1))
        windows.append(stretch[start : start + length])
    return windows
