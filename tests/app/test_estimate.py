"""What a run would be, over REST."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient

if TYPE_CHECKING:
    from tests.conftest import WaitUntil

REFUSED: list[dict[str, Any]] = [
    {"nhead": 3},
    {"size": "huge"},
    {"d_modle": 64},
    {"corpus": "/no/such/text"},
    {"text": "too short"},
    {"autocast": "fp8"},
    {"objective": "mixed", "block_bytes": 5},
]


def test_an_estimate_is_of_the_run_that_init_would_make(
    client: FlaskClient, tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    wait_until(lambda: client.get("/status").get_json()["state"] == "empty")
    estimate = client.post("/estimate", json=tiny_run)
    assert estimate.status_code == 200
    told = estimate.json
    assert told is not None
    assert told["basis"] == "tried"
    assert told["explanation"] == "tried just now on this machine"
    assert told["text_bytes"] == Path(tiny_run["corpus"]).stat().st_size
    assert told["bytes_per_s"] > 0
    assert client.get("/runs").json == {"runs": [], "next": None}
    made = client.post("/init", json=tiny_run).json
    assert made is not None
    assert made["parameters"] == told["parameters"]
    assert client.post("/estimate", json=tiny_run).json == told


@pytest.mark.parametrize("wrong", REFUSED, ids=lambda wrong: next(iter(wrong)))
def test_what_init_refuses_is_refused_in_the_same_words(client: FlaskClient, wrong: dict[str, Any]) -> None:
    settings = {"size": "tiny", **wrong}
    named = {"X-Request-Id": "the-same"}
    estimate, made = (client.post(path, json=settings, headers=named) for path in ("/estimate", "/init"))
    assert estimate.status_code == made.status_code == 422
    told, refused = estimate.json, made.json
    assert told is not None
    assert refused is not None
    if "d_modle" in wrong:  # the two list the fields they know, which are not quite the same
        told, refused = told["errors"][0]["pointer"], refused["errors"][0]["pointer"]
    if "text" in wrong:
        told, refused = (
            told["detail"].partition("is too short")[1:],
            refused["detail"].partition("is too short")[1:],
        )
    assert told == refused


def test_a_text_may_be_named_by_its_length_and_a_folder_is_not_read(
    client: FlaskClient, tmp_path: Path
) -> None:
    told = client.post("/estimate", json={"size": "tiny", "text_bytes": 12_345}).json
    assert told is not None
    assert told["text_bytes"] == 12_345
    folder = client.post("/estimate", json={"size": "tiny", "corpus": str(tmp_path)}).json
    assert folder is not None
    assert folder["text_bytes"] is None
    short = client.post("/estimate", json={"size": "tiny", "text_bytes": 100}).json
    assert short is not None
    assert "supply at least 1280 bytes" in short["detail"]


def test_nothing_is_tried_while_a_run_trains(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    client.post("/train/start")
    told = client.post("/estimate", json=tiny_run).json
    client.post("/train/pause")
    assert told is not None
    assert told["basis"] == "busy"
    assert told["bytes_per_s"] is None
    assert "training is under way" in told["explanation"]


def test_a_text_that_came_with_the_request_has_the_name_it_came_with(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    text = Path(tiny_run.pop("corpus")).read_text()
    made = client.post("/init", json={**tiny_run, "text": text, "text_name": "notes.txt"})
    assert made.status_code == 201
    status = client.get("/status").json
    assert status is not None
    assert status["corpus"]["name"] == "notes.txt"
