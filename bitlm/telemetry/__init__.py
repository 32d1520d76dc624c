"""K, C and S: what a sample or a prediction looks like; and whether what was measured has drifted."""

from bitlm.telemetry.drift import Drift, detect_metric_drift
from bitlm.telemetry.effect import Effect, Estimate, Point, effect
from bitlm.telemetry.lempel_ziv import expected_complexity, lz_complexity, lz_phrases
from bitlm.telemetry.measures import Measures, measure
from bitlm.telemetry.negentropy import negentropy_score
from bitlm.telemetry.page_hinkley import Move, PageHinkley
from bitlm.telemetry.repetition import LEAST_COPIES, LONGEST_PERIOD, Repetition, repetition
from bitlm.telemetry.spike import Spike, SpikeDetector
from bitlm.telemetry.symbiosis import (
    byte_log_probabilities,
    expected_symbiosis,
    symbiosis_kl,
    symbiosis_score,
)

__all__ = [
    "LEAST_COPIES",
    "LONGEST_PERIOD",
    "Drift",
    "Effect",
    "Estimate",
    "Measures",
    "Move",
    "PageHinkley",
    "Point",
    "Repetition",
    "Spike",
    "SpikeDetector",
    "byte_log_probabilities",
    "detect_metric_drift",
    "effect",
    "expected_complexity",
    "expected_symbiosis",
    "lz_complexity",
    "lz_phrases",
    "measure",
    "negentropy_score",
    "repetition",
    "symbiosis_kl",
    "symbiosis_score",
]
