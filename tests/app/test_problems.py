"""Each way to be wrong: its status, its media type and its sentence."""

import json
from typing import Any

import pytest
import torch
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.web.problems import CONTENT_TYPE

ONE_LETTER = [0, 1, 0, 0, 0, 0, 0, 1]


def assert_problem(answer: TestResponse, status: int, sentence: str) -> dict[str, Any]:
    problem: dict[str, Any] = json.loads(answer.data)
    assert answer.status_code == status, problem
    assert answer.content_type == CONTENT_TYPE
    assert problem["status"] == status
    assert problem["title"]
    assert sentence in problem["detail"]
    return problem


@pytest.mark.parametrize(
    "path", ["/train-step", "/infer", "/config/telemetry", "/train/start", "/train/pause", "/train/stop"]
)
def test_without_a_model_the_way_to_one_is_named(client: FlaskClient, path: str) -> None:
    assert_problem(client.post(path, json={}), 409, "make one with POST /init")


def test_annealing_without_a_model_names_the_way_to_one(client: FlaskClient) -> None:
    assert_problem(client.post("/train/anneal", json={"steps": 3}), 409, "make one with POST /init")


@pytest.mark.parametrize("body", [b"{", b"d_model", b"\xff\xfe", b'{"a": 1,}'])
def test_a_body_that_is_not_json_is_malformed(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/init", data=body, content_type="application/json")
    assert_problem(answer, 400, "the body is not JSON")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"3"])
def test_a_body_that_is_not_an_object_is_invalid(client: FlaskClient, body: bytes) -> None:
    assert_problem(client.post("/init", data=body, content_type="application/json"), 422, "body: ")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/init", {"d_modle": 3}, "d_modle"),
        ("/init", {"d_model": "128"}, "d_model"),
        ("/init", {"d_model": True}, "d_model"),
        ("/init", {"d_model": 10**9}, "d_model"),
        ("/init", {"d_model": 64, "nhead": 3}, "nhead"),
        ("/init", {"parity": 1}, "parity"),
        ("/init", {"dropout": 1.0}, "dropout"),
        ("/init", {"learning_rate": 0}, "learning_rate"),
        ("/init", {"memory": "disk"}, "memory"),
        ("/init", {"size": "huge"}, "size"),
        ("/init", {"seed": -1}, "seed"),
        ("/init", {"text": ""}, "text"),
        ("/train-step", {"steps": 0}, "steps"),
        ("/train-step", {"steps": 1.5}, "steps"),
        ("/train-step", {"bits": [*ONE_LETTER[:7], 2]}, "bits.7"),
        ("/train-step", {"bits": [*ONE_LETTER[:7], True]}, "bits.7"),
        ("/train-step", {"bits": [*ONE_LETTER[:7], 1.0]}, "bits.7"),
        ("/infer", {"max_new_bytes": 4097}, "max_new_bytes"),
        ("/infer", {"temperature": -0.1}, "temperature"),
        ("/infer", {"temperature": 5.1}, "temperature"),
        ("/infer", {"top_p": 0}, "top_p"),
        ("/infer", {"strict": "yes"}, "strict"),
        ("/infer", {"max_retries": 3}, "max_retries"),
        ("/config/telemetry", {"lambda_K": 1.1}, "lambda_K"),
        ("/config/telemetry", {"c_floor": -0.1}, "c_floor"),
        ("/config/telemetry", {"lambda_k": 0.1}, "lambda_k"),
        ("/config/telemetry", {"kind": "anneal"}, "kind"),
        ("/train/anneal", {}, "steps"),
        ("/train/anneal", {"steps": 0}, "steps"),
        ("/train/start", {"steps": 3}, "steps"),
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, path: str, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(client.post(path, json=body), 422, "")
    assert problem["errors"][0]["field"] == field
    assert problem["errors"][0]["pointer"] == "/" + field.replace(".", "/")
    assert field in problem["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("path", "field"), [("/config/telemetry", "lambda_K"), ("/infer", "temperature"), ("/init", "dropout")]
)
def test_what_is_not_a_finite_number_is_refused(
    client: FlaskClient, path: str, field: str, number: str
) -> None:
    answer = client.post(path, data=f'{{"{field}": {number}}}', content_type="application/json")
    problem = assert_problem(answer, 422, field)
    assert problem["errors"][0]["field"] == field


