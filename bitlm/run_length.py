"""Rows of bits as the lengths of their runs; a whole batch at once, without a loop.

A run is a stretch of equal bits. Within a row runs alternate, so their lengths and the first bit are all
there is to know. It is short where runs are long, as in bilevel pictures and in texts that repeat a byte of
zeros; the bits of prose it makes longer, whose runs are two bits long (`benchmarks.run_length`).

Source: Golomb, "Run-length encodings", IEEE Transactions on Information Theory 12(3), 1966.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from bitlm.errors import BitFormatError

Bits = UInt8[np.ndarray, "batch bit"]


@dataclass(frozen=True)
class RunLengths:
    """The runs of some rows of bits.

    Attributes:
        row_bits: Bits of each row.
        first_bits: The value of each row's first run; 0 in rows of no bits.
        lengths: Of all runs, in bits, row after row; each at least 1.
        begins: Where each row's runs begin among the lengths, and at last how many lengths there are.
    """

    row_bits: int
    first_bits: UInt8[np.ndarray, " batch"]
    lengths: Int64[np.ndarray, " run"]
    begins: Int64[np.ndarray, " batch_and_end"]


def batch_rle_encode(bits: Bits) -> RunLengths:
    """Return the runs of each row.

    Raises:
        BitFormatError: The array has not two dimensions, is not uint8, or an element is neither 0 nor 1.
    """
    _check_bits(bits)
    batch, row_bits = bits.shape
    begins_run = np.ones(bits.shape, dtype=np.bool_)
    np.not_equal(bits[:, 1:], bits[:, :-1], out=begins_run[:, 1:])
    lengths = np.diff(np.flatnonzero(begins_run), append=bits.size)
    begins = np.zeros(batch + 1, dtype=np.int64)
    np.cumsum(np.count_nonzero(begins_run, axis=1), out=begins[1:])
    first_bits = bits[:, 0].copy() if row_bits else np.zeros(batch, dtype=np.uint8)
    return RunLengths(row_bits, first_bits, lengths, begins)


def batch_rle_decode(runs: RunLengths) -> Bits:
    """Undo `batch_rle_encode`.

    Raises:
        BitFormatError: The lengths are not those of rows of so many bits, or a first bit is neither 0 nor 1.
    """
    _check_runs(runs)
    counts = np.diff(runs.begins)
    is_odd = (np.arange(len(runs.lengths)) - np.repeat(runs.begins[:-1], counts)) & 1
    values = np.repeat(runs.first_bits, counts) ^ is_odd.astype(np.uint8)
    return np.repeat(values, runs.lengths).reshape(len(counts), runs.row_bits)


def _check_bits(bits: Bits) -> None:
    if bits.ndim != 2 or bits.dtype != np.uint8:  # noqa: PLR2004 - rows and bits
        raise BitFormatError(f"bits have shape {bits.shape} and type {bits.dtype}; give uint8 [batch, bit].")
    if bits.size and bits.max() > 1:
        raise BitFormatError(f"a bit is {bits.max()}; give 0 and 1 only.")


def _check_runs(runs: RunLengths) -> None:
    begins, batch = runs.begins, len(runs.first_bits)
    whole = len(begins) == batch + 1 and begins[0] == 0 and begins[-1] == len(runs.lengths)
    if not whole or bool((np.diff(begins) < 0).any()) or bool((runs.lengths < 1).any()):
        raise BitFormatError(
            "the runs are not cut into rows, or one is empty; give what batch_rle_encode gave."
        )
    ends = np.concatenate([[0], np.cumsum(runs.lengths)])[begins]
    is_whole: Bool[np.ndarray, " row"] = np.diff(ends) == runs.row_bits
    if not bool(is_whole.all()):
        row = int(np.flatnonzero(~is_whole)[0])
        raise BitFormatError(f"the runs of row {row} are not {runs.row_bits} bits in all; one was changed.")
    if batch and runs.first_bits.max() > 1:
        raise BitFormatError(f"a first bit is {runs.first_bits.max()}; it can be 0 or 1.")
