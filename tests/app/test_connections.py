"""Clients that are slow, stuck or hostile, on raw sockets against the real server."""

import base64
import json
import os
import select
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import socketio  # type: ignore[import-untyped] # it ships no types

from app.connections import Arrival, Limits, PatientSocket, RefusedError
from app.web.sockets import BoundedWebSocket
from tests.app.test_server import Watcher
from tests.conftest import serving

if TYPE_CHECKING:
    from tests.conftest import RunningServer, WaitUntil

THREADS = 12
PLACES = 4
TIMEOUT_S = 2
PATIENCE_S = 10.0
"""Within which a legitimate request must be answered."""
LONGEST_S = 30.0
SHARED_BYTES = 20_000_000
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n"
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[RunningServer]":
    """One server with few threads and little patience, for all tests here."""
    with serving(tmp_path_factory.mktemp("server")) as serve:
        yield serve(
            BITLM_THREADS=str(THREADS),
            BITLM_MAX_SOCKETS=str(PLACES),
            BITLM_MAX_WAITING=str(PLACES),
            BITLM_CLIENT_TIMEOUT_S=str(TIMEOUT_S),
        )


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(server: "RunningServer", opened: ExitStack, received_bytes: int = 0) -> socket.socket:
    url = urlsplit(server.url)
    made = opened.enter_context(closing(socket.socket()))
    if received_bytes:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
    made.settimeout(LONGEST_S)
    made.connect((url.hostname, url.port))
    return made


def head(server: "RunningServer", method: str, path: str, more: str = "") -> bytes:
    host = urlsplit(server.url).netloc
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def assert_answers(server: "RunningServer", opened: ExitStack) -> None:
    """Ask for a page's first need, and have it in time."""
    asking = connect(server, opened)
    asking.settimeout(PATIENCE_S)
    asking.sendall(head(server, "GET", "/healthz", "Connection: close\r\n"))
    assert read_to_end(asking).startswith(b"HTTP/1.1 200")


def test_clients_that_trickle_take_no_thread_and_are_told_that_their_time_is_over(
    strict: "RunningServer", opened: ExitStack
) -> None:
    begun = [
        b"GET /status HTTP/1.1\r\nX-Slow: ",
        head(strict, "POST", "/estimate", "Content-Type: application/json\r\nContent-Length: 1000\r\n"),
    ]
    slow = [connect(strict, opened) for _ in range(2 * THREADS)]
    for index, connection in enumerate(slow):
        connection.sendall(begun[index % len(begun)])
    assert_answers(strict, opened)
    waiting, deadline = set(slow), time.monotonic() + LONGEST_S
    while waiting and time.monotonic() < deadline:
        told = select.select(waiting, [], [], 0.2)[0]
        for connection in told:
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        waiting -= set(told)
        for connection in waiting:
            connection.send(b" ")
    assert not waiting


def test_readers_that_do_not_read_give_their_threads_back(
    strict: "RunningServer", opened: ExitStack, wait_until: "WaitUntil"
) -> None:
    page = connect(strict, opened)
    page.sendall(head(strict, "GET", "/", "Connection: close\r\n"))
    (plotly,) = {part for part in read_to_end(page).decode().split('"') if "plotly" in part and "/" in part}
    for _ in range(THREADS):
        connect(strict, opened, received_bytes=4096).sendall(head(strict, "GET", plotly))
    assert_answers(strict, opened)
    wait_until(lambda: "reader_dropped" in strict.log.read_text())


def test_websockets_that_never_take_part_give_their_places_back(
    strict: "RunningServer", opened: ExitStack, wait_until: "WaitUntil"
) -> None:
    idle = [_websocket(strict, opened) for _ in range(PLACES)]
    assert_answers(strict, opened)
    for connection in idle:
        read_to_end(connection)
    watcher = wait_until(lambda: _watcher_or_none(strict), LONGEST_S)
    watcher.client.disconnect()


def _watcher_or_none(server: "RunningServer") -> Watcher | None:
    try:
        return Watcher(server)
    except socketio.exceptions.ConnectionError:
        return None


def _websocket(server: "RunningServer", opened: ExitStack) -> socket.socket:
    """Return an open websocket that asked for compression, and was given none."""
    made = connect(server, opened)
    made.sendall(head(server, "GET", "/socket.io/?EIO=4&transport=websocket", UPGRADE))
    answer = made.recv(65536)
    assert answer.startswith(b"HTTP/1.1 101")
    assert b"deflate" not in answer.lower()
    return made


def _frame(first: int, payload: bytes) -> bytes:
    """Return a client's frame under a mask of zeros; `first` holds FIN, RSV1 and the opcode."""
    return bytes([first, 0xFF]) + len(payload).to_bytes(8) + bytes(4) + payload


@pytest.mark.parametrize(
    "frame",
    [
        _frame(0xC1, zlib.compress(bytes(2**28), wbits=-15)),
        _frame(0x81, b"4" * 4097),
        _frame(0x01, b"4" * 2**24),
    ],
    ids=["packed", "long", "endless"],
)
def test_no_message_of_a_websocket_makes_the_service_grow(
    strict: "RunningServer", opened: ExitStack, frame: bytes
) -> None:
    before = _resident_bytes(strict)
    made = _websocket(strict, opened)
    with suppress(OSError):
        made.sendall(frame)
    with suppress(ConnectionResetError):
        read_to_end(made)
    assert _resident_bytes(strict) - before < SHARED_BYTES


