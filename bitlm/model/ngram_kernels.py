"""Which vectors stand for the last bytes taken together; compiled."""

import numpy as np
import numpy.typing as npt

from bitlm.compiled import compiled

IntArray = npt.NDArray[np.int64]

ODD = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio: multiples of it lie as far from each other as can be."""


@compiled
def find_slots(values: IntArray, begin: int, slots: int, out: IntArray) -> None:
    """Write a slot for each byte and each number of bytes, two and more, that end with it.

    The last n bytes as a whole number, times an odd one, modulo 2⁶⁴: its highest bits are the slot.

    Args:
        values: [text, byte], each from 0 to 255; a text's bytes before its first count as 0.
        begin: The first byte meant; the others come before.
        slots: How many there are for each n, a power of two above 1.
        out: [n - 2, text, byte - begin]; slots of n bytes begin at (n - 2) · slots.

    Source: Knuth, The Art of Computer Programming, vol. 3, 6.4, for multiplicative hashing.
    """
    highest = np.uint64(64 - int(np.round(np.log2(slots))))
    for text in range(out.shape[1]):
        for t in range(out.shape[2]):
            here = begin + t
            key, place = np.uint64(values[text, here]), np.uint64(1)
            for order in range(out.shape[0]):
                place *= np.uint64(256)
                if here > order:
                    key += np.uint64(values[text, here - order - 1]) * place
                out[order, text, t] = order * slots + np.int64((key * ODD) >> highest)
