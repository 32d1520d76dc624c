"""Who is let in: names, origins, media types and sizes."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from app.settings import Settings
from app.web.access import Scope
from app.web.gate import Gate
from app.web.problems import CONTENT_TYPE
from app.web.rate import MOST_KNOWN, Rate

OURS = "127.0.0.1:5000"


def assert_problem(answer: TestResponse, status: int, sentence: str) -> None:
    assert answer.status_code == status
    assert answer.content_type == CONTENT_TYPE
    assert answer.json is not None
    assert answer.json["status"] == status
    assert sentence in answer.json["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost:5000", "[::1]:5000", "localhost"])
def test_the_service_answers_to_its_own_names(client: FlaskClient, host: str) -> None:
    assert client.get("/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1:6000", "localhost.evil.example:5000", ""]
)
@pytest.mark.parametrize("path", ["/", "/status", "/socket.io/?EIO=4&transport=websocket", "/static/none"])
def test_a_name_that_points_here_from_elsewhere_is_misdirected(
    client: FlaskClient, host: str, path: str
) -> None:
    assert_problem(client.get(path, headers={"Host": host}), 421, "is not a name of this service")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "https://127.0.0.1:5000",
        "http://127.0.0.1:5001",
        "http://127.0.0.1",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/status", "/socket.io/?EIO=4&transport=websocket"])
def test_another_page_is_refused(client: FlaskClient, origin: str, path: str) -> None:
    answer = client.get(path, headers={"Host": OURS, "Origin": origin})
    assert_problem(answer, 403, "is not this service's page")


def test_a_write_from_another_page_is_refused_before_it_is_read(client: FlaskClient) -> None:
    answer = client.post("/init", json={}, headers={"Host": OURS, "Origin": "http://evil.example"})
    assert_problem(answer, 403, "is not this service's page")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_our_own_page_is_let_in(client: FlaskClient, name: str) -> None:
    headers = {"Host": f"{name}:5000", "Origin": f"http://{name}:5000"}
    assert client.get("/status", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
def test_only_json_is_taken(client: FlaskClient, content_type: str) -> None:
    answer = client.post("/init", data=b"d_model=16", content_type=content_type)
    assert_problem(answer, 415, "send the body as application/json")


def test_a_form_without_a_body_is_still_a_form(client: FlaskClient) -> None:
    answer = client.post("/train/start", content_type="application/x-www-form-urlencoded")
    assert_problem(answer, 415, "send the body as application/json")


def test_a_write_that_needs_no_body_needs_no_media_type(client: FlaskClient) -> None:
    assert client.post("/train/pause").status_code == 409


def test_a_body_above_the_limit_is_too_large(client: FlaskClient) -> None:
    answer = client.post("/init", data=b" " * (16 * 2**20 + 1), content_type="application/json")
    assert_problem(answer, 413, "raise max_body_bytes")


def test_json_may_name_its_character_set(client: FlaskClient) -> None:
    answer = client.post("/infer", data=b"{}", content_type="application/json; charset=utf-8")
    assert answer.status_code == 409


def test_a_client_may_make_so_many_requests_a_second_and_another_is_not_held_up_by_it() -> None:
    def inner(_: object, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    settings = Settings(requests_per_s=50)
    gate = Gate(inner, settings, scope_of=lambda _: Scope.READ, lock=None, locked_page="")
    statuses = [_status_for(gate, "10.0.0.1") for _ in range(500)]
    assert statuses == ["200 OK"] * 500
    assert "429 Too Many Requests" in [_status_for(gate, "10.0.0.1") for _ in range(500)]
    assert _status_for(gate, "10.0.0.2") == "200 OK"


def _status_for(gate: Gate, address: str) -> str:
    builder = EnvironBuilder("/status", headers=[("Host", OURS)], environ_overrides={"REMOTE_ADDR": address})
    return run_wsgi_app(gate, builder.get_environ())[1]


def test_a_bucket_fills_up_again_and_addresses_with_full_ones_are_forgotten() -> None:
    now = [0.0]
    rate = Rate(50, clock=lambda: now[0])
    assert [rate.wait_s("a") for _ in range(500)] == [0.0] * 500
    assert rate.wait_s("a") == pytest.approx(0.02)
    now[0] = 0.02
    assert [rate.wait_s("a") > 0 for _ in range(2)] == [False, True]
    for number in range(MOST_KNOWN):
        rate.wait_s(str(number))
    now[0] = 10.0
    rate.wait_s("b")
    rate.wait_s("c")
    assert rate.wait_s("a") == 0.0
    assert len(rate._fullness) < 5


def test_an_answer_has_the_name_of_its_request_whoever_gives_it(client: FlaskClient) -> None:
    named = {"X-Request-Id": "mine-1"}
    answers = [client.get(path, headers=named) for path in ("/status", "/none")]
    answers.append(client.get("/status", headers={**named, "Host": "evil.example"}))
    assert [answer.headers["X-Request-Id"] for answer in answers] == ["mine-1"] * 3
    assert [answer.get_json().get("request_id") for answer in answers] == [None, "mine-1", "mine-1"]


@pytest.mark.parametrize("asked", ["", "two words", "x" * 65, "<b>"])
def test_a_request_that_is_called_strangely_gets_another_name(client: FlaskClient, asked: str) -> None:
    names = [client.get("/status", headers={"X-Request-Id": asked}).headers["X-Request-Id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)
    assert len(set(names)) == 2
