"""C: how many new phrases a row of bits keeps making, and how many a model expects it to make."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from bitlm.bits import as_bits
from bitlm.compiled import compiled

NEITHER, ZERO, ONE, BOTH = -1, 0, 1, 2
"""Which bits go on with the phrase so far, as something that occurs earlier."""


def lz_phrases(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> int:
    """Return the number of phrases of the LZ76 parse; an unfinished last phrase counts as one.

    Each phrase is the shortest continuation that does not occur earlier, where an earlier occurrence may
    overlap the phrase itself but not end with it. Time is linear in the length.

    Raises:
        BitFormatError: An element is neither 0 nor 1.

    Source: Lempel & Ziv, "On the Complexity of Finite Sequences", IEEE Trans. Inf. Theory 22(1), 1976,
    doi:10.1109/TIT.1976.1055501; counted as by Kaspar & Schuster, Phys. Rev. A 36(2), 1987,
    doi:10.1103/PhysRevA.36.842. What occurs earlier is looked up in a suffix automaton: Blumer et al., "The
    Smallest Automaton Recognizing the Subwords of a Text", Theoretical Computer Science 40, 1985.
    """
    row = as_bits(bits).cpu().numpy()
    breaks, unfinished = _parse(row, np.empty(len(row), np.int8))
    return breaks + unfinished


def lz_complexity(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> float:
    """Return C = c log2(n) / n, c the LZ76 phrases of n payload bits: about 1 for noise, near 0 for a loop.

    Short rows read high, random ones above 1 (1.17 at 128 bits); compare only rows of the same length.
    Fewer than 2 bits have nothing to repeat or vary, and C is 0.

    Raises:
        BitFormatError: An element is neither 0 nor 1.

    Source: as `lz_phrases`.
    """
    return lz_phrases(bits) * _complexity_of_a_phrase(len(bits))


def expected_complexity(
    probabilities: Float[Tensor, "row bit"], bits: UInt8[Tensor, "row bit"]
) -> Float[Tensor, ""]:
    """Return C̃: the C a model expects while it reads these rows, averaged over them; differentiable.

    Each row is parsed as `lz_phrases` does. Where the phrase so far goes on with one bit only, as something
    that occurs earlier, the other bit would end it: C̃ adds up the probability of that, in place of the
    phrases that end. So it is linear in the probabilities, has a gradient at such bits alone, and is C
    where the model is certain of the bits.

    Args:
        probabilities: The model's P(bit = 1) at each bit, given the ones before.
        bits: What stands there, 0 and 1.
    """
    rows, length = bits.shape
    known = np.empty((rows, length), np.int8)
    certain = 0
    for row, continuations in zip(bits.cpu().numpy(), known, strict=True):
        certain += _parse(row, continuations)[1]
    certain += int((known == NEITHER).sum())
    one_ends = torch.from_numpy((known == ZERO).astype(np.float32)).to(probabilities)
    zero_ends = torch.from_numpy((known == ONE).astype(np.float32)).to(probabilities)
    breaks = (one_ends * probabilities + zero_ends * (1 - probabilities)).sum() + certain
    return breaks * (_complexity_of_a_phrase(length) / rows)


def _complexity_of_a_phrase(length_bits: int) -> float:
    if length_bits < 2:  # noqa: PLR2004 - log2(1) is 0, log2(0) is nothing
        return 0.0
    return math.log2(length_bits) / length_bits


@compiled
def _parse(row: UInt8[np.ndarray, "bit"], known: Int8[np.ndarray, "bit"]) -> tuple[int, int]:
    """Parse a row of bits.

    A suffix automaton of what has been read says what occurs in it: a string is there if it leads from the
    root to a state. The state the phrase so far leads to is followed while the automaton grows. A phrase
    that goes on is a suffix no longer than the longest that occurs earlier, so what leads on from its state
    is turned to the split one wherever a state is split.

    Args:
        row: 0 and 1.
        known: Set to which bits go on with the phrase so far at each place.

    Returns:
        Phrases that ended, and 1 if the row's end cut one off, else 0.
    """
    most = 2 * len(row) + 1
    following = np.full((most, 2), -1, np.int64)
    link, longest = np.full(most, -1, np.int64), np.zeros(most, np.int64)
    states, whole = 1, 0  # the state of all that has been read
    state, breaks = 0, 0  # where the phrase so far leads to, and how many have ended
    for place in range(len(row)):
        zero, one = following[state, 0] >= 0, following[state, 1] >= 0
        known[place] = (BOTH if one else ZERO) if zero else (ONE if one else NEITHER)
        bit = row[place]
        goes_on = following[state, bit] >= 0

        new = states
        states += 1
        longest[new] = longest[whole] + 1
        shorter = whole
        while shorter >= 0 and following[shorter, bit] < 0:
            following[shorter, bit] = new
            shorter = link[shorter]
        if shorter < 0:
            link[new] = 0
        else:
            met = following[shorter, bit]
            if longest[met] != longest[shorter] + 1:
                split = states
                states += 1
                longest[split] = longest[shorter] + 1
                following[split, 0], following[split, 1] = following[met, 0], following[met, 1]
                link[split] = link[met]
                link[met] = split
                while shorter >= 0 and following[shorter, bit] == met:
                    following[shorter, bit] = split
                    shorter = link[shorter]
                met = split
            link[new] = met
        whole = new

        if goes_on:
            state = following[state, bit]
        else:
            state, breaks = 0, breaks + 1
    return breaks, 1 if state else 0
