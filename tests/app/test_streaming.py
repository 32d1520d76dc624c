"""A text told line by line while it is generated."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import torch
from flask import Flask
from flask.testing import FlaskClient

from app.connections import PatientSocket
from bitlm.session import Session

if TYPE_CHECKING:
    from tests.conftest import RunningServer, WaitUntil

FAILING = {"prompt": "The ", "max_new_bytes": 32, "seed": 3, "s_floor": 1.0}
"""No text is as likely as that: every attempt fails the gate."""


@pytest.fixture(autouse=True)
def run(client: FlaskClient, tiny_run: dict[str, Any]) -> str:
    made = client.post("/init", json=tiny_run).json
    assert made is not None
    return str(made["run_id"])


def lines(client: FlaskClient, **request: Any) -> list[dict[str, Any]]:
    answer = client.post("/infer", json={**request, "stream": True})
    assert (answer.status_code, answer.mimetype) == (200, "application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def begin(client: FlaskClient, **request: Any) -> Iterator[dict[str, Any]]:
    """Read a stream as it comes."""
    answer = client.post("/infer", json={**request, "stream": True}, buffered=False)
    return (
        json.loads(str(line, "utf-8") if isinstance(line, bytes) else str(line)) for line in answer.response
    )


def events(client: FlaskClient, run_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"/runs/{run_id}/events").json
    assert answer is not None
    return [event for event in answer["events"] if event["kind"] == "sample"]


@pytest.mark.parametrize(
    "asked",
    [
        FAILING,
        {**FAILING, "c_floor": 0.0, "s_floor": 0.0},
        {"max_new_bytes": 32, "seed": 3, "details": True, "temperature": 0.5},
    ],
)
def test_the_last_line_is_the_answer_that_comes_without_streaming(
    client: FlaskClient, run: str, asked: dict[str, Any]
) -> None:
    told = lines(client, **asked)
    assert told[0] == {"kind": "start", "run_id": run, "step": 0, "seed": 3}
    whole = client.post("/infer", json=asked).json
    assert told[-1] == {"kind": "answer", "answer": whole}
    one, other = (event["payload"] for event in events(client, run))
    assert one.pop("request_id") != other.pop("request_id")
    assert one == other
    assert "bytes" not in one["response"]["characters"][0]


def test_every_attempt_is_told_with_its_verdict_and_the_best_goes_on(client: FlaskClient) -> None:
    told = lines(client, **FAILING)
    texts: dict[int, list[dict[str, Any]]] = {}
    for line in told:
        if line["kind"] == "attempt":
            number = line["attempt"]
        if line["kind"] == "text":
            texts.setdefault(number, []).extend(line["characters"])
    begun = [(line["attempt"], line["resumed"]) for line in told if line["kind"] == "attempt"]
    assert begun[:4] == [(number, False) for number in range(1, 5)]
    (best, resumed), answer = begun[-1], told[-1]["answer"]
    assert resumed
    assert texts[best] == answer["characters"]
    verdicts = [line["report"] for line in told if line["kind"] == "verdict"]
    assert [report["passed"] for report in verdicts] == [False] * 5
    assert verdicts[-1] == answer["gate"]["log"][best - 1]
    assert verdicts[-1]["text"] == answer["text"]
    assert all(report["stopped_at"] for report in verdicts[:4])


def test_a_strict_stream_shows_no_text_before_it_has_passed(client: FlaskClient) -> None:
    told = lines(client, **FAILING, strict=True)
    assert {line["kind"] for line in told} == {"start", "attempt", "verdict", "problem"}
    assert all(line["report"]["text"] is None for line in told if line["kind"] == "verdict")
    problem = told[-1]["problem"]
    assert (problem["status"], problem["title"]) == (422, "The safety gate refused the sample")
    assert len(problem["gate"]["log"]) == 4
    passing = lines(client, **{**FAILING, "strict": True, "c_floor": 0, "s_floor": 0})
    kinds = [line["kind"] for line in passing if line["kind"] != "text"]
    assert kinds == ["start", "attempt", "verdict", "answer"]
    assert [line["kind"] for line in passing].index("text") == 2


def test_what_is_wrong_is_a_problem_before_the_first_line(app: Flask, client: FlaskClient) -> None:
    refused = client.post("/infer", json={"max_new_bytes": 0, "stream": True})
    assert (refused.status_code, refused.mimetype) == (422, "application/problem+json")
    session: Session = app.extensions["bitlm"].manager._worker._live.session
    with torch.no_grad():
        session.model.head.bias.fill_(float("nan"))
    broken = client.post("/infer", json={"stream": True})
    assert (broken.status_code, broken.mimetype) == (409, "application/problem+json")
    assert client.get("/healthz").status_code == 200


def test_the_bits_of_a_character_add_up_to_its_surprise(client: FlaskClient) -> None:
    answer = client.post("/infer", json={**FAILING, "details": True}).json
    assert answer is not None
    for character in answer["characters"]:
        spelled = bytes(byte["value"] for byte in character["bytes"])
        assert spelled.decode(errors="replace") == character["text"]
        bits = [probability for byte in character["bytes"] for probability in byte["probabilities"]]
        assert sum(-log2(probability) for probability in bits) == pytest.approx(
            character["surprise_bits"], abs=1e-4
        )
        for byte in character["bytes"]:
            likeliest = [probability for _, probability in byte["alternatives"]]
            assert likeliest == sorted(likeliest, reverse=True)
            assert len(likeliest) == 6


def test_a_model_that_decides_bit_by_bit_has_no_alternatives(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    client.post("/init", json={**tiny_run, "patch_bits": 1})
    answer = client.post("/infer", json={"max_new_bytes": 4, "details": True}).json
    assert answer is not None
    insides = [byte for character in answer["characters"] for byte in character["bytes"]]
    assert [byte["alternatives"] for byte in insides] == [[]] * 4
    assert all(len(byte["probabilities"]) == 8 for byte in insides)


def test_training_goes_on_while_a_text_is_told_and_does_not_change_it(client: FlaskClient, run: str) -> None:
    request = {"max_new_bytes": 2000, "seed": 5, "c_floor": 0, "s_floor": 0}
    whole = client.post("/infer", json=request).json
    told = begin(client, **request)
    first = next(told)
    done = client.post("/train-step", json={"steps": 2}).json
    assert done is not None
    assert (first["step"], done["step"]) == (0, 2)
    assert list(told)[-1]["answer"] == whole
    assert events(client, run)[-1]["payload"]["response"]["step"] == 0


def test_another_run_ends_the_text_of_the_one_before(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    told = begin(client, max_new_bytes=4096)
    next(told)
    client.post("/init", json=tiny_run)
    assert list(told)[-1]["problem"]["title"] == "Not in this state"


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"stream": True, "strict": True}])
def test_a_text_whose_asker_has_hung_up_is_not_kept(
    client: FlaskClient, run: str, more: dict[str, Any]
) -> None:
    theirs, plain = socket.socketpair()
    with theirs, PatientSocket.of(plain, 1.0) as ours:
        connection = {"gunicorn.socket": ours}
        asked = {"max_new_bytes": 8, "c_floor": 0, "s_floor": 0, **more}
        theirs.sendall(b"the next request, sent ahead")
        heard = client.post("/infer", json=asked, environ_overrides=connection)
        assert json.loads(heard.text.splitlines()[-1]).keys() & {"text", "answer"}
        assert len(events(client, run)) == 1
        ours.recv(100)
        theirs.close()
        abandoned = client.post("/infer", json=asked, environ_overrides=connection)
    assert "Nobody waits for the answer" in abandoned.text.splitlines()[0]
    assert abandoned.status_code == (200 if more else 400)
    assert len(events(client, run)) == 1


def test_whoever_hangs_up_ends_the_generation(
    server: "RunningServer", tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    asked = {"max_new_bytes": 4096, "stream": True, "c_floor": 0, "s_floor": 0}
    run_id = server.ask("POST", "/init", tiny_run)["run_id"]
    with closing(HTTPConnection(urlsplit(server.url).netloc)) as connection:
        ask(connection, asked)
        assert json.loads(connection.getresponse().readline())["kind"] == "start"
    wait_until(lambda: '"event": "stream_cancelled"' in server.log.read_text())
    (serving,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    os.kill(int(serving), signal.SIGSTOP)  # so that it gets the request and its end at once
    with closing(HTTPConnection(urlsplit(server.url).netloc)) as connection:
        ask(connection, {**asked, "stream": False})
    os.kill(int(serving), signal.SIGCONT)
    wait_until(lambda: '"path": "/infer", "status": 400' in server.log.read_text())
    server.ask("POST", "/train-step", {})
    kinds = {event["kind"] for event in server.ask("GET", f"/runs/{run_id}/events")["events"]}
    assert "steps_requested" in kinds
    assert "sample" not in kinds
    assert "Traceback" not in server.log.read_text()


def ask(connection: HTTPConnection, wanted: dict[str, Any]) -> None:
    """Ask for a text and do not wait for it."""
    connection.request("POST", "/infer", json.dumps(wanted), {"Content-Type": "application/json"})
