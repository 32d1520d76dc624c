"""Floors are fitted on one half of a text, and hold on the other."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.calibration import Assessment, Clearances, calibrate, split
from bitlm.calibration.clearance import as_sample
from bitlm.calibration.floors import STRETCH_BYTES, Half
from bitlm.data import Corpus
from bitlm.errors import ConfigError, CorpusError
from bitlm.gate import SafetyGate
from bitlm.reference import ReferenceModel

TEXTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


def clearances(pairs: list[tuple[float, float]]) -> Clearances:
    return Clearances(*np.array(pairs).T)


@given(text=st.text(min_size=200, max_size=3000).map(str.encode))
def test_no_byte_is_in_both_halves_and_none_is_lost(text: bytes) -> None:
    first, second = split(text)
    woven = [stretch for pair in zip(first, (*second, b""), strict=False) for stretch in pair]
    assert b"".join(woven) == text


def test_halves_take_stretches_in_turn_and_break_no_character() -> None:
    first, second = split("…".encode() * STRETCH_BYTES)
    assert [len(first), len(second)] == [2, 1]
    for stretch in (*first, *second):
        stretch.decode()
        assert len(stretch) <= STRETCH_BYTES + 3


def test_a_text_too_short_to_be_halved_is_refused_with_what_it_needs() -> None:
    with pytest.raises(CorpusError, match=r"has 127 bytes and calibration needs 128.*text of 1280 bytes"):
        split(bytes(127))


@given(texts=TEXTS, c_floor=st.floats(0, 1), s_floor=st.floats(0, 1))
def test_a_text_is_refused_exactly_when_it_has_no_headroom(
    texts: list[tuple[float, float]], c_floor: float, s_floor: float
) -> None:
    found = clearances(texts)
    short = found.headroom(c_floor, s_floor) < 1
    assert found.refused(c_floor, s_floor) == short.mean()


@pytest.mark.parametrize("floors", [(0.0, 0.0), (0.0, 0.7), (0.2, 0.0), (0.3, 0.5), (0.6, 0.8)])
def test_a_clearance_says_what_the_gate_says(reference: ReferenceModel, floors: tuple[float, float]) -> None:
    text = Corpus.embedded().held_out
    samples = [text[place : place + 96] for place in range(0, 9_600, 480)]
    samples += [
        b"ab" * 48,
        b"+" + 95 * b"-",
        samples[0][:50] + b"\xff" + samples[0][51:],
        bytes(range(96, 192)),
    ]
    gate = SafetyGate(*floors)
    refused = [not gate.judge(as_sample(sample), reference).passed for sample in samples]
    assert [Clearances.of([sample], reference).refused(*floors) == 1 for sample in samples] == refused


def test_the_floors_refuse_no_more_than_asked_where_they_were_fitted(assessment: Assessment) -> None:
    for floors in assessment.calibration.floors:
        assert 0 < floors.refused_seen <= assessment.calibration.false_reject_rate


def test_the_floors_pass_97_percent_of_text_they_have_not_seen(assessment: Assessment) -> None:
    for floors in assessment.calibration.floors:
        assert floors.refused_unseen <= 0.03


def test_a_higher_rate_never_lowers_a_floor(halves: tuple[Half, Half], reference: ReferenceModel) -> None:
    rates = (0.005, 0.02, 0.1, 0.5)
    fitted = [
        calibrate(halves, reference, false_reject_rate=rate, lengths=(64,), windows=100).floors[0]
        for rate in rates
    ]
    for lower, higher in pairwise(fitted):
        assert lower.c_floor <= higher.c_floor
        assert lower.s_floor <= higher.s_floor
        assert lower.c_ceiling >= higher.c_ceiling


def test_where_lines_of_dashes_are_more_than_the_rate_c_has_no_floor(reference: ReferenceModel) -> None:
    text = Corpus.embedded().held_out[:2000]
    floors = calibrate(((text[:1000] + 200 * b"-",), (text[1000:],)), reference, lengths=(32,)).floors[0]
    assert floors.c_floor == 0
    assert floors.s_floor > 0.5


def test_of_a_long_text_stretches_lie_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("ä" * 20_000).encode()
    monkeypatch.setattr("bitlm.calibration.floors.MOST_STRETCHES", 3)
    monkeypatch.setattr("bitlm.calibration.floors.STRETCH_BYTES", 101)
    first, second = split(text[: 3 * 10_001])
    assert first == (text[:100], text[20_002:20_102])
    assert second == (text[10_000:10_102],)


def test_lengths_that_a_stretch_does_not_hold_are_left_out(reference: ReferenceModel) -> None:
    halves = split(Corpus.embedded().held_out[:700])
    fitted = calibrate(halves, reference, windows=20).floors
    assert [floors.length_bytes for floors in fitted] == [32, 64, 128, 256]
    assert [floors.passages for floors in fitted] == [10, 5, 2, 1]


@pytest.mark.parametrize(
    ("asked", "fitted"), [(1, 64), (64, 64), (90, 64), (91, 128), (128, 128), (4096, 128)]
)
def test_a_length_is_served_by_the_nearest_that_was_fitted(
    assessment: Assessment, asked: int, fitted: int
) -> None:
    assert assessment.calibration.nearest(asked).length_bytes == fitted


@pytest.mark.parametrize("rate", [0.0, -0.1, 0.51, float("nan")])
def test_a_rate_out_of_range_is_refused(
    halves: tuple[Half, Half], reference: ReferenceModel, rate: float
) -> None:
    with pytest.raises(ConfigError, match=r"false_reject_rate=.*above 0 and at most 0\.5"):
        calibrate(halves, reference, false_reject_rate=rate)


def test_the_same_text_gives_the_same_floors(halves: tuple[Half, Half], reference: ReferenceModel) -> None:
    one, other = (calibrate(halves, reference, lengths=(32,), windows=50).floors[0] for _ in range(2))
    assert one.record() == other.record()
    assert dataclasses.replace(one, c_floor=0.0, s_floor=0.0).refused_unseen == 0