def _resident_bytes(server: "RunningServer") -> int:
    pid = server.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_one_who_stops_reading_a_websocket_is_let_go() -> None:
    ours, theirs = socket.socketpair()
    wire = PatientSocket.of(ours, 0.2)
    environ = {"gunicorn.socket": wire, "HTTP_HOST": "here", "HTTP_UPGRADE": "websocket"}
    environ |= {"HTTP_CONNECTION": "Upgrade", "HTTP_SEC_WEBSOCKET_VERSION": "13"}
    environ |= {"HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(bytes(16)).decode()}
    ended = []

    def handler(websocket: BoundedWebSocket) -> None:
        with pytest.raises(ConnectionResetError):
            websocket.send("x" * 2**23)
        websocket.close()
        ended.append(websocket.wait())

    with pytest.raises(StopIteration):
        BoundedWebSocket(handler, None, patience_s=0.2)(environ, lambda *_: pytest.fail("it has no answer"))
    assert ended == [None]
    wire.close()
    theirs.close()


def test_more_than_can_wait_for_the_model_are_told_to_come_again_and_the_others_are_answered(
    strict: "RunningServer", opened: ExitStack, tiny_run: dict[str, Any]
) -> None:
    strict.ask("POST", "/init", tiny_run)
    asked = [_ask(strict, opened, {"max_new_bytes": 256}) for _ in range(2 * PLACES)]
    assert_answers(strict, opened)
    answers = [read_to_end(connection) for connection in asked]
    busy = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
    assert all(
        b"Retry-After: 1\r\n" in answer and b"requests wait for the model already" in answer
        for answer in busy
    )
    assert 0 < len(busy) <= PLACES
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) == len(asked) - len(busy)

    told = [_ask(strict, opened, {"max_new_bytes": 4096, "stream": True}).recv(12) for _ in range(9)]
    assert told == [b"HTTP/1.1 200"] * 8 + [b"HTTP/1.1 503"]


def _ask(server: "RunningServer", opened: ExitStack, wanted: dict[str, Any]) -> socket.socket:
    """Ask for a text and do not wait for it."""
    body = json.dumps(wanted).encode()
    made = connect(server, opened)
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    made.sendall(head(server, "POST", "/infer", more) + body)
    return made


def test_requests_in_pieces_and_behind_one_another_are_answered_in_order(
    strict: "RunningServer", opened: ExitStack
) -> None:
    body = b'{"num_layers": 0}'
    post = head(
        strict, "POST", "/estimate", f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    last = head(strict, "GET", "/none", "Connection: close\r\n")
    connection = connect(strict, opened)
    whole = head(strict, "GET", "/healthz") + post + body + last
    for piece in (whole[:20], whole[20:200], whole[200:]):
        connection.sendall(piece)
    answered = read_to_end(connection)
    assert [answered.count(b"HTTP/1.1 " + status) for status in (b"200", b"422", b"404")] == [1, 1, 1]
    assert answered.index(b" 200 ") < answered.index(b" 422 ") < answered.index(b" 404 ")


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(
    strict: "RunningServer", opened: ExitStack
) -> None:
    connection = connect(strict, opened)
    more = (
        "Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n"
    )
    connection.sendall(head(strict, "POST", "/none", more))
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"{}")
    assert b"HTTP/1.1 404" in read_to_end(connection)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ("Content-Length: 16777217\r\n", 413),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", 400),
        ("Content-Length: -2\r\n", 400),
        (f"X-Long: {'x' * 2**15}\r\n", 431),
    ],
)
def test_what_cannot_become_a_request_is_a_problem_before_it_takes_a_thread(
    strict: "RunningServer", opened: ExitStack, more: str, status: int
) -> None:
    connection = connect(strict, opened)
    connection.sendall(head(strict, "GET", "/status", more))
    told = read_to_end(connection)
    assert told.startswith(f"HTTP/1.1 {status} ".encode())
    assert f'"status": {status}, "detail": "'.encode() in told


def test_a_body_has_time_by_its_length_and_a_head_has_not() -> None:
    arrival = Arrival(Limits(idle_s=30, client_timeout_s=10, max_body_bytes=2**20))
    idle = arrival.deadline
    arrival.take(b"POST / HTTP/1.1\r\n")
    begun = arrival.deadline
    arrival.take(b"Content-Length: 655360\r\n\r\n")
    assert idle - begun == pytest.approx(20, abs=1)
    assert arrival.deadline - begun == pytest.approx(10, abs=1)
    assert arrival.take(bytes(655_359)) is False
    assert arrival.take(b"}") is True


def test_a_head_without_end_is_refused() -> None:
    arrival = Arrival(Limits(idle_s=30, client_timeout_s=10, max_body_bytes=2**20))
    assert arrival.take(bytes(2**15)) is False
    with pytest.raises(RefusedError, match="send at most 32768 bytes of headers"):
        arrival.take(b"x")
