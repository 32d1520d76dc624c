"""Is a compressed file as long as the evaluation claims, and how fast is it? Prints a table, writes results/.

A model is trained on nine tenths of a text as `benchmarks.quality` does it, or one that was trained is taken,
and the last tenth is compressed with it and given back, which must be the same to the last byte. Its size
stands beside the claim, beside gzip, bzip2 and xz of the tenth alone, and beside what the tenth adds to their
code of the whole text. Speeds are by processor time of all threads, and by the clock. In place of the tenth
it may be another text, of which nothing was trained on.

    python -m benchmarks.compression --corpus embedded kjv sotu --preset small base --minutes 5
    python -m benchmarks.compression --corpus kjv --preset tiny --file sotu --file-bytes 10000000
    python -m benchmarks.compression --data-dir .bitlm --run latest
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.quality_corpora import corpus_of
from benchmarks.quality_sides import BitlmLearning, Setting, compressed_bits_per_byte, train
from benchmarks.record import RESULTS, keep
from bitlm.baselines import compressed_bytes
from bitlm.cli.compile import compile_functions
from bitlm.cli.opening import LATEST, open_run
from bitlm.compression import compress, decompress
from bitlm.data import Corpus
from bitlm.session import Session, preset

CLAIM_SHARE = 1.01
"""How much longer than claimed a file may be."""
BAR_KB_PER_S = 3.0


@dataclass(frozen=True)
class Way:
    """How long one way took."""

    cpu_s: float
    wall_s: float

    def kb_per_s(self, length: int) -> float:
        """Return thousands of the original's bytes per second of processor time."""
        return length / self.cpu_s / 1000


@dataclass(frozen=True)
class Row:
    """One file compressed by one model.

    Attributes:
        corpus: Whose held-out tenth it is, or which other text.
        model: The size, its minutes and their text; or the run.
        length: Bytes of the file.
        compressed: Bytes of it compressed.
        bits_per_byte: The same as bits a byte.
        claim: What the evaluation says of the same bytes.
        alone: What compressors make of the file alone, in bits a byte.
        added: What it adds to their code of the whole text, in bits a byte; nothing of another text.
        compressing: How long that took.
        giving_back: The other way.
    """

    corpus: str
    model: str
    length: int
    compressed: int
    bits_per_byte: float
    claim: float
    alone: dict[str, float]
    added: dict[str, float]
    compressing: Way
    giving_back: Way

    @property
    def verdict(self) -> str:
        """Whether size and speed are what they should be."""
        ways = (self.compressing, self.giving_back)
        is_short = self.bits_per_byte <= CLAIM_SHARE * self.claim
        is_fast = all(way.kb_per_s(self.length) >= BAR_KB_PER_S for way in ways)
        return f"size {'pass' if is_short else 'FAIL'}, speed {'pass' if is_fast else 'FAIL'}"


def measure(session: Session, model: str, threads: int, other: Corpus | None) -> Row:
    """Compress the run's held-out tenth, or another text, and give it back.

    Raises:
        AssertionError: Other bytes came out.
    """
    torch.set_num_threads(threads)
    data = bytes(session.corpus.held_out if other is None else other.data)
    small, again = BytesIO(), BytesIO()
    name = f"{session.run_id}@{session.step_count}"
    began = _now()
    compress(session.model, BytesIO(data), small, name=name)
    between = _now()
    small.seek(0)
    decompress(session.model, small, again)
    ended = _now()
    assert again.getvalue() == data, "other bytes came out"
    size = len(small.getvalue())
    return Row(
        corpus=(other or session.corpus).name,
        model=model,
        length=len(data),
        compressed=size,
        bits_per_byte=8 * size / len(data),
        claim=session.evaluate(data),
        alone={name: 8 * taken / len(data) for name, taken in compressed_bytes(BytesIO(data)).items()},
        added=dict(compressed_bits_per_byte(session.corpus)) if other is None else {},
        compressing=Way(*(later - earlier for earlier, later in zip(began, between, strict=True))),
        giving_back=Way(*(later - earlier for earlier, later in zip(between, ended, strict=True))),
    )


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the row of the run that was named, or of each text and size."""
    other = None
    if options.file is not None:
        whole = corpus_of(options.file, options.cache)
        other = Corpus(whole.name, whole.data[: options.file_bytes])
    if options.run is not None:
        session = open_run(options.data_dir, options.run)
        yield measure(session, f"run {session.run_id}", options.threads, other)
        return
    for spec in options.corpus:
        corpus = corpus_of(spec, options.cache)
        for size in options.preset:
            with TemporaryDirectory() as folder:
                setting = Setting(corpus, *preset(size), options.threads, options.seed, Path(folder))
                train(BitlmLearning, setting, options.minutes)
                session = open_run(Path(folder), LATEST)
                model = f"{size}, {options.minutes:g} min of {corpus.name}"
                yield measure(session, model, options.threads, other)
                session.store.close()


def report(row: Row) -> None:
    """Print one row as a block of lines."""
    print(f"\n{row.corpus}, {row.model}: {row.length:,} → {row.compressed:,} bytes; {row.verdict}")
    print(
        f"  bits per byte {row.bits_per_byte:.4f}, claimed {row.claim:.4f}: "
        f"{row.bits_per_byte / row.claim - 1:+.2%}"
    )
    for what, others in (("alone", row.alone), ("given the rest", row.added)):
        if not others:
            continue
        print(f"  {what}: " + " · ".join(f"{name} {value:.3f}" for name, value in others.items()))
    for what, way in (("compressing", row.compressing), ("giving back", row.giving_back)):
        by_clock = row.length / way.wall_s / 1000
        print(f"  {what}: {way.kb_per_s(row.length):.1f} kB a CPU second, {by_clock:.1f} kB/s by the clock")


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="+", default=["embedded"], help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--preset", nargs="+", default=["small"])
    parser.add_argument("--minutes", type=float, default=1.0, help="busy minutes of training")
    parser.add_argument("--file", help="compress this text instead of the tenth: a name as of --corpus")
    parser.add_argument("--file-bytes", type=int, help="its first so many bytes (default: all)")
    parser.add_argument("--run", help="take this run and its text instead of training")
    parser.add_argument("--data-dir", type=Path, default=Path(".bitlm"), help="where that run is")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--cache", type=Path, default=Path(".bitlm") / "corpora", help="folder of fetched texts"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--name", default="compression", help="of the file in results/")
    options = parser.parse_args()
    compile_functions()
    rows = []
    for row in measured(options):
        report(row)
        rows.append(asdict(row) | {"verdict": row.verdict})
    keep(
        options.output,
        options.name,
        by=__file__,
        settings={"threads": options.threads, "seed": options.seed},
        rows=rows,
    )


if __name__ == "__main__":
    main()
