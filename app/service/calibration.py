"""Floors that fit the live run's text, worked out in the asker's thread while training goes on."""

from hashlib import sha256
from threading import Lock

import numpy as np

from app.service.answers import Answered
from bitlm.calibration import Calibration, Floors, Windows, fit, measure, split
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel

SHARES: tuple[float, ...] = tuple((hundredth / 100) ** 2 for hundredth in range(101))
"""Where the distribution of real text is read: closer together where few texts are refused."""


class FittedFloors(Answered):
    """Floors for samples of one length, and how real text of that length is distributed.

    Attributes:
        c_ceiling: The C that as small a share of text lies above; not gated.
        passages: Samples that do not overlap in the half of the text that was fitted on.
        windows: Those that were measured there, overlapping where the text is short.
        refused_seen: The share of them that the floors refuse.
        refused_unseen: The same of the other half's; by C alone and S alone in the two below.
        C: For each of the answer's `shares`, the C floor that refuses that share of all held-out text.
        S: The same for the S floor.
    """

    length_bytes: int
    c_floor: float
    s_floor: float
    c_ceiling: float
    passages: int
    windows: int
    refused_seen: float
    refused_unseen: float
    refused_unseen_by_C: float
    refused_unseen_by_S: float
    C: tuple[float, ...]
    S: tuple[float, ...]

    @classmethod
    def of(cls, floors: Floors) -> "FittedFloors":
        """Say what was fitted to one length."""
        text = floors.seen + floors.unseen
        C, S = (
            tuple(np.quantile(cleared, SHARES, method="lower").round(4).tolist())
            for cleared in (text.C, text.S)
        )
        return cls(**floors.record(), C=C, S=S)


class CalibrationAnswer(Answered):
    """Floors by length.

    Attributes:
        false_reject_rate: The share of real text they may refuse together where they were fitted.
        shares: Of real text, to which each length's `C` and `S` belong.
    """

    run_id: str
    false_reject_rate: float
    shares: tuple[float, ...] = SHARES
    lengths: tuple[FittedFloors, ...]

    @classmethod
    def of(cls, run_id: str, calibration: Calibration) -> "CalibrationAnswer":
        """Say what was fitted to a run's text."""
        return cls(
            run_id=run_id,
            false_reject_rate=calibration.false_reject_rate,
            lengths=tuple(FittedFloors.of(floors) for floors in calibration.floors),
        )


class Calibrator:
    """Measures one text at a time and remembers the last: floors depend on text, counts and rate alone.

    So another run of the same text has them at once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: tuple[tuple[str, str], tuple[Windows, ...]] | None = None

    def calibrate(self, corpus: Corpus, reference: ReferenceModel, false_reject_rate: float) -> Calibration:
        """Return floors for a text; the first time takes some seconds.

        Raises:
            CorpusError: The held-out text is too short.
        """
        text = (corpus.fingerprint, _fingerprint(reference))
        with self._lock:
            if self._last is None or self._last[0] != text:
                self._last = (text, measure(split(corpus.held_out), reference))
            measured = self._last[1]
        return fit(measured, false_reject_rate)


def _fingerprint(reference: ReferenceModel) -> str:
    """Return what models have in common that predict the same: a hash of all that is kept of them."""
    numbers = (reference.index.length, reference.order, reference.alpha, reference.is_utf8)
    return sha256(reference.index.matrix.words.tobytes() + str(numbers).encode()).hexdigest()
