"""A service that listens for other machines, as a browser and a socket meet it."""

import http.client
import json
from collections.abc import Iterator
from itertools import product
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.conftest import OpenWindow
from tests.conftest import DEADLINE_S, RunningServer, WaitUntil, serving

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("server")) as serve:
        yield serve(BITLM_HOST="0.0.0.0")  # noqa: S104 - which is what is tested


@pytest.fixture(scope="module")
def tokens(server: RunningServer) -> dict[str, str]:
    found: dict[str, str] = json.loads((server.data_dir / "tokens.json").read_text())
    return found


def asked(server: RunningServer, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=DEADLINE_S)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    connection.close()
    return answer


def test_a_socket_opens_for_its_own_page_with_a_cookie_or_a_script_with_a_token_and_nobody_else(
    server: RunningServer, tokens: dict[str, str]
) -> None:
    ours = urlsplit(server.url).netloc
    login = asked(server, f"/?token={tokens['read']}", {})
    cookie = str(login.headers["Set-Cookie"]).partition(";")[0]
    shown = {
        "nothing": {},
        "cookie": {"Cookie": cookie},
        "token": {"Authorization": f"Bearer {tokens['read']}"},
    }
    for how, host, origin in product(
        shown, (ours, "evil.example"), (None, server.url, "http://evil.example", "null")
    ):
        headers = {**UPGRADE, **shown[how], "Host": host, **({"Origin": origin} if origin else {})}
        if host != ours:
            status = 421
        elif origin not in {None, server.url}:
            status = 403
        elif how == "nothing":
            status = 401
        else:
            status = 403 if how == "cookie" and origin is None else 101
        assert asked(server, "/socket.io/?EIO=4&transport=websocket", headers).status == status, headers


def test_the_address_with_the_token_opens_the_page_and_leaves_no_token_behind_until_the_cookie_is_gone(
    server: RunningServer, open_window: OpenWindow, tokens: dict[str, str], wait_until: WaitUntil
) -> None:
    told = f"Tokens are asked for: {server.data_dir / 'tokens.json'} has them.\n"
    wait_until(lambda: server.said.read_text().startswith(told))
    address = f"{server.url}/?token={tokens['destructive']}"

    window = open_window(server.url)
    page = window.page
    expect(page.get_by_role("heading")).to_have_text("BitLM is locked")
    page.get_by_label("Token").fill("not the token")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_text("This token is not known here")).to_be_visible()
    window.console_errors.clear()  # of the two answers that were 401

    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket("**/socket.io/**", pass_on)
    page.goto(address)
    expect(page.locator("[data-connection=connected]")).to_be_attached()
    assert page.url == f"{server.url}/"
    assert page.evaluate("document.cookie") == ""
    assert window.console_errors == []
    kept = server.log.read_text() + server.said.read_text()
    assert not any(token in kept for token in tokens.values())

    page.context.clear_cookies()
    sockets[0].close()
    expect(page.locator(".toast")).to_contain_text("open the address that BitLM printed")
