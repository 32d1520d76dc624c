"""The socket: the service tells, the page listens."""

from threading import Lock
from typing import Any

from flask import Flask, request
from flask_socketio import SocketIO

UPDATE = "update"
MOST_RECEIVED_BYTES = 4096
"""Longest message taken from a page, which has nothing to say but its heartbeat."""


class Sockets:
    """Socket.IO over websockets, receive-only for the page.

    Whoever connects reads the past over REST by cursor; from then on `emit` keeps it up to date.
    """

    def __init__(self, app: Flask) -> None:
        self._socketio = SocketIO(  # type: ignore[call-arg] # its types lack two options it has
            app,
            async_mode="threading",
            transports=["websocket"],
            serve_client=False,
            manage_session=False,
            cors_allowed_origins=[],  # the gate has seen to the Origin, and knows the names of proxies
            max_http_buffer_size=MOST_RECEIVED_BYTES,
        )
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
