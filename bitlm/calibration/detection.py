"""How surely floors tell text from its failures: shares caught, ROC curves and the areas below them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from bitlm.calibration.clearance import Clearances
from bitlm.calibration.failures import BROKEN_TEXT, FAILURES, OTHERS, Maker
from bitlm.calibration.floors import FALSE_REJECT_RATE, LENGTHS, Calibration, Floors, Half, calibrate
from bitlm.errors import ConfigError
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel

SAMPLES = 200
ROC_POINTS = 33

FALSE_REJECT_RATES: tuple[float, ...] = tuple((point / (ROC_POINTS - 1)) ** 2 for point in range(ROC_POINTS))
"""Where a ROC curve is read: closer together where the rates are small."""


@dataclass(frozen=True)
class Detection:
    """How the gate fares with one kind of failure at one length.

    Attributes:
        kind: As in `FAILURES` and `OTHERS`.
        counted: Whether it is one that must be refused.
        caught: The share that the floors refuse.
        auc: The chance that a window of text has more headroom than such a sample, a tie counting half.
        roc: The share caught with both floors raised or lowered together so far that they refuse each of
            `FALSE_REJECT_RATES` of the text.
    """

    kind: str
    counted: bool
    caught: float
    auc: float
    roc: tuple[float, ...]


def detect(
    floors: Floors, unseen: Half, reference: ReferenceModel, *, samples: int = SAMPLES, seed: int = 0
) -> list[Detection]:
    """Measure floors on failures made from text that they were not fitted on.

    Args:
        floors: The floors, with the text that failures are compared with.
        unseen: The half they were not fitted on.
        reference: The model of the training text.
        samples: Of each kind.
        seed: Key of what is drawn.
    """
    text = floors.unseen.headroom(floors.c_floor, floors.s_floor)
    long_enough = [stretch for stretch in unseen if len(stretch) >= floors.length_bytes]
    detections = []
    for counted, kinds in ((True, FAILURES), (False, OTHERS)):
        for kind, make in _possible(kinds, reference).items():
            made = []
            for index in range(samples):
                random = np.random.default_rng(counter_seed(seed, index, kind, floors.length_bytes))
                stretch = long_enough[random.integers(len(long_enough))]
                made.append(make(stretch, floors.length_bytes, random))
            failures = Clearances.of(made, reference)
            room = failures.headroom(floors.c_floor, floors.s_floor)
            caught = failures.refused(floors.c_floor, floors.s_floor)
            detections.append(Detection(kind, counted, caught, auc(text, room), roc(text, room)))
    return detections


@dataclass(frozen=True)
class Assessment:
    """Floors by length with what they catch.

    Attributes:
        calibration: The floors.
        detections: For each of them, how the gate fares with each kind of failure.
    """

    calibration: Calibration
    detections: tuple[tuple[Detection, ...], ...]

    def weakest(self) -> list[tuple[Floors, Detection, Detection]]:
        """Return each length's floors with the counted failure caught least and that of the least AUC."""
        rows = []
        for floors, detections in zip(self.calibration.floors, self.detections, strict=True):
            counted = [detection for detection in detections if detection.counted]
            caught = min(counted, key=lambda detection: detection.caught)
            rows.append((floors, caught, min(counted, key=lambda detection: detection.auc)))
        return rows

    def record(self) -> dict[str, Any]:
        """Return all figures by name, for JSON."""
        pairs = zip(self.calibration.floors, self.detections, strict=True)
        return {
            "false_reject_rate": self.calibration.false_reject_rate,
            "roc_false_reject_rates": FALSE_REJECT_RATES,
            "lengths": [
                floors.record() | {"failures": [asdict(detection) for detection in detections]}
                for floors, detections in pairs
            ],
        }


def assess(
    halves: tuple[Half, Half],
    reference: ReferenceModel,
    *,
    false_reject_rate: float = FALSE_REJECT_RATE,
    lengths: Sequence[int] = LENGTHS,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Assessment:
    """Fit floors on the first half, and measure them on the second and on failures made of it.

    Args:
        halves: As for `calibrate`.
        reference: The model of the training text.
        false_reject_rate: As for `calibrate`.
        lengths: As for `calibrate`.
        samples: Of each kind of failure.
        seed: Key of what is drawn.

    Raises:
        ConfigError: The rate or the number of samples is out of range.
    """
    if samples < 1:
        raise ConfigError("samples", samples, "use at least 1.")
    calibration = calibrate(halves, reference, false_reject_rate=false_reject_rate, lengths=lengths)
    return Assessment(
        calibration,
        tuple(
            tuple(detect(floors, halves[1], reference, samples=samples, seed=seed))
            for floors in calibration.floors
        ),
    )


def auc(text: Float64[np.ndarray, "text"], failures: Float64[np.ndarray, "failure"]) -> float:
    """Return the chance that a text scores above a failure, a tie counting half.

    Source: Hanley & McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC)
    Curve", Radiology 143(1), 1982.
    """
    ordered = np.sort(failures)
    below, not_above = (np.searchsorted(ordered, text, side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(ordered)))


def roc(text: Float64[np.ndarray, "text"], failures: Float64[np.ndarray, "failure"]) -> tuple[float, ...]:
    """Return the share of failures below the highest bound that at most each rate of the texts lies below."""
    ordered = np.append(np.sort(text), np.inf)
    bounds = ordered[[int(rate * len(text)) for rate in FALSE_REJECT_RATES]]
    return tuple(float((failures < bound).mean()) for bound in bounds)


def _possible(kinds: Mapping[str, Maker], reference: ReferenceModel) -> dict[str, Maker]:
    return {kind: make for kind, make in kinds.items() if reference.is_utf8 or kind not in BROKEN_TEXT}
