"""How well does the gate tell text from its failures? Prints a table and writes it to benchmarks/results/.

The samples are cut or made from the held-out tenth of a corpus; the reference model is fitted on the rest.
Each is judged by the gate itself: 128 bytes at the default floors, or 32 to 1,024 bytes at floors fitted on
one half of the held-out tenth and measured on the other, and then the other way round. What is neither text
nor failure, such as other languages and the held-out text of the other corpora, is there to be known.

    python -m benchmarks.gate_separation --corpus embedded kjv sotu
    python -m benchmarks.gate_separation --calibrated
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType

import numpy as np

from benchmarks.quality_corpora import corpus_of
from benchmarks.record import RESULTS, keep
from bitlm.calibration import FALSE_REJECT_RATE, Assessment, assess, auc, split
from bitlm.calibration.clearance import as_sample
from bitlm.calibration.failures import FAILURES, OTHERS, Maker, cut
from bitlm.data import Corpus
from bitlm.gate import SafetyGate
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel

SAMPLE_BYTES = 128
GATE = SafetyGate()
TEXT = "held-out text"

MAKERS: dict[str, Maker] = {TEXT: cut, **FAILURES, **OTHERS}


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


def score(
    text: bytes,
    reference: ReferenceModel,
    count: int,
    seed: int,
    *,
    other_texts: Mapping[str, bytes] = MappingProxyType({}),
) -> dict[str, Scores]:
    """Return what the gate finds of `count` samples of each kind, and of other texts by their names."""
    sources = {kind: (make, text) for kind, make in MAKERS.items()}
    sources |= {f"text of {name}": (cut, other) for name, other in other_texts.items()}
    return {
        kind: _scores(
            [make(source, SAMPLE_BYTES, _generator(seed, index, kind)) for index in range(count)], reference
        )
        for kind, (make, source) in sources.items()
    }


def tabulate(corpus: str, scores: Mapping[str, Scores]) -> list[Row]:
    """Return a corpus's lines of the table, held-out text first."""
    return [_row(corpus, kind, of_kind, scores[TEXT]) for kind, of_kind in scores.items()]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="+", default=["embedded"], help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm") / "corpora")
    parser.add_argument("--count", type=int, default=400, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calibrated", action="store_true", help="at fitted floors, of several lengths")
    parser.add_argument("--rate", type=float, default=FALSE_REJECT_RATE, help="of text refused when fitting")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    corpora = [corpus_of(spec, options.cache) for spec in options.corpus]
    (measure_calibrated if options.calibrated else measure_default)(corpora, options)


def measure_default(corpora: Sequence[Corpus], options: argparse.Namespace) -> None:
    """Judge samples of 128 bytes at the default floors."""
    print(f"{options.count} samples of {SAMPLE_BYTES} bytes, floors C {GATE.c_floor} and S {GATE.s_floor}")
    rows: list[Row] = []
    for corpus in corpora:
        others = {other.name: bytes(other.held_out) for other in corpora if other is not corpus}
        reference = ReferenceModel.fit(corpus.train)
        scores = score(bytes(corpus.held_out), reference, options.count, options.seed, other_texts=others)
        rows += tabulate(corpus.name, scores)
        _print(corpus.name, [row for row in rows if row.corpus == corpus.name])
    keep(
        options.output,
        "gate_separation",
        by=__file__,
        corpora=[_identity(corpus) for corpus in corpora],
        settings={"count": options.count, "seed": options.seed, "sample_bytes": SAMPLE_BYTES},
        floors={"C": GATE.c_floor, "S": GATE.s_floor},
        rows=[asdict(row) for row in rows],
    )


def measure_calibrated(corpora: Sequence[Corpus], options: argparse.Namespace) -> None:
    """Fit floors on either half of the held-out text and judge the other half, and failures made of it."""
    calibrations = []
    for corpus in corpora:
        reference = ReferenceModel.fit(corpus.train)
        halves = split(corpus.held_out)
        for fitted, pair in (("first", halves), ("second", halves[::-1])):
            assessment = assess(
                pair, reference, false_reject_rate=options.rate, samples=options.count, seed=options.seed
            )
            _print_calibrated(f"{corpus.name}, fitted on the {fitted} half", assessment)
            calibrations.append(
                {"corpus": corpus.name, "fitted_on": fitted, "lengths": _without_curves(assessment)}
            )
    keep(
        options.output,
        "gate_calibration",
        by=__file__,
        corpora=[_identity(corpus) for corpus in corpora],
        settings={"count": options.count, "seed": options.seed, "false_reject_rate": options.rate},
        calibrations=calibrations,
    )


def _without_curves(assessment: Assessment) -> list[dict[str, object]]:
    lengths: list[dict[str, object]] = assessment.record()["lengths"]
    for failures in (length["failures"] for length in lengths):
        for failure in failures:  # type: ignore[attr-defined] # a list of records
            del failure["roc"]
    return lengths


def _identity(corpus: Corpus) -> dict[str, object]:
    return {"name": corpus.name, "bytes": len(corpus.data), "fingerprint": corpus.fingerprint}


def _print_calibrated(title: str, assessment: Assessment) -> None:
    print(title)
    print(f"{'bytes':>6}{'C floor':>9}{'S floor':>9}{'refused':>9}{'unseen':>8}  least caught, least AUC")
    for floors, caught, ranked in assessment.weakest():
        print(
            f"{floors.length_bytes:6}{floors.c_floor:9.3f}{floors.s_floor:9.3f}{floors.refused_seen:9.1%}"
            f"{floors.refused_unseen:8.1%}  {caught.caught:.1%} of {caught.kind}, "
            f"{ranked.auc:.4f} of {ranked.kind}"
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
    verdicts = [GATE.judge(as_sample(data), reference) for data in samples]
    return Scores(
        [verdict.C for verdict in verdicts],
        [verdict.S for verdict in verdicts],
        [verdict.repetition for verdict in verdicts],
        [verdict.margin for verdict in verdicts],
        [verdict.passed for verdict in verdicts],
    )


def _row(corpus: str, kind: str, scores: Scores, text: Scores) -> Row:
    return Row(
        corpus=corpus,
        kind=kind,
        C_mean=fmean(scores.C),
        C_low=min(scores.C),
        C_high=max(scores.C),
        C_auc=auc(np.asarray(text.C), np.asarray(scores.C)),
        S_mean=fmean(scores.S),
        S_low=min(scores.S),
        S_high=max(scores.S),
        S_auc=auc(np.asarray(text.S), np.asarray(scores.S)),
        repetition_mean=fmean(scores.repetition),
        repetition_high=max(scores.repetition),
        margin_auc=auc(np.asarray(text.margin), np.asarray(scores.margin)),
        refused=scores.refused,
    )


if __name__ == "__main__":
    main()
