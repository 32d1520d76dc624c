"""Weights in eight or four bits each: rounded to whole numbers in groups that share a scale, and packed."""

from bitlm.quantisation.groups import Groups, dequantise, pack, quantise, rounded, unpack
from bitlm.quantisation.models import is_quantised, quantize_dynamic, with_weights
from bitlm.quantisation.precision import PRECISIONS, Precision, bits_of

__all__ = [
    "PRECISIONS",
    "Groups",
    "Precision",
    "bits_of",
    "dequantise",
    "is_quantised",
    "pack",
    "quantise",
    "quantize_dynamic",
    "rounded",
    "unpack",
    "with_weights",
]
