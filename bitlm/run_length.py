"""Rows of bits as the lengths of their runs; a whole batch at once, without a loop.

A run is a stretch of equal bits. Within a row runs alternate, so their lengths and the first bit are all
there is to know. It is short where runs are long, as in bilevel pictures and in texts that repeat a byte of
zeros; the bits of prose it makes longer, whose runs are two bits long (`benchmarks.run_length`).

Source: Golomb, "Run-length encodings", IEEE Transactions on Information Theory 12(3), 1966.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from bitlm.errors import BitFormatError

Bits = UInt8[np.ndarray, "batch bit"]

WORD_BITS = 64

LONGEST_IN_BYTE = 255
"""The longest run that one byte can tell."""


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
    places = np.flatnonzero(begins_run)
    lengths = np.empty_like(places)
    np.subtract(places[1:], places[:-1], out=lengths[:-1])
    lengths[-1:] = bits.size - places[-1:]
    begins = np.searchsorted(places, np.arange(batch + 1) * row_bits)
    first_bits = bits[:, 0].copy() if row_bits else np.zeros(batch, dtype=np.uint8)
    return RunLengths(row_bits, first_bits, lengths, begins)


def batch_rle_decode(runs: RunLengths) -> Bits:
    """Undo `batch_rle_encode`.

    Raises:
        BitFormatError: The lengths are not those of rows of so many bits, or a first bit is neither 0 nor 1.
    """
    ends = _checked_ends(runs)
    batch, row_bits = len(runs.first_bits), runs.row_bits
    changes = np.zeros(batch * row_bits, dtype=np.uint8)
    changes[ends[:-1]] = 1
    if row_bits and batch:
        before_rows = runs.first_bits ^ ((np.diff(runs.begins) - 1) & 1).astype(np.uint8)
        changes[::row_bits] = runs.first_bits
        changes[row_bits::row_bits] ^= before_rows[:-1]
    return _parities(changes).reshape(batch, row_bits)


def _parities(bits: UInt8[np.ndarray, " bit"]) -> UInt8[np.ndarray, " bit"]:
    """Return for each bit whether it and all before it have an odd number of ones; 64 of them at a time."""
    packed = np.zeros(-(-len(bits) // WORD_BITS) * WORD_BITS // 8, dtype=np.uint8)
    packed[: -(-len(bits) // 8)] = np.packbits(bits)
    words = packed.view(">u8").astype(np.uint64)
    for distance in (1, 2, 4, 8, 16, 32):
        words ^= words >> np.uint64(distance)
    odd = np.bitwise_xor.accumulate(words & np.uint64(1))
    words[1:] ^= np.where(odd[:-1], np.uint64(2**WORD_BITS - 1), np.uint64(0))
    return np.unpackbits(words.astype(">u8").view(np.uint8), count=len(bits))


def _check_bits(bits: Bits) -> None:
    if bits.ndim != 2 or bits.dtype != np.uint8:  # noqa: PLR2004 - rows and bits
        raise BitFormatError(f"bits have shape {bits.shape} and type {bits.dtype}; give uint8 [batch, bit].")
    if bits.size and bits.max() > 1:
        raise BitFormatError(f"a bit is {bits.max()}; give 0 and 1 only.")


def _checked_ends(runs: RunLengths) -> Int64[np.ndarray, " run"]:
    """Return where each run ends, all rows one after the other."""
    begins, batch = runs.begins, len(runs.first_bits)
    whole = len(begins) == batch + 1 and begins[0] == 0 and begins[-1] == len(runs.lengths)
    if not whole or bool((np.diff(begins) < 0).any()) or runs.lengths.min(initial=1) < 1:
        raise BitFormatError("runs are not cut into rows, or one is empty; give what batch_rle_encode gave.")
    ends = np.cumsum(runs.lengths)
    row_ends = np.where(begins > 0, ends[begins - 1], 0) if len(ends) else np.zeros_like(begins)
    is_wrong = np.flatnonzero(np.diff(row_ends) != runs.row_bits)
    if len(is_wrong):
        raise BitFormatError(
            f"the runs of row {is_wrong[0]} are not {runs.row_bits} bits in all; one was changed."
        )
    if runs.first_bits.max(initial=0) > 1:
        raise BitFormatError(f"a first bit is {runs.first_bits.max()}; it can be 0 or 1.")
    return ends


def run_length_bytes(text: UInt8[np.ndarray, " byte"]) -> UInt8[np.ndarray, " length"]:
    """Return the lengths of the runs of a text's bits, a byte each: a text whose letters are lengths.

    Bits are read from the most significant of each byte on. The first run is one of zeros, as in fax (it may
    be of none); a run longer than 255 is told in parts, with a run of none of the other value between them.

    Source: ITU-T T.4, 1980, for beginning with zeros; the rest is this project's own.
    """
    runs = batch_rle_encode(np.unpackbits(text)[None])
    lengths = runs.lengths
    if len(lengths) and runs.first_bits[0]:
        lengths = np.concatenate([[0], lengths])
    parts = np.maximum(1, -(-lengths // LONGEST_IN_BYTE))
    sizes = 2 * parts - 1
    ends = np.cumsum(sizes)
    place_in_run = np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes)
    told = np.where(place_in_run % 2, 0, LONGEST_IN_BYTE).astype(np.uint8)
    told[ends - 1] = lengths - (parts - 1) * LONGEST_IN_BYTE
    return told


def run_length_rows(rows: UInt8[np.ndarray, "row byte"]) -> UInt8[np.ndarray, "row byte"]:
    """Return rows filled with the `run_length_bytes` of each, as many as there is room for.

    A row of prose is told to about its fourth part. One with runs so long that it is told in fewer bytes than
    it has begins again.
    """
    told = np.empty_like(rows)
    for row, into in zip(rows, told, strict=True):
        text, lengths = row, run_length_bytes(row)
        while len(lengths) < len(row):
            text = np.concatenate([text, text])
            lengths = run_length_bytes(text)
        into[:] = lengths[: len(row)]
    return told
