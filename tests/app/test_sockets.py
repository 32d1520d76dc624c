"""The websocket by itself, at both its ends."""

import socket
from threading import Thread
from typing import Any

from wsproto.events import CloseConnection

from app.web.sockets import BoundedWebSocket

HANDSHAKE = {
    "REQUEST_METHOD": "GET",
    "HTTP_HOST": "127.0.0.1:5000",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def test_one_that_is_closing_already_is_hung_up_on_without_an_exception() -> None:
    ours, theirs = socket.socketpair()
    closed: list[str] = []

    def handler(one: BoundedWebSocket) -> None:
        one.ws.ws.send(CloseConnection(1009, "Message is too big"))
        one.close()
        closed.append("without an exception")

    def serve() -> None:
        environ: dict[str, Any] = {**HANDSHAKE, "gunicorn.socket": ours}
        try:
            BoundedWebSocket(handler, patience_s=5.0)(environ, None)  # type: ignore[arg-type] # it answers by itself
        except StopIteration:
            closed.append("and it is over")

    received = b""
    with ours, theirs:
        thread = Thread(target=serve)
        thread.start()
        theirs.settimeout(30)
        while more := theirs.recv(4096):
            received += more
        thread.join(30)
    assert received.startswith(b"HTTP/1.1 101 ")
    assert closed == ["without an exception", "and it is over"]
