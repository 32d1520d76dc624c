"""The socket: the service tells, the page listens."""

import json
import logging
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

import simple_websocket  # type: ignore[import-untyped] # it ships no types
from engineio.async_drivers.threading import SimpleWebSocketWSGI  # type: ignore[import-untyped] # it has no types
from flask import Flask, request
from flask_socketio import SocketIO
from wsproto.utilities import LocalProtocolError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

UPDATE = "update"
MOST_RECEIVED_BYTES = 4096
"""Longest message taken from a page, which has nothing to say but its heartbeat."""

COMPRESSION = "HTTP_SEC_WEBSOCKET_EXTENSIONS"
OF_USE = re.compile(r"1|3|4[01](?:/[^,]*,?)?(\{.*\})?", re.DOTALL)
"""Packets that close, answer a heartbeat, or hold one of Socket.IO's that connects or disconnects."""
LEAVES = ("1", "41")
"""How packets begin after which no other is heard."""


def is_of_use(packet: str | bytes) -> bool:
    """Whether a packet says anything to us; all else need not even be one, and is not read any further."""
    found = OF_USE.fullmatch(packet) if isinstance(packet, str) else None
    if found is None:
        return False
    try:
        return found[1] is None or isinstance(json.loads(found[1]), dict)
    except (ValueError, RecursionError):
        return False


class WebSocket(simple_websocket.Server):  # type: ignore[misc] # its base has no types
    """One that always says that it has ended; after too long a message the stock one may not."""

    def _thread(self) -> None:
        super()._thread()
        self.connected = False
        self.event.set()


class BoundedWebSocket(SimpleWebSocketWSGI):  # type: ignore[misc] # its base has no types
    """A websocket whose other end cannot make it grow, nor hold on to it without taking part.

    The stock one unpacks a compressed message of any size, waits for ever for one who said nothing yet, and
    once it hangs up on one who no longer answers, the thread that listens to that one stays. What Engine.IO
    would end in the middle of is left out.
    """

    _has_left = False

    def __init__(self, handler: Callable[..., Any], _: object = None, *, patience_s: float) -> None:
        super().__init__(handler, None)
        self._patience_s: float | None = patience_s

    def __call__(self, environ: "WSGIEnvironment", _: "StartResponse") -> NoReturn:
        """Serve the websocket of this request, uncompressed.

        Raises:
            StopIteration: It is over; gunicorn takes that for a connection that is spent.
        """
        self._wire: socket.socket = environ["gunicorn.socket"]
        plain = {name: value for name, value in environ.items() if name != COMPRESSION}
        self.ws = WebSocket(plain, max_message_size=MOST_RECEIVED_BYTES)
        self.app(self)
        raise StopIteration

    def wait(self) -> str | None:
        """Return the next packet of use, or None once there are no more; the first must come soon."""
        patience_s, self._patience_s = self._patience_s, None
        if self._has_left or (patience_s is not None and not self.ws.event.wait(patience_s)):
            return None
        packet = super().wait()
        while packet is not None and not is_of_use(packet):
            packet = super().wait()
        self._has_left = packet is not None and packet.startswith(LEAVES)
        return packet  # type: ignore[no-any-return] # its base has no types

    def close(self) -> None:
        """Hang up, on one who does not listen too."""
        closed = (OSError, simple_websocket.ConnectionClosed, LocalProtocolError)
        with suppress(*closed):
            super().close()
        with suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)


class Sockets:
    """Socket.IO over websockets, receive-only for the page.

    Whoever connects reads the past over REST by cursor; from then on `emit` keeps it up to date.
    """

    def __init__(self, app: Flask, *, patience_s: float) -> None:
        """Serve sockets of `app`; who opens one has `patience_s` to take part."""
        log = logging.getLogger("bitlm.sockets")
        log.addFilter(_tells_of_an_exception)
        self._socketio = SocketIO(  # type: ignore[call-arg] # its types lack two options it has
            app,
            async_mode="threading",
            transports=["websocket"],
            serve_client=False,
            manage_session=False,
            cors_allowed_origins=[],  # the gate has seen to the Origin, and knows the names of proxies
            max_http_buffer_size=MOST_RECEIVED_BYTES,
            engineio_logger=log,  # else it adds a handler, whose lines are no JSON
        )
        engine = self._socketio.server.eio  # type: ignore[attr-defined] # its types lack it
        bounded = partial(BoundedWebSocket, patience_s=patience_s)
        engine._async = engine._async | {"websocket": bounded}  # noqa: SLF001 - there is no other way in
        self._listeners: set[str] = set()
        self._lock = Lock()
        self._socketio.on_event("connect", self._connected)
        self._socketio.on_event("disconnect", self._disconnected)

    @property
    def listening(self) -> bool:
        """Whether anyone is connected."""
        return bool(self._listeners)

    def emit(self, update: dict[str, Any]) -> None:
        """Send an update to everyone who is connected."""
        self._socketio.emit(UPDATE, update)

    def close(self) -> None:
        """Hang up on everyone, so that their threads end; does not wait for those who do not listen."""
        connections = self._socketio.server.eio.sockets  # type: ignore[attr-defined] # its types lack it
        for connection in list(connections.values()):
            connection.close(wait=False)

    def _connected(self, auth: object = None) -> None:  # noqa: ARG002 - Socket.IO hands it over
        with self._lock:
            self._listeners.add(request.sid)  # type: ignore[attr-defined] # Flask-SocketIO adds it

    def _disconnected(self, reason: str) -> None:  # noqa: ARG002 - Socket.IO hands it over
        with self._lock:
            self._listeners.discard(request.sid)  # type: ignore[attr-defined] # Flask-SocketIO adds it


def _tells_of_an_exception(record: logging.LogRecord) -> bool:
    """Whether a line of Engine.IO's tells of one, and not of what a client did wrong."""
    return record.exc_info is not None
