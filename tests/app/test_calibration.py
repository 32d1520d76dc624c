"""Floors that fit the live run's text, over REST."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from app.service.calibration import SHARES, Calibrator
from bitlm.calibration import Clearances, calibrate, split
from bitlm.data import Corpus
from bitlm.reference import ReferenceModel


def test_floors_of_the_live_run_are_those_of_its_text_and_nothing_changes(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    client.post("/init", json=tiny_run)
    journal = f"/runs/{client.get('/status').json['run_id']}/journal"  # type: ignore[index] # JSON by now
    before = client.get(journal).json
    answer = client.get("/calibration?false_reject_rate=0.02")
    assert answer.status_code == 200
    assert answer.json is not None
    corpus = Corpus.from_path(tiny_run["corpus"])
    fitted = calibrate(
        split(corpus.held_out), ReferenceModel.fit(corpus.train), false_reject_rate=0.02
    ).floors
    assert answer.json["false_reject_rate"] == 0.02
    assert [length["length_bytes"] for length in answer.json["lengths"]] == [32, 64, 128, 256, 512]
    for told, floors in zip(answer.json["lengths"], fitted, strict=True):
        assert {name: told[name] for name in floors.record()} == floors.record()
        text = floors.seen + floors.unseen
        assert told["C"][-1] == pytest.approx(text.C.max(), abs=1e-4)
        assert_shares_are_refused(text, np.array(told["S"]))
    assert client.get(journal).json == before
    stricter = client.get("/calibration?false_reject_rate=0.5").json
    assert stricter is not None
    assert all(length["refused_seen"] > 0.2 for length in stricter["lengths"])


def assert_shares_are_refused(text: Clearances, floors: np.ndarray) -> None:
    """A floor at each share refuses that share, to within one text and the rounding of the floor."""
    refused = np.array([text.refused(0.0, floor - 1e-4) for floor in floors])
    assert np.all(refused <= np.array(SHARES) + 1e-9)
    assert np.all(np.diff(floors) >= 0)


def test_a_text_is_measured_once_for_all_runs_that_count_it_alike(corpus_file: Path) -> None:
    corpus, calibrator = Corpus("short", corpus_file.read_bytes()[:1500]), Calibrator()
    first, again, otherwise = (
        calibrator.calibrate(corpus, ReferenceModel.fit(corpus.train, order=order), 0.01).floors
        for order in (5, 5, 3)
    )
    assert all(one.seen is other.seen for one, other in zip(first, again, strict=True))
    assert all(one.seen is not other.seen for one, other in zip(first, otherwise, strict=True))
    assert pytest.approx(otherwise[-1].seen.S) != first[-1].seen.S


def test_without_a_run_there_is_nothing_to_fit_to(client: FlaskClient) -> None:
    assert client.get("/calibration").status_code == 409


@pytest.mark.parametrize("rate", ["0", "0.6", "nan", "much"])
def test_a_rate_that_makes_no_sense_is_named(client: FlaskClient, rate: str) -> None:
    answer = client.get(f"/calibration?false_reject_rate={rate}")
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"][0]["field"] == "false_reject_rate"


def test_a_text_too_short_to_be_halved_is_told_what_it_needs(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    del tiny_run["corpus"]
    client.post("/init", json=tiny_run | {"text": "All work and no play. " * 30})
    answer = client.get("/calibration")
    assert answer.status_code == 422
    assert answer.json is not None
    assert "calibration needs 128" in answer.json["detail"]
