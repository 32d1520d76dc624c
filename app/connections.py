"""Connections: a thread is for whole requests alone, and for nobody who does not read the answer.

The stock worker gives a thread to a connection on which anything came, and waits there for the rest however
slowly it comes (slowloris); it writes for as long as a reader takes; and it waits in its one loop for whoever
does not hang up. Here the loop itself gathers requests, under deadlines, and lets go of connections.

Source: Fielding, Nottingham and Reschke, "HTTP/1.1", RFC 9112, 2022, sections 6 and 9.6.
"""

import errno
import json
import secrets
import select
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any, Self

import structlog
from gunicorn.http import RequestParser
from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.workers.gthread import TConn, ThreadWorker

MOST_HEAD_BYTES = 32 * 1024
"""Longest request line with headers."""
SLOWEST_BYTES_PER_S = 64 * 1024
"""A body, or an answer, may take so much longer for its length."""
MOST_HELD_BODIES = 4
"""Bodies of the largest size that are held at once, in all requests together."""
MOST_WAITING_PER_THREAD = 8
"""Requests that may wait for each thread."""
RECEIVED_AT_ONCE = 256 * 1024
LINGER_S = 2.0
"""How long the client has to read the last answer on a connection, before what it still sends is refused."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
UNREADABLE: dict[type[ParseException], HTTPStatus] = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}
"""What is more than a bad request of what gunicorn cannot read."""


@dataclass(frozen=True)
class Limits:
    """What clients may take.

    Attributes:
        idle_s: How long a connection on which nothing was asked is kept.
        client_timeout_s: How long a client may take for the head of a request, for its body and for
            reading anything of an answer; a body and an answer have more time by their length.
        max_body_bytes: Largest body.
    """

    idle_s: float
    client_timeout_s: float
    max_body_bytes: int


class RefusedError(Exception):
    """A request that gets no thread."""

    def __init__(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        self.status = status
        self.headers = headers
        self.request_id = secrets.token_hex(8)
        super().__init__(detail)

    def answer(self) -> bytes:
        """Return the problem that is answered."""
        told = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status,
            "detail": str(self),
            "request_id": self.request_id,
        }
        body = json.dumps(told).encode()
        headers = {
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-Id": self.request_id,
            **{name.replace("_", "-"): value for name, value in self.headers.items()},
        }
        lines = (f"HTTP/1.1 {self.status.value} {self.status.phrase}", *map(": ".join, headers.items()))
        return "\r\n".join(lines).encode() + END_OF_HEAD + body


class PatientSocket(socket.socket):
    """Sends all there is, and hangs up on whoever does not read it."""

    patience_s: float

    @classmethod
    def of(cls, plain: socket.socket, patience_s: float) -> Self:
        """Take over a connection; one read of nothing may take `patience_s`."""
        made = cls(fileno=plain.detach())
        made.patience_s = patience_s
        return made

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of `data`.

        Raises:
            ConnectionResetError: For so long nothing was read, or all too slowly; the connection is closed.
        """
        rest = memoryview(data)
        deadline = time.monotonic() + self.patience_s + len(rest) / SLOWEST_BYTES_PER_S
        while rest:
            try:
                rest = rest[super().send(rest, flags | socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                self._await_reader(min(self.patience_s, deadline - time.monotonic()))

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of `data` as well: half a message is of use to nobody."""
        self.sendall(data, flags)
        return len(data)

    def has_hung_up(self) -> bool:
        """Return whether the client has closed the connection, if only its own half; any thread may ask.

        Who still reads in that case cannot be told from who does not.
        """
        waiting = select.poll()
        try:
            waiting.register(self, select.POLLIN)
            return bool(waiting.poll(0)) and not self.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (OSError, ValueError):  # it was reset, or is closed here as well
            return True

    def say(self, data: bytes) -> None:
        """Send what fits now; whoever does not take that is not waited for."""
        try:
            super().send(data, socket.MSG_DONTWAIT)
        except OSError:
            return

    def _await_reader(self, seconds: float) -> None:
        waiting = select.poll()
        waiting.register(self, select.POLLOUT)
        if seconds > 0 and waiting.poll(seconds * 1000):
            return
        structlog.get_logger("bitlm.connections").info("reader_dropped", patience_s=self.patience_s)
        self.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError(errno.ECONNRESET, "the client does not read")


class Arrival:
    """A request on its way in.

    Attributes:
        received: What has come of it.
        deadline: When the part that is awaited must have come, by the monotonic clock.
        is_invited: Whether the client waits to be told that its body is wanted.
    """

    def __init__(self, limits: Limits) -> None:
        self.received = bytearray()
        self.deadline = time.monotonic() + limits.idle_s
        self.is_invited = False
        self._limits = limits
        self._length: int | None = None

    def take(self, data: bytes) -> bool:
        """Add what came, and return whether the request is whole.

        Raises:
            RefusedError: It never will be.
        """
        now, searched = time.monotonic(), max(0, len(self.received) - len(END_OF_HEAD) + 1)
        if not self.received:
            self.deadline = now + self._limits.client_timeout_s
        self.received += data
        if self._length is None:
            end = self.received.find(END_OF_HEAD, searched)
            if end < 0 and len(self.received) <= MOST_HEAD_BYTES:
                return False
            if not 0 <= end <= MOST_HEAD_BYTES:
                raise RefusedError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"send at most {MOST_HEAD_BYTES} bytes of headers.",
                )
            self._begin_body(bytes(self.received[:end]), end + len(END_OF_HEAD), now)
        assert self._length is not None, "the head has come"
        return len(self.received) >= self._length

    def _begin_body(self, head: bytes, begin: int, now: float) -> None:
        fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        named = [(name.strip(), value.strip()) for name, _, value in fields]
        if any(name == b"transfer-encoding" for name, _ in named):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "send the body whole, with its Content-Length.")
        length = _length([value for name, value in named if name == b"content-length"])
        if length > self._limits.max_body_bytes:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a body of {length} bytes is too large; send at most {self._limits.max_body_bytes} bytes, "
                "or raise max_body_bytes.",
            )
        self._length = begin + length
        self.deadline = now + self._limits.client_timeout_s + length / SLOWEST_BYTES_PER_S
        self.is_invited = (b"expect", b"100-continue") in named


def _length(values: list[bytes]) -> int:
    """Return what Content-Length says; the server and whatever stands before it must read it alike."""
    if not values:
        return 0
    if len(values) > 1 or not values[0].isdigit():
        raise RefusedError(HTTPStatus.BAD_REQUEST, "send one Content-Length, a whole number of bytes.")
    return int(values[0])


class PatientWorker(ThreadWorker):
    """Gathers requests in its loop, and gives each a thread once it is whole."""

    limits: Limits

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._arriving: dict[TConn, Arrival] = {}
        self._given: dict[TConn, int] = {}  # a thread, or a place in the queue for one: bytes of the request
        self._leaving: dict[TConn, float] = {}
        self._held_bytes = 0
        self._log = structlog.get_logger("bitlm.connections")

    def enqueue_req(self, conn: TConn) -> None:
        """Await a request, which may have begun behind the one before."""
        if not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket.of(conn.sock, self.limits.client_timeout_s)
        conn.sock.settimeout(0.0)
        self._arriving[conn] = Arrival(self.limits)
        self.poller.register(conn.sock, EVENT_READ, partial(self._receive, conn))
        begun = conn.parser.unreader.take_buffered() if isinstance(conn.parser, RequestParser) else b""
        if begun:
            self._take(conn, begun)

    def finish_request(self, conn: TConn, fs: "Future[bool]") -> None:
        """Await the next request, or let go of the connection without waiting for the client to do so."""
        self._held_bytes -= self._given.pop(conn)
        if fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._let_go(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Refuse what cannot be read as a request with a problem, where the stock worker sends a page."""
        if not isinstance(exc, ParseException) or isinstance(exc, ConfigurationProblem):
            super().handle_error(req, client, addr, exc)
            return
        status = UNREADABLE.get(type(exc), HTTPStatus.BAD_REQUEST)
        refusal = RefusedError(status, f"this cannot be read as an HTTP/1.1 request: {exc}")
        self._tell_refused(refusal)
        with suppress(OSError):  # the client is gone, or does not read
            client.send(refusal.answer())

    def murder_pending(self) -> None:
        """Refuse what did not come in time, and end what had time to."""
        now = time.monotonic()
        for conn in [conn for conn, arrival in self._arriving.items() if arrival.deadline <= now]:
            if self._arriving[conn].received:
                detail = f"send a request within {self.limits.client_timeout_s:g} s."
                self._refuse(conn, RefusedError(HTTPStatus.REQUEST_TIMEOUT, detail))
            else:
                self._drop(conn)
        for conn in [conn for conn, deadline in self._leaving.items() if deadline <= now]:
            self._end(conn)

    def hasten(self, seconds: float) -> None:
        """Drop connections on which nothing was asked, and give the others so long for their request."""
        deadline = time.monotonic() + seconds
        for conn, arrival in list(self._arriving.items()):
            if arrival.received:
                arrival.deadline = min(arrival.deadline, deadline)
            else:
                self._drop(conn)

    def _receive(self, conn: TConn, _: socket.socket) -> None:
        if conn not in self._arriving:  # refused for want of room since the loop saw that something came
            return
        try:
            data = conn.sock.recv(RECEIVED_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._take(conn, data)
        else:
            self._drop(conn)

    def _take(self, conn: TConn, data: bytes) -> None:
        arrival = self._arriving[conn]
        self._held_bytes += len(data)
        try:
            is_whole = arrival.take(data)
        except RefusedError as refusal:
            self._refuse(conn, refusal)
            return
        if is_whole:
            self._give_thread(conn)
            return
        if arrival.is_invited:
            _patient(conn).say(CONTINUE)
            arrival.is_invited = False
        if self._held_bytes > MOST_HELD_BODIES * self.limits.max_body_bytes:
            largest = max(self._arriving, key=lambda conn: len(self._arriving[conn].received))
            self._refuse(largest, _busy("too much is being sent at once"))

    def _give_thread(self, conn: TConn) -> None:
        if len(self._given) >= MOST_WAITING_PER_THREAD * self.cfg.threads:
            self._refuse(conn, _busy("too many requests wait already"))
            return
        received = self._stop_awaiting(conn)
        self._given[conn] = len(received)
        self._held_bytes += len(received)
        # It reads from what has come and from nothing else, so it cannot wait.
        conn.parser = RequestParser(self.cfg, iter([bytes(received)]), conn.client)
        conn.initialized = True
        super().enqueue_req(conn)

    def _refuse(self, conn: TConn, refusal: RefusedError) -> None:
        self._tell_refused(refusal)
        self._stop_awaiting(conn)
        _patient(conn).say(refusal.answer())
        self._let_go(conn)

    def _tell_refused(self, refusal: RefusedError) -> None:
        self._log.info(
            "request_refused", status=refusal.status, reason=str(refusal), request_id=refusal.request_id
        )

    def _stop_awaiting(self, conn: TConn) -> bytearray:
        """Return what has come."""
        self.poller.unregister(conn.sock)
        received = self._arriving.pop(conn).received
        self._held_bytes -= len(received)
        return received

    def _drop(self, conn: TConn) -> None:
        self._stop_awaiting(conn)
        self.nr_conns -= 1
        conn.close()

    def _let_go(self, conn: TConn) -> None:
        """Say that nothing more comes, and read on for a while: else the client may lose the last answer."""
        try:
            conn.sock.settimeout(0.0)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the client is gone, or its socket closed itself
            self.nr_conns -= 1
            conn.close()
            return
        self._leaving[conn] = time.monotonic() + LINGER_S
        self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: TConn, _: socket.socket) -> None:
        try:
            is_over = not conn.sock.recv(RECEIVED_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._end(conn)

    def _end(self, conn: TConn) -> None:
        del self._leaving[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


def _patient(conn: TConn) -> PatientSocket:
    assert isinstance(conn.sock, PatientSocket), "it became one when its first request was awaited"
    return conn.sock


def _busy(why: str) -> RefusedError:
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}; try again in a moment.", Retry_After="1")
