"""The gate tells 128 bytes of text from their failures at the default floors, on the embedded corpus.

The samples are those of the benchmark that prints the table.
"""

import numpy as np
import pytest

from benchmarks.gate_separation import TEXT, Scores, score
from bitlm.calibration import auc
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel

SAMPLES = 60


@pytest.fixture(scope="module")
def scores() -> dict[str, Scores]:
    corpus = Corpus.embedded()
    return score(bytes(corpus.held_out), ReferenceModel.fit(corpus.train), SAMPLES, seed=0)


@pytest.mark.parametrize(
    ("kind", "C", "S"),
    [
        (TEXT, (0.6, 0.8), (0.8, 0.9)),
        ("8-byte loop", (0.1, 0.15), (0.6, 0.85)),
        ("random bytes", (1.0, 1.1), (0.15, 0.25)),
        ("printable noise", (1.0, 1.1), (0.3, 0.38)),
        ("5 % flipped bits", (0.8, 0.95), (0.38, 0.48)),
        ("shuffled bytes", (0.7, 0.9), (0.4, 0.5)),
    ],
)
def test_mean_measures_of_each_kind_lie_in_their_band(
    scores: dict[str, Scores], kind: str, C: tuple[float, float], S: tuple[float, float]
) -> None:
    found = scores[kind]
    assert C[0] < sum(found.C) / SAMPLES < C[1]
    assert S[0] < sum(found.S) / SAMPLES < S[1]


def test_most_text_passes_and_what_does_not_is_table_rules_that_look_like_loops(
    scores: dict[str, Scores],
) -> None:
    assert scores[TEXT].refused <= 0.12
    assert min(scores[TEXT].S) > 0.5


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("8-byte loop", 1.0),
        ("random bytes", 1.0),
        ("printable noise", 1.0),
        ("5 % flipped bits", 0.95),
        ("shuffled bytes", 0.75),
        ("longest loop", 1.0),
        ("one broken byte", 1.0),
    ],
)
def test_the_default_floors_refuse_at_least_this_share(
    scores: dict[str, Scores], kind: str, share: float
) -> None:
    assert scores[kind].refused >= share


@pytest.mark.parametrize("kind", ["random bytes", "printable noise", "5 % flipped bits", "shuffled bytes"])
def test_symbiosis_ranks_nearly_all_text_above_noise(scores: dict[str, Scores], kind: str) -> None:
    assert auc(np.array(scores[TEXT].S), np.array(scores[kind].S)) > 0.99


@pytest.mark.parametrize("kind", ["8-byte loop", "longest loop", "one broken byte", "random bytes"])
def test_the_margin_ranks_nearly_all_text_above_what_one_reason_catches(
    scores: dict[str, Scores], kind: str
) -> None:
    assert auc(np.array(scores[TEXT].margin), np.array(scores[kind].margin)) > 0.97


def test_complexity_and_not_symbiosis_ranks_text_above_loops(scores: dict[str, Scores]) -> None:
    text, loop = scores[TEXT], scores["8-byte loop"]
    assert auc(np.array(text.C), np.array(loop.C)) > 0.99
    assert auc(np.array(text.S), np.array(loop.S)) < 0.95
