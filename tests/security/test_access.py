"""Where a token is asked for: what each lets do, by which way it may come, and what else is refused."""

import json
from itertools import count, product

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.settings import Settings
from app.web.access import GRANTED, Scope, read_tokens
from app.web.lock import Lock
from app.web.routes import FILES
from tests.security.requests import OURS, READS, addresses, ask, is_refused

NEEDED = {
    Scope.PUBLIC: ("GET", "/healthz"),
    Scope.READ: ("GET", "/status"),
    Scope.TUNE: ("POST", "/train/pause"),
    Scope.DESTRUCTIVE: ("DELETE", "/runs/none/checkpoints/1"),
}
HOSTS = {"127.0.0.1:5000": None, "evil.example:5000": 421}
ORIGINS = {None: None, OURS: None, "http://evil.example": 403, "null": 403}
LET_IN = {200, 404, 409}
READS_THAT_ARE_POSTED = {"POST /estimate", "POST /infer", "POST /decompress"}
OTHER_ADDRESSES = (f"10.0.{index // 250}.{index % 250}" for index in count())
"""Whoever offers a wrong token is somebody new, or it would soon be too many."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    return Settings(data_dir=folder, torch_threads=1, host="0.0.0.0", allowed_hosts=("127.0.0.1:443",))  # noqa: S104 - not listened on


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client(use_cookies=False)


@pytest.fixture
def tokens(app: Flask, settings: Settings) -> dict[Scope, str]:
    return dict(read_tokens(settings.tokens_file))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie_of(client: FlaskClient, token: str) -> dict[str, str]:
    answer = client.get(f"/?token={token}")
    assert answer.status_code == 303
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def expected(scope: Scope, needed: Scope, *, by_cookie: bool, host: str, origin: str | None) -> set[int]:
    """Say by which statuses a request may be answered, from what is documented."""
    is_forgeable = by_cookie and NEEDED[needed][0] not in READS and origin is None
    if refused := HOSTS[host] or ORIGINS[origin]:
        return {refused}
    if scope is Scope.PUBLIC and needed is not Scope.PUBLIC:
        return {401}
    return {403} if scope < needed or is_forgeable else LET_IN


@pytest.mark.parametrize("shown", ["nothing", "wrong token", "wrong cookie", "token", "cookie"])
def test_a_request_is_let_in_by_token_and_host_and_origin_and_scope_together(
    client: FlaskClient, tokens: dict[Scope, str], shown: str
) -> None:
    wrong = {"nothing": {}, "wrong token": bearer("x" * 43), "wrong cookie": {"Cookie": "bitlm-5000=9.9"}}
    if shown in wrong:
        callers = {Scope.PUBLIC: wrong[shown]}
    else:
        show = bearer if shown == "token" else lambda token: cookie_of(client, token)
        callers = {scope: show(tokens[scope]) for scope in GRANTED}
    asked = list(product(callers, NEEDED, HOSTS, ORIGINS))
    for scope, needed, host, origin in asked:
        headers = {"Host": host, **({"Origin": origin} if origin else {}), **callers[scope]}
        answer = ask(client, *NEEDED[needed], headers, next(OTHER_ADDRESSES))
        statuses = expected(scope, needed, by_cookie=shown == "cookie", host=host, origin=origin)
        assert answer.status_code in statuses, (scope, needed, host, origin, answer.data)
        assert statuses == LET_IN or is_refused(answer, answer.status_code)


def test_every_route_that_is_not_public_asks_for_a_token(app: Flask, client: FlaskClient) -> None:
    found: dict[str, set[int]] = {endpoint: set() for endpoint, _, _ in addresses(app)}
    for endpoint, method, path in addresses(app):
        found[endpoint].add(ask(client, method, path, {}).status_code)
    assert {endpoint for endpoint, statuses in found.items() if statuses != {401}} == {"GET /healthz"}


def test_what_is_not_there_asks_for_a_token_too(client: FlaskClient) -> None:
    asked = [("GET", "/none"), ("GET", "/init"), ("TRACE", "/"), ("GET", "/socket.io/?EIO=4")]
    assert [one for one in asked if not is_refused(ask(client, *one, {}), 401)] == []


def test_a_token_that_may_less_than_a_route_needs_is_refused_by_every_such_route(
    app: Flask, client: FlaskClient, tokens: dict[Scope, str]
) -> None:
    needs = {name: file.scope for name, file in FILES.items()}
    needs |= {route.name: route.scope for route in app.extensions["bitlm"].routes}
    for endpoint, method, path in addresses(app):
        lower = [scope for scope in GRANTED if scope < needs[endpoint] and method != "OPTIONS"]
        for scope in lower:
            assert is_refused(ask(client, method, path, bearer(tokens[scope])), 403), (scope, method, path)


def test_whatever_is_written_needs_more_than_reading_but_what_is_only_asked(app: Flask) -> None:
    routes = app.extensions["bitlm"].routes
    written = {route.name for route in routes if route.method not in READS and route.scope <= Scope.READ}
    assert written == READS_THAT_ARE_POSTED
    assert {route.name for route in routes if route.scope is Scope.DESTRUCTIVE} == {
        "POST /runs/<run_id>/trash",
        "DELETE /runs/<run_id>",
        "DELETE /runs/<run_id>/checkpoints/<int:step>",
    }


def test_the_address_with_a_token_becomes_a_cookie_that_no_script_and_no_other_page_gets_at(
    client: FlaskClient, tokens: dict[Scope, str]
) -> None:
    answer = client.get(f"/?x=time&token={tokens[Scope.READ]}&run=a%26b")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?x=time&run=a%26b")
    _, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert attributes == ["Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Strict"]
    assert tokens[Scope.READ] not in str(answer.headers)
    page = client.get("/", headers=cookie_of(client, tokens[Scope.READ]))
    assert b"<title>BitLM: " in page.data


def test_where_a_proxy_speaks_https_the_cookie_is_for_https_alone(
    client: FlaskClient, tokens: dict[Scope, str]
) -> None:
    answer = client.get(f"/?token={tokens[Scope.READ]}", headers={"Host": "127.0.0.1:443"})
    assert answer.headers["Set-Cookie"].endswith("SameSite=Strict; Secure")


def test_a_window_without_a_cookie_is_told_what_to_do_and_a_script_too(client: FlaskClient) -> None:
    page = client.get("/", headers={"Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (401, "text/html")
    assert "Open the address that BitLM printed" in page.get_data(as_text=True)
    answer = client.get("/status")
    assert is_refused(answer, 401)
    assert "Authorization: Bearer TOKEN" in json.loads(answer.data)["detail"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_what_a_token_says_is_never_shown_again(client: FlaskClient) -> None:
    hostile = "<script>alert(1)</script>"
    page = client.get("/", query_string={"token": hostile}, headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert hostile not in page.get_data(as_text=True)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_after_ten_wrong_tokens_an_address_has_to_wait_even_with_a_right_one_and_others_have_not(
    client: FlaskClient, tokens: dict[Scope, str]
) -> None:
    cookie, right = cookie_of(client, tokens[Scope.READ]), bearer(tokens[Scope.READ])
    guesses = [bearer(f"guess {index}") for index in range(10)]
    assert {ask(client, "GET", "/status", guess, "10.9.9.9").status_code for guess in guesses} == {401}
    for guess in (bearer("guess 11"), right):
        answer = ask(client, "GET", "/status", guess, "10.9.9.9")
        assert is_refused(answer, 429)
        assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert ask(client, "GET", "/status", cookie, "10.9.9.9").status_code == 200
    assert ask(client, "GET", "/status", right, "10.9.9.8").status_code == 200


def test_wrong_tokens_are_forgiven_after_a_minute_and_cookies_end_after_a_month() -> None:
    now = [1_000.0]
    lock = Lock(dict.fromkeys(GRANTED, "right"), cookie_name="bitlm", clock=lambda: now[0])
    asks = {"REQUEST_METHOD": "GET", "PATH_INFO": "/status", "REMOTE_ADDR": "10.0.0.1"}
    wrong = asks | {"HTTP_AUTHORIZATION": "Bearer wrong"}
    shown = asks | {"HTTP_COOKIE": lock.cookie("right", is_encrypted=False).partition(";")[0]}
    for _ in range(10):
        assert lock.wait_s(wrong) == 0.0
        lock.caller(wrong)
        now[0] += 1.0
    assert lock.wait_s(wrong) == 50.0
    now[0] += 50.0
    assert lock.wait_s(wrong) == 0.0
    assert lock.caller(shown).scope is Scope.READ
    now[0] = 1_000.0 + 30 * 86_400
    assert lock.caller(shown).scope is Scope.PUBLIC
