"""What do C and S cost, and what does watching a text for them? Prints tables, writes benchmarks/results/.

Passages of the held-out tenth are measured several times, all of them in turn, so that none finds its own
counts in the processor's nearest cache. A row is the median over the passages of each one's quickest time.
Beside C stands antropy's `lziv_complexity` of the same bits, which must count the same phrases. What watches
a text while it is emitted is timed on held-out text that it never stops, beside `generate` of a fresh model.

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
import torch
from antropy import lziv_complexity  # type: ignore[import-untyped] # it ships no types

from benchmarks.quality_corpora import corpus_of
from benchmarks.record import RESULTS, keep
from bitlm.bits import PAYLOAD_BITS, bytes_to_bits
from bitlm.curtailment import Curtailment
from bitlm.data import Corpus
from bitlm.gate import SafetyGate
from bitlm.generation import GeneratedByte, generate
from bitlm.model import BitTransformer
from bitlm.reference import ReferenceModel
from bitlm.session import preset
from bitlm.streaming_gate import StreamingGate
from bitlm.telemetry import lz_complexity, lz_phrases, symbiosis_score

LENGTHS_BYTES = (128, 1024)
WATCHED_BYTES = 512
SIZES = ("tiny", "small", "base")
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
        passages = _passages(bytes(corpus.held_out), length, count)
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


@dataclass(frozen=True)
class Watching:
    """What watching costs at one size of model, in microseconds a byte."""

    size: str
    generate_us: float
    giving_up_us: float
    streaming_us: float


def measure_watching(size: str, repeats: int) -> Watching:
    """Time what is emitted, and each of the two that can watch it."""
    corpus = Corpus.embedded()
    reference = ReferenceModel.fit(corpus.train)
    model = BitTransformer(preset(size)[0])
    model.reference = reference
    nothing = torch.empty(0, dtype=torch.uint8)
    text = [GeneratedByte(value, (0.7,) * PAYLOAD_BITS) for value in corpus.held_out[:WATCHED_BYTES]]
    low = SafetyGate(1e-6, 1e-6)  # everything is looked at, and nothing refused

    def give_up() -> list[GeneratedByte]:
        watch = Curtailment(reference, c_floor=low.c_floor, s_floor=low.s_floor, length_bytes=WATCHED_BYTES)
        return list(watch.until_settled(iter(text)))

    timed: list[Callable[[], list[GeneratedByte]]] = [
        lambda: list(generate(model, nothing, max_new_bytes=WATCHED_BYTES)),
        give_up,
        lambda: list(StreamingGate(low, reference).watch(text)),
    ]
    for watched in timed:
        assert len(watched()) == WATCHED_BYTES, "it is timed on the whole text"
    return Watching(
        size,
        *(1000 * _milliseconds(lambda run: run(), [run], repeats) / WATCHED_BYTES for run in timed),
    )


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
    watching = [measure_watching(size, options.repeats) for size in SIZES]
    print(f"{'us a byte':12}{'generate':>10}{'giving up':>18}{'streaming gate':>18}")
    for of in watching:
        shares = [f"{us:8.2f} ({us / of.generate_us:5.1%})" for us in (of.giving_up_us, of.streaming_us)]
        print(f"{of.size:12}{of.generate_us:10.0f}{shares[0]:>18}{shares[1]:>18}")
    keep(
        options.output,
        "measures",
        by=__file__,
        settings={"count": options.count, "repeats": options.repeats},
        rows=[asdict(row) | {"passed": row.passed} for row in rows],
        watching=[asdict(of) for of in watching],
    )


if __name__ == "__main__":
    main()
