"""Floors of the gate from held-out text: fitted, measured on failures, and told."""

from bitlm.calibration.clearance import Clearances
from bitlm.calibration.detection import Assessment, Detection, assess, auc, detect
from bitlm.calibration.floors import FALSE_REJECT_RATE, LENGTHS, Calibration, Floors, calibrate, split

__all__ = [
    "FALSE_REJECT_RATE",
    "LENGTHS",
    "Assessment",
    "Calibration",
    "Clearances",
    "Detection",
    "Floors",
    "assess",
    "auc",
    "calibrate",
    "detect",
    "split",
]