def test_every_complaint_is_listed_with_its_value(client: FlaskClient) -> None:
    problem = assert_problem(client.post("/init", json={"d_model": "x", "nheads": 4}), 422, "(and 1 more)")
    assert {error["field"]: error["value"] for error in problem["errors"]} == {"d_model": "x", "nheads": 4}
    assert "did you mean nhead? the fields are size, corpus" in problem["errors"][1]["detail"]


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/config/telemetry", {"lambda_K": 2}, "lambda_K=2: use a number from 0 to 1."),
        ("/infer", {"top_p": 0}, "top_p=0: use a number above 0 up to 1."),
        ("/infer", {"seed": -1}, "seed=-1: use a whole number from 0 to 9223372036854775807."),
        ("/infer", {"strict": "yes"}, "strict='yes': use true or false."),
        ("/infer", {"bits": "0101"}, "bits='0101': use a list of at most 1,048,576 items."),
        ("/init", {"d_model": "64"}, "d_model='64': use a whole number."),
        ("/init", {"text": ""}, "text='': use text that is not empty."),
        ("/train/anneal", {}, "steps: it is missing: use a whole number from 1 to 1000000."),
        (
            "/config/alerts",
            {"action": "stop"},
            "action='stop': use 'notify', 'pause', 'anneal' or 'rollback'.",
        ),
        (
            "/config/samples",
            {"schedule": {"every": 0}},
            "schedule.every=0: use a whole number from 1 to 1000000.",
        ),
        ("/estimate", {"text_bytes": -1}, "text_bytes=-1: use a whole number of at least 0."),
    ],
)
def test_a_wrong_value_is_told_with_its_field_and_what_to_use(
    client: FlaskClient, path: str, body: dict[str, Any], sentence: str
) -> None:
    problem: dict[str, Any] = json.loads(client.post(path, json=body).data)
    assert problem["detail"] == sentence


def test_two_sources_of_text_exclude_each_other(ready: FlaskClient) -> None:
    assert_problem(ready.post("/init", json={"text": "a", "corpus": "embedded"}), 422, "exclude each other")
    assert_problem(ready.post("/infer", json={"prompt": "A", "bits": ONE_LETTER}), 422, "exclude each other")
    answer = ready.post("/train-step", json={"text": "A", "bits": ONE_LETTER})
    assert_problem(answer, 422, "exclude each other")


def test_bits_must_be_whole_frames(ready: FlaskClient) -> None:
    assert_problem(ready.post("/infer", json={"bits": ONE_LETTER[:5]}), 422, "")
    assert_problem(ready.post("/train-step", json={"bits": [*ONE_LETTER, 1]}), 422, "")


def test_a_flipped_parity_bit_is_reported(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run | {"parity": True})
    answer = client.post("/train-step", json={"bits": [*ONE_LETTER, 1]})
    assert_problem(answer, 422, "fail even parity")


def test_a_corpus_that_is_not_there_is_named(client: FlaskClient) -> None:
    assert_problem(client.post("/init", json={"corpus": "/no/such/file"}), 422, "/no/such/file")


