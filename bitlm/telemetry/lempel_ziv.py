"""C: how many new phrases a row of bits keeps making."""

import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from torch import Tensor

from bitlm.bits import as_bits


def lz_phrases(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> int:
    """Return the number of phrases of the LZ76 parse; an unfinished last phrase counts as one.

    Each phrase is the shortest continuation that does not occur earlier, where an earlier occurrence may
    overlap the phrase itself but not end with it.

    Raises:
        BitFormatError: An element is neither 0 nor 1.

    Source: Lempel & Ziv, "On the Complexity of Finite Sequences", IEEE Trans. Inf. Theory 22(1), 1976,
    doi:10.1109/TIT.1976.1055501; counted as by Kaspar & Schuster, Phys. Rev. A 36(2), 1987,
    doi:10.1103/PhysRevA.36.842.
    """
    row = as_bits(bits).cpu().numpy().tobytes()
    start = phrases = 0
    while start < len(row):
        start += _phrase_length(row, start)
        phrases += 1
    return phrases


def lz_complexity(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> float:
    """Return C = c log2(n) / n, c the LZ76 phrases of n payload bits: about 1 for noise, near 0 for a loop.

    Short rows read high, random ones above 1 (1.17 at 128 bits); compare only rows of the same length.
    Fewer than 2 bits have nothing to repeat or vary, and C is 0.

    Raises:
        BitFormatError: An element is neither 0 nor 1.

    Source: as `lz_phrases`.
    """
    length_bits = len(bits)
    if length_bits < 2:  # noqa: PLR2004 - log2(1) is 0, log2(0) is nothing
        as_bits(bits)
        return 0.0
    return lz_phrases(bits) * math.log2(length_bits) / length_bits


def _phrase_length(row: bytes, start: int) -> int:
    """Return the length of the phrase at `start`, the last one cut off at the end of the row.

    Longer matches are looked for only from where the last one was found: an earlier place that failed
    a shorter phrase fails a longer one too.
    """
    if start == 0:
        return 1
    length, place = 0, 0
    while place >= 0:
        while start + length < len(row) and row[place + length] == row[start + length]:
            length += 1
        if start + length == len(row):
            return length
        place = row.find(row[start : start + length + 1], place + 1, start + length)
    return length + 1
