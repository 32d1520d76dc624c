"""How well do C and S tell text from its failures? Prints a table and writes it to benchmarks/results/.

The samples are 128 bytes each, cut or made from the held-out tenth of the embedded corpus; the reference
model is fitted on the rest. `python -m benchmarks.gate_separation`
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel
from bitlm.telemetry import lz_complexity, symbiosis_score

SAMPLE_BYTES = 128
C_FLOOR = 0.3
S_FLOOR = 0.5
FLIPPED_SHARE = 0.05
TEXT = "held-out text"

Maker = Callable[[bytes, np.random.Generator], bytes]


def cut(text: bytes, random: np.random.Generator, length_bytes: int = SAMPLE_BYTES) -> bytes:
    """Return a passage that starts anywhere in the text."""
    start = int(random.integers(0, len(text) - length_bytes + 1))
    return text[start : start + length_bytes]


def loop(text: bytes, random: np.random.Generator) -> bytes:
    """Return 8 bytes of text over and over."""
    return cut(text, random, 8) * (SAMPLE_BYTES // 8)


def noise(text: bytes, random: np.random.Generator) -> bytes:  # noqa: ARG001 - a maker like the others
    """Return bytes of any value, each equally likely."""
    return random.bytes(SAMPLE_BYTES)


def printable_noise(text: bytes, random: np.random.Generator) -> bytes:  # noqa: ARG001 - as above
    """Return printable ASCII characters, each equally likely."""
    return random.integers(32, 127, SAMPLE_BYTES, dtype=np.uint8).tobytes()


def flipped(text: bytes, random: np.random.Generator) -> bytes:
    """Return text of which each bit is flipped with a chance of 5 %."""
    bits = np.unpackbits(np.frombuffer(cut(text, random), dtype=np.uint8))
    return np.packbits(bits ^ (random.random(bits.size) < FLIPPED_SHARE)).tobytes()


def shuffled(text: bytes, random: np.random.Generator) -> bytes:
    """Return a passage with its bytes in random order."""
    return random.permutation(np.frombuffer(cut(text, random), dtype=np.uint8)).tobytes()


MAKERS: dict[str, Maker] = {
    TEXT: cut,
    "8-byte loop": loop,
    "random bytes": noise,
    "printable noise": printable_noise,
    "5 % flipped bits": flipped,
    "shuffled bytes": shuffled,
}


@dataclass(frozen=True)
class Scores:
    """C and S of the samples of one kind."""

    C: list[float]
    S: list[float]

    @property
    def refused(self) -> float:
        """The share below a default floor."""
        return fmean(c < C_FLOOR or s < S_FLOOR for c, s in zip(self.C, self.S, strict=True))


@dataclass(frozen=True)
class Row:
    """One line of the table; a ratio is to held-out text's mean, an AUC that of text against this kind."""

    kind: str
    C_mean: float
    C_low: float
    C_high: float
    C_ratio: float
    S_mean: float
    S_low: float
    S_high: float
    S_ratio: float
    C_auc: float
    S_auc: float
    refused: float


def score(text: bytes, reference: ReferenceModel, count: int, seed: int) -> dict[str, Scores]:
    """Return C and S of `count` samples of each kind."""
    return {
        kind: _scores([make(text, _generator(seed, index, kind)) for index in range(count)], reference)
        for kind, make in MAKERS.items()
    }


def tabulate(scores: Mapping[str, Scores]) -> list[Row]:
    """Return the table's lines, held-out text first."""
    return [_row(kind, of_kind, scores[TEXT]) for kind, of_kind in scores.items()]


def auc(text: Sequence[float], failure: Sequence[float]) -> float:
    """Return the chance that a sample of text scores above a failure, a tie counting half."""
    difference = np.subtract.outer(np.asarray(text), np.asarray(failure))
    return float((np.sign(difference).mean() + 1) / 2)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    corpus = Corpus.embedded()
    rows = tabulate(score(corpus.held_out, ReferenceModel.fit(corpus.train), options.count, options.seed))
    print(f"{options.count} samples of {SAMPLE_BYTES} bytes, floors C {C_FLOOR} and S {S_FLOOR}")
    print(" " * 18 + "".join(f"{m + ' mean':>9}{'low':>7}{'high':>7}{'AUC':>7}" for m in "CS") + "  refused")
    for row in rows:
        print(
            f"{row.kind:18}{row.C_mean:9.3f}{row.C_low:7.3f}{row.C_high:7.3f}{row.C_auc:7.3f}"
            f"{row.S_mean:9.3f}{row.S_low:7.3f}{row.S_high:7.3f}{row.S_auc:7.3f}{row.refused:9.1%}"
        )
    keep(
        options.output,
        "gate_separation",
        corpus={"name": corpus.name, "bytes": len(corpus.data), "fingerprint": corpus.fingerprint},
        settings={"count": options.count, "seed": options.seed, "sample_bytes": SAMPLE_BYTES},
        floors={"C": C_FLOOR, "S": S_FLOOR},
        rows=[asdict(row) for row in rows],
    )


def _generator(seed: int, index: int, kind: str) -> np.random.Generator:
    return np.random.default_rng(counter_seed(seed, index, kind))


def _scores(samples: Sequence[bytes], reference: ReferenceModel) -> Scores:
    rows = [bytes_to_bits(sample) for sample in samples]
    return Scores([lz_complexity(row) for row in rows], [symbiosis_score(row, reference) for row in rows])


def _row(kind: str, scores: Scores, text: Scores) -> Row:
    return Row(
        kind=kind,
        C_mean=fmean(scores.C),
        C_low=min(scores.C),
        C_high=max(scores.C),
        C_ratio=fmean(scores.C) / fmean(text.C),
        S_mean=fmean(scores.S),
        S_low=min(scores.S),
        S_high=max(scores.S),
        S_ratio=fmean(scores.S) / fmean(text.S),
        C_auc=auc(text.C, scores.C),
        S_auc=auc(text.S, scores.S),
        refused=scores.refused,
    )


if __name__ == "__main__":
    main()
