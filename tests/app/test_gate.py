"""Who is let in: names, origins, media types and sizes."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.web.problems import CONTENT_TYPE

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
