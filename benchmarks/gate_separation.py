"""How well does the gate tell text from its failures? Prints a table and writes it to benchmarks/results/.

The samples are 128 bytes each, cut or made from the held-out tenth of a corpus; the reference model is fitted
on the rest. Each is judged by the gate itself, at its default floors.

    python -m benchmarks.gate_separation
    python -m benchmarks.gate_separation --corpus embedded kjv sotu
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from benchmarks.quality_corpora import corpus_of
from benchmarks.record import RESULTS, keep
from bitlm.bits import PAYLOAD_BITS
from bitlm.generation import Sample
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel
from bitlm.safety import SafetyGate

SAMPLE_BYTES = 128
GATE = SafetyGate()
FLIPPED_SHARE = 0.05
NO_BYTE_OF_UTF8 = 0xFF
TEXT = "held-out text"

Maker = Callable[[bytes, np.random.Generator], bytes]


def cut(text: bytes, random: np.random.Generator, length_bytes: int = SAMPLE_BYTES) -> bytes:
    """Return a passage that starts anywhere in the text."""
    start = int(random.integers(0, len(text) - length_bytes + 1))
    return text[start : start + length_bytes]


def loop(text: bytes, random: np.random.Generator) -> bytes:
    """Return 8 bytes of text over and over."""
    return cut(text, random, 8) * (SAMPLE_BYTES // 8)


def four_copies(text: bytes, random: np.random.Generator) -> bytes:
    """Return a passage four times."""
    return cut(text, random, SAMPLE_BYTES // 4) * 4


def broken(text: bytes, random: np.random.Generator) -> bytes:
    """Return text of which one byte is none of UTF-8."""
    place = int(random.integers(0, SAMPLE_BYTES))
    passage = cut(text, random)
    return passage[:place] + bytes([NO_BYTE_OF_UTF8]) + passage[place + 1 :]


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
    "four copies": four_copies,
    "random bytes": noise,
    "printable noise": printable_noise,
    "5 % flipped bits": flipped,
    "shuffled bytes": shuffled,
    "one broken byte": broken,
}


@dataclass(frozen=True)
class Scores:
    """What the gate found of the samples of one kind: C, S, share of copies, margin, and the verdict."""

    C: list[float]
    S: list[float]
    repetition: list[float]
    margin: list[float]
    passed: list[bool]

    @property
    def refused(self) -> float:
        """The share that the gate refuses."""
        return 1 - fmean(self.passed)


@dataclass(frozen=True)
class Row:
    """One line of the table; an AUC is that of text against this kind."""

    corpus: str
    kind: str
    C_mean: float
    C_low: float
    C_high: float
    C_auc: float
    S_mean: float
    S_low: float
    S_high: float
    S_auc: float
    repetition_mean: float
    repetition_high: float
    margin_auc: float
    refused: float


def score(text: bytes, reference: ReferenceModel, count: int, seed: int) -> dict[str, Scores]:
    """Return what the gate finds of `count` samples of each kind."""
    return {
        kind: _scores([make(text, _generator(seed, index, kind)) for index in range(count)], reference)
        for kind, make in MAKERS.items()
    }


def tabulate(corpus: str, scores: Mapping[str, Scores]) -> list[Row]:
    """Return a corpus's lines of the table, held-out text first."""
    return [_row(corpus, kind, of_kind, scores[TEXT]) for kind, of_kind in scores.items()]


def auc(text: Sequence[float], failure: Sequence[float]) -> float:
    """Return the chance that a sample of text scores above a failure, a tie counting half."""
    difference = np.subtract.outer(np.asarray(text), np.asarray(failure))
    return float((np.sign(difference).mean() + 1) / 2)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="+", default=["embedded"], help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm") / "corpora")
    parser.add_argument("--count", type=int, default=400, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    print(f"{options.count} samples of {SAMPLE_BYTES} bytes, floors C {GATE.c_floor} and S {GATE.s_floor}")
    corpora = [corpus_of(spec, options.cache) for spec in options.corpus]
    rows: list[Row] = []
    for corpus in corpora:
        scores = score(corpus.held_out, ReferenceModel.fit(corpus.train), options.count, options.seed)
        rows += tabulate(corpus.name, scores)
        _print(corpus.name, [row for row in rows if row.corpus == corpus.name])
    keep(
        options.output,
        "gate_separation",
        corpora=[
            {"name": corpus.name, "bytes": len(corpus.data), "fingerprint": corpus.fingerprint}
            for corpus in corpora
        ],
        settings={"count": options.count, "seed": options.seed, "sample_bytes": SAMPLE_BYTES},
        floors={"C": GATE.c_floor, "S": GATE.s_floor},
        rows=[asdict(row) for row in rows],
    )


def _print(corpus: str, rows: Sequence[Row]) -> None:
    measures = "".join(f"{f'{measure} mean':>9}{'low':>7}{'high':>7}{'AUC':>7}" for measure in "CS")
    print(f"{corpus:18}{measures}{'copies':>9}{'high':>7}{'gate AUC':>10}{'refused':>9}")
    for row in rows:
        print(
            f"{row.kind:18}{row.C_mean:9.3f}{row.C_low:7.3f}{row.C_high:7.3f}{row.C_auc:7.3f}"
            f"{row.S_mean:9.3f}{row.S_low:7.3f}{row.S_high:7.3f}{row.S_auc:7.3f}"
            f"{row.repetition_mean:9.3f}{row.repetition_high:7.3f}{row.margin_auc:10.3f}{row.refused:9.1%}"
        )


def _generator(seed: int, index: int, kind: str) -> np.random.Generator:
    return np.random.default_rng(counter_seed(seed, index, kind))


def _scores(samples: Sequence[bytes], reference: ReferenceModel) -> Scores:
    verdicts = [GATE.judge(_as_sample(data), reference) for data in samples]
    return Scores(
        [verdict.C for verdict in verdicts],
        [verdict.S for verdict in verdicts],
        [verdict.repetition for verdict in verdicts],
        [verdict.margin for verdict in verdicts],
        [verdict.passed for verdict in verdicts],
    )


def _as_sample(data: bytes) -> Sample:
    """Return bytes as if a model had emitted them; what it thought of them the gate does not judge."""
    halves = torch.full((PAYLOAD_BITS * len(data),), 0.5, dtype=torch.float64)
    return Sample(data, halves, parity=False)


def _row(corpus: str, kind: str, scores: Scores, text: Scores) -> Row:
    return Row(
        corpus=corpus,
        kind=kind,
        C_mean=fmean(scores.C),
        C_low=min(scores.C),
        C_high=max(scores.C),
        C_auc=auc(text.C, scores.C),
        S_mean=fmean(scores.S),
        S_low=min(scores.S),
        S_high=max(scores.S),
        S_auc=auc(text.S, scores.S),
        repetition_mean=fmean(scores.repetition),
        repetition_high=max(scores.repetition),
        margin_auc=auc(text.margin, scores.margin),
        refused=scores.refused,
    )


if __name__ == "__main__":
    main()
