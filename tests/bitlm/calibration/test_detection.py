"""What calibrated floors catch, and how that is measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.calibration import Assessment, assess, auc
from bitlm.calibration.detection import FALSE_REJECT_RATES, roc
from bitlm.calibration.failures import FAILURES, OTHERS, cut, cut_character, loop
from bitlm.calibration.floors import Half
from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.reference import ReferenceModel
from bitlm.telemetry import repetition

SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=20).map(np.array)


@given(text=SCORES, failures=SCORES)
def test_the_area_is_the_share_of_pairs_in_the_right_order(text: np.ndarray, failures: np.ndarray) -> None:
    pairs = [1.0 if one > other else 0.5 if one == other else 0.0 for one in text for other in failures]
    assert auc(text, failures) == pytest.approx(np.mean(pairs))


def test_a_hand_worked_curve() -> None:
    text, failures = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.5, 1.5, 9.0])
    curve = dict(zip(FALSE_REJECT_RATES, roc(text, failures), strict=True))
    assert curve[0.0] == 0.5, "no text lies below 1, and two failures do"
    assert curve[0.25] == 0.75, "one text lies below 2"
    assert curve[1.0] == 1.0


@given(text=SCORES, failures=SCORES)
def test_a_curve_never_falls_and_ends_with_everything_refused(text: np.ndarray, failures: np.ndarray) -> None:
    curve = roc(text, failures)
    assert list(curve) == sorted(curve)
    assert curve[-1] == 1


@pytest.mark.parametrize("kind", [kind for kind in FAILURES if "flipped" not in kind])
@pytest.mark.parametrize("length_bytes", [32, 100, 1024])
def test_every_maker_makes_as_many_bytes_as_asked(kind: str, length_bytes: int) -> None:
    for seed in range(20):
        made = FAILURES[kind](Corpus.embedded().held_out[:2048], length_bytes, np.random.default_rng(seed))
        assert len(made) == length_bytes


@pytest.mark.parametrize("kind", ["8-byte loop", "loop of any period", "longest loop"])
@pytest.mark.parametrize("length_bytes", [32, 100, 256, 1024])
def test_every_loop_has_at_least_four_copies(kind: str, length_bytes: int) -> None:
    for seed in range(20):
        made = FAILURES[kind](Corpus.embedded().held_out[:2048], length_bytes, np.random.default_rng(seed))
        assert repetition(made).share == 1


def test_a_loop_is_its_passage_over_and_over() -> None:
    assert loop(b"abc", 10, np.random.default_rng(0), period=3) == b"abcabcabca"


def test_passages_begin_with_a_character_and_half_a_character_is_broken_text() -> None:
    text = "äöü€😀".encode() * 40
    for seed in range(40):
        random = np.random.default_rng(seed)
        cut(text, 100, random).decode(errors="ignore").encode()
        assert cut(text, 100, random)[0] >= 0xC0
        with pytest.raises(UnicodeDecodeError):
            cut_character(text, 100, random)[:97].decode()


@pytest.mark.parametrize("kind", FAILURES)
def test_calibrated_floors_catch_97_percent_of_each_failure_of_128_bytes(
    assessment: Assessment, kind: str
) -> None:
    (found,) = [found for found in assessment.detections[1] if found.kind == kind]
    assert found.counted
    assert found.caught >= 0.97
    assert found.auc >= 0.99


def test_what_lies_between_text_and_failure_is_reported_and_not_counted(assessment: Assessment) -> None:
    for detections in assessment.detections:
        assert {found.kind for found in detections if not found.counted} == set(OTHERS)


def test_the_record_has_each_length_with_its_failures(assessment: Assessment) -> None:
    record = assessment.record()
    assert [length["length_bytes"] for length in record["lengths"]] == [64, 128]
    for length in record["lengths"]:
        assert [found["kind"] for found in length["failures"]] == [*FAILURES, *OTHERS]
        assert all(len(found["roc"]) == len(record["roc_false_reject_rates"]) for found in length["failures"])


def test_broken_text_is_no_failure_where_the_training_text_is_no_utf8() -> None:
    text = bytes(range(256)) * 40
    found = assess(((text[:2048],), (text[2048:4096],)), ReferenceModel.fit(text), lengths=(32,), samples=2)
    assert {"one broken byte", "cut character"}.isdisjoint(one.kind for one in found.detections[0])


def test_no_samples_are_refused(halves: tuple[Half, Half], reference: ReferenceModel) -> None:
    with pytest.raises(ConfigError, match="samples=0: use at least 1"):
        assess(halves, reference, samples=0)