def test_a_text_that_is_too_short_says_how_long_it_must_be(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    tiny_run.pop("corpus")
    assert_problem(client.post("/init", json=tiny_run | {"text": "short"}), 422, "at least 320 bytes")


def test_a_failed_init_leaves_the_run_as_it_was(ready: FlaskClient) -> None:
    before = ready.get("/status").json
    ready.post("/init", json={"corpus": "/no/such/file"})
    after = ready.get("/status").json
    assert before is not None
    assert after is not None
    assert (after["state"], after["run_id"]) == ("ready", before["run_id"])


def test_a_strict_gate_refuses_and_says_why(ready: FlaskClient) -> None:
    ready.post("/config/telemetry", json={"s_floor": 1.0})
    answer = ready.post("/infer", json={"strict": True, "max_new_bytes": 16, "seed": 1})
    problem = assert_problem(answer, 422, "is below the floor 1")
    assert problem["gate"]["passed"] is False
    assert problem["gate"]["attempts"] == 4
    assert [len(attempt["reasons"]) > 0 for attempt in problem["gate"]["log"]] == [True] * 4


def test_a_gate_that_is_not_strict_marks_the_same_sample(ready: FlaskClient) -> None:
    ready.post("/config/telemetry", json={"s_floor": 1.0})
    answer = ready.post("/infer", json={"max_new_bytes": 16, "seed": 1})
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["gate"]["passed"] is False
    assert "is below the floor 1" in answer.json["gate"]["reasons"][0]


@pytest.mark.parametrize(
    "path", ["/runs/none", "/runs/none/metrics", "/runs/none/events", "/runs/UPPER_case"]
)
def test_a_run_that_is_not_there_is_not_found(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), 404, "there is no run")


@pytest.mark.parametrize(
    ("query", "field"),
    [("since=x", "since"), ("since=-2", "since"), ("max_points=3001", "max_points"), ("step=1", "step")],
)
def test_a_wrong_query_is_named(ready: FlaskClient, query: str, field: str) -> None:
    status = ready.get("/status").json
    assert status is not None
    problem = assert_problem(ready.get(f"/runs/{status['run_id']}/metrics?{query}"), 422, field)
    assert problem["errors"][0]["field"] == field


def test_a_path_that_is_not_there_is_a_problem_too(client: FlaskClient) -> None:
    assert_problem(client.get("/none"), 404, "docs/api.md lists")


def test_a_method_that_is_not_there_names_those_that_are(client: FlaskClient) -> None:
    answer = client.get("/init")
    assert_problem(answer, 405, "this address takes POST, not GET")
    assert "POST" in answer.headers["Allow"]


def test_a_run_that_stops_itself_says_so_and_the_service_goes_on(app: Flask, ready: FlaskClient) -> None:
    session = app.extensions["bitlm"].manager._worker._live.session
    with torch.no_grad():
        next(session.model.parameters()).fill_(float("nan"))
    problem = assert_problem(ready.post("/train-step", json={}), 409, "The last good state is that of step 0")
    status = ready.get("/status").json
    assert status is not None
    assert (status["state"], status["error"]) == ("halted", problem["detail"])
    assert_problem(ready.post("/train/start"), 409, "The last good state is that of step 0")
    events = ready.get(f"/runs/{status['run_id']}/events").json
    assert events is not None
    assert "nonfinite_alert" in [event["kind"] for event in events["events"]]


def test_a_mistake_of_ours_is_told_without_its_insides_and_the_next_run_is_well(
    app: Flask, ready: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    session = app.extensions["bitlm"].manager._worker._live.session
    session._learner.corpus = None  # what no request can do
    problem = assert_problem(
        ready.post("/train-step", json={}), 500, "unexpected AttributeError; the log has"
    )
    assert "Traceback" not in json.dumps(problem)
    status = ready.get("/status").json
    assert status is not None
    assert status["state"] == "failed"
    events = ready.get(f"/runs/{status['run_id']}/events").json
    assert events is not None
    # Baselines are counted beside training, and may be told after it.
    assert "failed" in [event["kind"] for event in events["events"]]
    assert_problem(ready.get("/readyz"), 503, "model: an unexpected AttributeError")
    assert ready.post("/init", json=tiny_run).status_code == 201
    assert ready.post("/train-step", json={}).status_code == 200
    assert ready.get("/readyz").status_code == 200
