"""Choosing the rows a chart needs: extremes survive, and so do the rare rows."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

SPARSE = ("validation_bits_per_byte", "C", "S")
"""Columns that most rows leave empty, whose few values must not be thinned away first."""


def thin(columns: dict[str, list[float | None]], max_points: int) -> list[int]:
    """Return at most `max_points` row indices: deterministic min/max buckets, first and last included.

    Half of the points keep the extremes of bits_per_byte; the rest keep the rows that carry a
    value of a sparse column, by their extremes when there are too many.
    """
    rows = len(columns["bits_per_byte"])
    kept = {0, rows - 1}
    kept.update(bucket_extremes(np.asarray(columns["bits_per_byte"], dtype=float), max_points // 4 - 1))
    share = max_points // 2 // len(SPARSE)
    for name in SPARSE:
        present = [index for index, value in enumerate(columns[name]) if value is not None]
        if len(present) > share:
            values = np.asarray([columns[name][index] for index in present], dtype=float)
            present = [present[index] for index in bucket_extremes(values, share // 2)]
        kept.update(present)
    return sorted(kept)


def bucket_extremes(values: Float[ndarray, "row"], buckets: int) -> list[int]:
    """Return the index of the smallest and the largest value of each of `buckets` equal stretches."""
    edges: Int[ndarray, edge] = np.linspace(0, len(values), max(1, buckets) + 1).astype(int)
    return sorted({index for lo, hi in _stretches(edges.tolist()) for index in _extremes(values, lo, hi)})


def _stretches(edges: Sequence[int]) -> list[tuple[int, int]]:
    return [(lo, hi) for lo, hi in pairwise(edges) if hi > lo]


def _extremes(values: Float[ndarray, "row"], lo: int, hi: int) -> tuple[int, int]:
    return lo + int(values[lo:hi].argmin()), lo + int(values[lo:hi].argmax())
