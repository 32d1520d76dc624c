"""Who may speak to the service at all, decided before Flask and before any socket opens.

A page on another site must not be able to use the service through its visitor's browser: neither by
a request of its own (Origin and Sec-Fetch-Site), nor by letting its name point here (Host; DNS rebinding),
nor by a form (only JSON is taken). A socket is let in here or not at all, for its handshake is a request.

Source: West, "Fetch Metadata Request Headers", W3C working draft, 2025.
"""

from collections.abc import Iterable
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from app.web.problems import CONTENT_TYPE, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKET_PATH = "/socket.io/"
OWN_SITES = frozenset({"same-origin", "none"})
"""Where a browser says that a request comes from if it is our page's or its user's own; another port of the
same machine is `same-site` and another program."""


class Gate:
    """WSGI middleware; `hosts` are the `name:port` pairs by which the service may be called.

    A Host without a port is taken for the name's; an Origin must match to the port, because another
    port is another program.
    """

    def __init__(
        self, inner: "WSGIApplication", *, hosts: frozenset[str], max_body_bytes: int, max_sockets: int
    ) -> None:
        self._inner = inner
        self._hosts = hosts | {host.rpartition(":")[0] for host in hosts}
        self._origins = frozenset(f"http://{host.removesuffix(':80')}" for host in hosts)
        self._max_body_bytes = max_body_bytes
        self._max_sockets = max_sockets
        self._sockets = BoundedSemaphore(max_sockets)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer with a problem, or let the request through."""
        problem = self._refusal(environ)
        if problem is not None:
            return _refuse(problem, start_response)
        if not environ["PATH_INFO"].startswith(SOCKET_PATH):
            return self._inner(environ, start_response)
        if not self._sockets.acquire(blocking=False):
            detail = f"{self._max_sockets} pages watch already; close one, or raise max_sockets and threads."
            return _refuse(_problem(HTTPStatus.SERVICE_UNAVAILABLE, detail), start_response)
        try:
            return self._inner(environ, start_response)
        finally:
            self._sockets.release()

    def _refusal(self, environ: "WSGIEnvironment") -> Problem | None:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if host not in self._hosts:
            return _problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"Host {host!r} is not a name of this service; use one of {', '.join(sorted(self._hosts))}, "
                "or add yours to allowed_hosts.",
            )
        if origin is not None and origin not in self._origins:
            return _problem(
                HTTPStatus.FORBIDDEN, f"Origin {origin!r} is not this service's page; open it directly."
            )
        if _is_of_another_page(environ):
            return _problem(
                HTTPStatus.FORBIDDEN,
                f"Sec-Fetch-Site {environ['HTTP_SEC_FETCH_SITE']!r} is another page's request; "
                "open the service directly.",
            )
        if environ["REQUEST_METHOD"] in SAFE_METHODS:
            return None
        return self._body_refusal(environ)

    def _body_refusal(self, environ: "WSGIEnvironment") -> Problem | None:
        media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        length = environ.get("CONTENT_LENGTH") or ""
        is_empty = length in {"", "0"} and "HTTP_TRANSFER_ENCODING" not in environ
        if media_type != "application/json" and (media_type or not is_empty):
            detail = (
                f"Content-Type {media_type or '(none)'!r} is not taken; send the body as application/json."
            )
            return _problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        if length.isdigit() and int(length) > self._max_body_bytes:
            return too_large(f"of {length} bytes", self._max_body_bytes)
        return None


def _is_of_another_page(environ: "WSGIEnvironment") -> bool:
    """Whether a browser says that another page asks; following a link to here is its user's own doing."""
    if environ.get("HTTP_SEC_FETCH_SITE", "none") in OWN_SITES:
        return False
    is_link = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ["REQUEST_METHOD"] in SAFE_METHODS
    return not (is_link and environ.get("HTTP_SEC_FETCH_DEST") == "document")


def too_large(size: str, most: int) -> Problem:
    """Return what to tell about a body above the limit."""
    detail = f"a body {size} is too large; send at most {most} bytes, or raise max_body_bytes."
    return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _problem(status: HTTPStatus, detail: str) -> Problem:
    return Problem(title=status.phrase, status=status, detail=detail)


def _refuse(problem: Problem, start_response: "StartResponse") -> Iterable[bytes]:
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
    ]
    start_response(f"{problem.status} {HTTPStatus(problem.status).phrase}", headers)
    return [body]
