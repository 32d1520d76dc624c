"""What another page can make its visitor's browser send: none of it changes anything (CSRF)."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.security.requests import OURS, READS, addresses, ask, is_refused

FORGED = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": OURS.replace("5000", "5001")},
    {"Origin": OURS, "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
]


@pytest.mark.parametrize("headers", FORGED, ids=str)
def test_no_write_is_taken_from_another_page(
    app: Flask, client: FlaskClient, headers: dict[str, str]
) -> None:
    writes = [(method, path) for _, method, path in addresses(app) if method not in READS]
    assert ("POST", "/init") in writes
    assert [write for write in writes if not is_refused(ask(client, *write, headers), 403)] == []


def test_our_own_page_and_scripts_are_not_taken_for_another(client: FlaskClient) -> None:
    page = {"Origin": OURS, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    for headers in (page, {"Sec-Fetch-Site": "none"}, {}):
        assert client.post("/train/pause", json={}, headers=headers).status_code == 409


@pytest.mark.parametrize(("place", "code"), [("document", 200), ("iframe", 403), ("image", 403)])
def test_a_link_to_the_page_may_be_followed_and_the_page_not_shown_in_another(
    client: FlaskClient, place: str, code: int
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": place}
    assert client.get("/", headers=headers).status_code == code


def test_another_page_cannot_load_what_the_service_answers(client: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    assert is_refused(client.get("/status", headers=headers), 403)
    assert client.get("/status").headers["Cross-Origin-Resource-Policy"] == "same-origin"
