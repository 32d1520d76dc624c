"""Floors of the gate from held-out text: fitted, measured on failures, and told."""

from bitlm.calibration.clearance import Clearances
from bitlm.calibration.detection import Assessment, Detection, assess, auc, detect
from bitlm.calibration.floors import (
    FALSE_REJECT_RATE,
    LENGTHS,
    Calibration,
    Floors,
    Windows,
    calibrate,
    fit,
    measure,
    split,
)

__all__ = [
    "FALSE_REJECT_RATE",
    "LENGTHS",
    "Assessment",
    "Calibration",
    "Clearances",
    "Detection",
    "Floors",
    "Windows",
    "assess",
    "auc",
    "calibrate",
    "detect",
    "fit",
    "measure",
    "split",
]
