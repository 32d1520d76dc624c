"""What do C and S cost? Prints a table and writes it to benchmarks/results/.

Passages of the held-out tenth are measured several times, all of them in turn, so that none finds its own
counts in the processor's nearest cache. A row is the median over the passages of each one's quickest time.
Beside C stands antropy's `lziv_complexity` of the same bits, which must count the same phrases.

    python -m benchmarks.measures
    python -m benchmarks.measures --corpus embedded kjv sotu
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from antropy import lziv_complexity  # type: ignore[import-untyped] # it ships no types

from benchmarks.quality_corpora import corpus_of
from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel
from bitlm.telemetry import lz_complexity, lz_phrases, symbiosis_score

LENGTHS_BYTES = (128, 1024)
BARS_MS = {("C", 128): 1.5, ("S", 1024): 1.0}
"""What a measure may take, by its length in bytes."""


@dataclass(frozen=True)
class Row:
    """What one measure of one passage takes."""

    corpus: str
    measure: str
    length_bytes: int
    milliseconds: float
    bar_ms: float | None

    @property
    def passed(self) -> bool:
        """Whether the bar was kept; true where there is none."""
        return self.bar_ms is None or self.milliseconds <= self.bar_ms


def measure_corpus(corpus: Corpus, count: int, repeats: int) -> list[Row]:
    """Return a row for each measure and length.

    Raises:
        AssertionError: antropy counts other phrases.
    """
    reference = ReferenceModel.fit(corpus.train)
    rows = []
    for length in LENGTHS_BYTES:
        passages = _passages(corpus.held_out, length, count)
        bits = [bytes_to_bits(passage) for passage in passages]
        whole_numbers = [row.numpy().astype(np.int64) for row in bits]
        for ours, theirs in zip(bits, whole_numbers, strict=True):
            assert lz_phrases(ours) == lziv_complexity(theirs), "antropy counts other phrases"
        timed: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
            "C": (lz_complexity, bits),
            "C, antropy": (lziv_complexity, whole_numbers),
            "S": (lambda row: symbiosis_score(row, reference), bits),
        }
        rows += [
            Row(corpus.name, name, length, _milliseconds(*of, repeats), BARS_MS.get((name, length)))
            for name, of in timed.items()
        ]
    return rows


def _passages(text: bytes, length: int, count: int) -> list[bytes]:
    """Return passages spread evenly over a text."""
    starts = np.linspace(0, len(text) - length, count).astype(int).tolist()
    return [text[start : start + length] for start in starts]


def _milliseconds(of: Callable[[Any], object], passages: Sequence[Any], repeats: int) -> float:
    """Return the median over the passages of each one's quickest time."""
    seconds = np.empty((repeats, len(passages)))
    for repeat in range(repeats):
        for index, passage in enumerate(passages):
            began = time.perf_counter()
            of(passage)
            seconds[repeat, index] = time.perf_counter() - began
    return 1000 * float(np.median(seconds.min(axis=0)))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="+", default=["embedded"], help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm") / "corpora")
    parser.add_argument("--count", type=int, default=200, help="passages of each length")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    rows = []
    for spec in options.corpus:
        rows += measure_corpus(corpus_of(spec, options.cache), options.count, options.repeats)
    print(f"{'corpus':12}{'measure':14}{'bytes':>6}{'ms':>9}{'bar':>7}")
    for row in rows:
        bar = "" if row.bar_ms is None else f"{row.bar_ms:7.1f}{'' if row.passed else '  MISSED'}"
        print(f"{row.corpus:12}{row.measure:14}{row.length_bytes:6}{row.milliseconds:9.3f}{bar}")
    keep(
        options.output,
        "measures",
        settings={"count": options.count, "repeats": options.repeats},
        rows=[asdict(row) | {"passed": row.passed} for row in rows],
    )


if __name__ == "__main__":
    main()
