"""How fast is run-length coding of a batch, and what is it good for? Prints tables, writes results/.

`batch_rle_encode` and `batch_rle_decode` beside a loop in Python over the same rows, and beside NumPy called
once a row, all in turns in one process. Then what the runs take of different bits: a byte a run (LEB128, a
longer run more) and Elias's gamma code, against the same bits packed eight to a byte.

    python -m benchmarks.run_length
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
from jaxtyping import Int64, UInt8

from benchmarks.peers import peer
from benchmarks.record import RESULTS, keep
from bitlm import RunLengths, batch_rle_decode, batch_rle_encode
from bitlm.data import Corpus

SHAPES = ((4096, 256), (1024, 2048), (256, 8192), (16, 2048), (1, 2048), (1, 64))
BAR = 20.0
"""How many times as fast as the loop, on batches of `LARGE` bits and more."""
LARGE = 2**20
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "dashboard-1280-light.png"

Bits = UInt8[np.ndarray, "batch bit"]


@dataclass(frozen=True)
class Speed:
    """Milliseconds of one batch, and how many times as long others take."""

    what: str
    batch: int
    row_bits: int
    ms: float
    loop_ratio: float
    numpy_a_row_ratio: float


@dataclass(frozen=True)
class Size:
    """What runs take of what the packed bits take: below 1 is shorter."""

    what: str
    bits: int
    mean_run_bits: float
    leb128: float
    gamma: float


def loop_encode(rows: list[list[int]]) -> list[tuple[int, list[int]]]:
    """Return the first bit and the runs of each row, a row after the other."""
    return [(row[0], [len(list(run)) for _, run in groupby(row)]) for row in rows]


def loop_decode(coded: list[tuple[int, list[int]]]) -> list[list[int]]:
    """Undo `loop_encode`."""
    rows = []
    for first, lengths in coded:
        row: list[int] = []
        for index, length in enumerate(lengths):
            row += [first ^ (index & 1)] * length
        rows.append(row)
    return rows


def encode_rows(bits: Bits) -> list[RunLengths]:
    """Call the batch's function once a row."""
    return [batch_rle_encode(row[None]) for row in bits]


def decode_rows(runs: list[RunLengths]) -> list[Bits]:
    """Call the batch's function once a row."""
    return [batch_rle_decode(one) for one in runs]


def milliseconds(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median processor time of each, called in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, taken in zip(runs, times, strict=True):
            began = time.process_time()
            run()
            taken.append(1000 * (time.process_time() - began))
    return [median(taken) for taken in times]


def speeds(text: bytes, repeats: int) -> list[Speed]:
    """Time both ways on text bits of each shape."""
    found = []
    for batch, row_bits in SHAPES:
        bits = np.unpackbits(np.frombuffer(text[: batch * row_bits // 8], np.uint8)).reshape(batch, row_bits)
        rows = bits.tolist()
        runs, single, coded = batch_rle_encode(bits), encode_rows(bits), loop_encode(rows)
        assert loop_decode(coded) == rows
        assert np.array_equal(batch_rle_decode(runs), bits)
        assert [len(lengths) for _, lengths in coded] == np.diff(runs.begins).tolist()
        sides: dict[str, list[Callable[[], object]]] = {
            "encode": [
                partial(batch_rle_encode, bits),
                partial(loop_encode, rows),
                partial(encode_rows, bits),
            ],
            "decode": [
                partial(batch_rle_decode, runs),
                partial(loop_decode, coded),
                partial(decode_rows, single),
            ],
        }
        for what, timed in sides.items():
            ms, loop, numpy_a_row = milliseconds(timed, repeats)
            found.append(Speed(what, batch, row_bits, ms, loop / ms, numpy_a_row / ms))
    return found


def leb128_bytes(lengths: Int64[np.ndarray, "run"]) -> int:
    """Return the bytes of the lengths, seven bits of each to a byte."""
    return int(np.ceil((np.floor(np.log2(lengths)) + 1) / 7).sum())


def gamma_bits(lengths: Int64[np.ndarray, "run"]) -> int:
    """Return the bits of the lengths in Elias's gamma code, 2 ⌊log2 n⌋ + 1 each."""
    return int((2 * np.floor(np.log2(lengths)) + 1).sum())


def size(what: str, bits: Bits) -> Size:
    """Return what the runs of these rows take; a row's first bit takes one more."""
    lengths = batch_rle_encode(bits).lengths
    taken = [8 * leb128_bytes(lengths), gamma_bits(lengths)]
    leb128, gamma = ((bits_taken + len(bits)) / bits.size for bits_taken in taken)
    return Size(what, bits.size, bits.size / len(lengths), leb128, gamma)


def sizes(text: bytes) -> list[Size]:
    """Return what runs take of text, of what a model repeats, and of pictures."""
    values = np.frombuffer(text, np.uint8)
    picture = np.asarray(peer("PIL.Image").open(PICTURE).convert("L"))
    loop = np.frombuffer((text[:12] * len(text))[: len(text)], np.uint8)
    threes = np.full(len(text), ord(" "), np.uint8)
    return [
        size("text", np.unpackbits(values)[None]),
        size(
            "text, all first bits of bytes, then all second ones, …", np.unpackbits(values[:, None], axis=1).T
        ),
        size("the first 12 bytes of the text over and over", np.unpackbits(loop)[None]),
        size("a space over and over", np.unpackbits(threes)[None]),
        size("a picture of the page, black and white", (picture < 128).astype(np.uint8)),
        size("a byte 0 over and over", np.zeros((1, 8 * len(text)), np.uint8)),
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    text = bytes(Corpus.embedded().data)
    timed, taken = speeds(text, options.repeats), sizes(text)
    print(f"{'':8}{'batch':>6}{'bits':>6}{'ms':>9}{'loop':>9}{'NumPy a row':>13}")
    for one in timed:
        large = one.batch * one.row_bits >= LARGE
        verdict = "" if not large else "  passed" if one.loop_ratio >= BAR else "  MISSED"
        print(
            f"{one.what:8}{one.batch:6}{one.row_bits:6}{one.ms:9.3f}{one.loop_ratio:7.1f} ×"
            f"{one.numpy_a_row_ratio:11.1f} ×{verdict}"
        )
    print(f"\n{'runs, of the packed bits':58}{'mean run':>9}{'LEB128':>9}{'gamma':>9}")
    for row in taken:
        print(f"{row.what:58}{row.mean_run_bits:9.1f}{row.leb128:9.3f}{row.gamma:9.3f}")
    keep(
        options.output, "run_length", by=__file__, settings={"repeats": options.repeats},
        speeds=[asdict(one) for one in timed], sizes=[asdict(row) for row in taken],
    )  # fmt: skip


if __name__ == "__main__":
    main()
