"""Who may speak to the service at all, decided before Flask and before any socket opens.

A page on another site must not be able to use the service through its visitor's browser: neither by
a request of its own (Origin and Sec-Fetch-Site), nor by letting its name point here (Host; DNS rebinding),
nor by a form (only JSON is taken). A socket is let in here or not at all, for its handshake is a request.
Where a token is asked for, what it grants is held against what the route needs here as well, so that no
route can forget to.

Source: West, "Fetch Metadata Request Headers", W3C working draft, 2025.
"""

import math
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from app.settings import TOKENS_FILE, Settings
from app.web.access import Scope
from app.web.gate_answers import GateAnswer, locked, problem, see_other
from app.web.lock import Caller, Lock, page_without_token
from app.web.problems import SOON_S
from app.web.rate import Rate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SOCKET_PATH = "/socket.io/"
OWN_SITES = frozenset({"same-origin", "none"})
"""Where a browser says that a request comes from if it is our page's or its user's own; another port of the
same machine is `same-site` and another program."""

KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""What a client's Sec-WebSocket-Key is: 16 bytes in base64."""

HOW_TO_ENTER = (
    "open the address that BitLM printed when it was first started, or give a token from "
    f"{TOKENS_FILE} in its data folder; a script sends it as 'Authorization: Bearer TOKEN'."
)


class Gate:
    """WSGI middleware; `hosts` are the `name:port` pairs by which the service may be called.

    A Host without a port is taken for the name's; an Origin must match to the port, because another
    port is another program.
    """

    def __init__(
        self,
        inner: "WSGIApplication",
        settings: Settings,
        *,
        scope_of: "Callable[[WSGIEnvironment], Scope]",
        lock: Lock | None,
        locked_page: str,
    ) -> None:
        """Stand before `inner`; without a `lock` whoever reaches the service may do everything."""
        self._inner = inner
        self._hosts = settings.hosts | {host.rpartition(":")[0] for host in settings.hosts}
        self._origins = settings.origins
        self._max_body_bytes = settings.max_body_bytes
        self._max_sockets = settings.max_sockets
        self._rate = Rate(settings.requests_per_s)
        self._sockets = BoundedSemaphore(settings.max_sockets)
        self._scope_of = scope_of
        self._lock = lock
        self._locked_page = locked_page

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer, or let the request through."""
        answer = self._rate_refusal(environ) or self._of_another(environ)
        if answer is None and self._lock is not None:
            answer = self._unlock(environ, self._lock)
        if answer is None and environ["REQUEST_METHOD"] not in SAFE_METHODS:
            answer = self._body_refusal(environ)
        if answer is not None:
            return answer.send(start_response)
        if not _is_socket(environ):
            return self._inner(environ, start_response)
        if not _is_handshake(environ):
            detail = "this address takes a websocket's handshake (RFC 6455, section 4.2.1) and nothing else."
            return problem(HTTPStatus.BAD_REQUEST, detail).send(start_response)
        if not self._sockets.acquire(blocking=False):
            detail = f"{self._max_sockets} pages watch already; close one, or raise max_sockets and threads."
            again = ("Retry-After", str(SOON_S))
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, again).send(start_response)
        try:
            return self._inner(environ, start_response)
        finally:
            self._sockets.release()

    def _rate_refusal(self, environ: "WSGIEnvironment") -> GateAnswer | None:
        wait_s = self._rate.wait_s(environ.get("REMOTE_ADDR", ""))
        if not wait_s:
            return None
        seconds = math.ceil(wait_s)
        detail = (
            f"too many requests come from your address; try again in {seconds} s, or raise requests_per_s."
        )
        return problem(HTTPStatus.TOO_MANY_REQUESTS, detail, ("Retry-After", str(seconds)))

    def _of_another(self, environ: "WSGIEnvironment") -> GateAnswer | None:
        """Refuse what is meant for another service, or asked by another's page."""
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if host not in self._hosts:
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"Host {host!r} is not a name of this service; use one of {', '.join(sorted(self._hosts))}, "
                "or add yours to allowed_hosts.",
            )
        if origin is not None and origin not in self._origins:
            return problem(
                HTTPStatus.FORBIDDEN, f"Origin {origin!r} is not this service's page; open it directly."
            )
        if _is_of_another_page(environ):
            return problem(
                HTTPStatus.FORBIDDEN,
                f"Sec-Fetch-Site {environ['HTTP_SEC_FETCH_SITE']!r} is another page's request; "
                "open the service directly.",
            )
        return None

    def _unlock(self, environ: "WSGIEnvironment", lock: Lock) -> GateAnswer | None:
        """Refuse who may not do this; give a cookie to who opens the page with a token."""
        if wait_s := lock.wait_s(environ):
            seconds = math.ceil(wait_s)
            detail = f"too many wrong tokens came from your address; try again in {seconds} s."
            again = ("Retry-After", str(seconds))
            return locked(environ, self._locked_page, HTTPStatus.TOO_MANY_REQUESTS, detail, again)
        caller, needed = lock.caller(environ), self._scope_of(environ)
        if caller.scope is Scope.PUBLIC and needed is not Scope.PUBLIC:
            told = HOW_TO_ENTER if caller.token is None else f"this token is not known here; {HOW_TO_ENTER}"
            by = ("WWW-Authenticate", "Bearer")
            return locked(environ, self._locked_page, HTTPStatus.UNAUTHORIZED, told, by)
        if caller.token is not None and caller.is_new:
            cookie = lock.cookie(caller.token, is_encrypted=self._is_encrypted(environ))
            return see_other(page_without_token(environ), ("Set-Cookie", cookie))
        if caller.scope < needed:
            detail = f"your token may {caller.scope.label}; this takes one that may {needed.label}."
            return problem(HTTPStatus.FORBIDDEN, detail)
        if _is_unproven(environ, caller):
            detail = "with the page's cookie this takes the page's Origin; a script sends a token instead."
            return problem(HTTPStatus.FORBIDDEN, detail)
        return None

    def _is_encrypted(self, environ: "WSGIEnvironment") -> bool:
        """Whether the browser came by https, which a proxy before the service speaks."""
        return f"https://{environ['HTTP_HOST'].removesuffix(':443')}" in self._origins

    def _body_refusal(self, environ: "WSGIEnvironment") -> GateAnswer | None:
        media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        length = environ.get("CONTENT_LENGTH") or ""
        is_empty = length in {"", "0"} and "HTTP_TRANSFER_ENCODING" not in environ
        if media_type != "application/json" and (media_type or not is_empty):
            detail = (
                f"Content-Type {media_type or '(none)'!r} is not taken; send the body as application/json."
            )
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        if length.isdigit() and int(length) > self._max_body_bytes:
            detail = (
                f"a body of {length} bytes is too large; send at most {self._max_body_bytes} bytes, "
                "or raise max_body_bytes."
            )
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        return None


def _is_socket(environ: "WSGIEnvironment") -> bool:
    path: str = environ["PATH_INFO"]
    return path.startswith(SOCKET_PATH)


def _is_handshake(environ: "WSGIEnvironment") -> bool:
    upgrade, connection = environ.get("HTTP_UPGRADE", ""), environ.get("HTTP_CONNECTION", "")
    return (
        environ["REQUEST_METHOD"] == "GET"
        and upgrade.lower() == "websocket"
        and "upgrade" in (token.strip().lower() for token in connection.split(","))
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == "13"
        and KEY.fullmatch(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")) is not None
    )


def _is_of_another_page(environ: "WSGIEnvironment") -> bool:
    """Whether a browser says that another page asks; following a link to here is its user's own doing."""
    if environ.get("HTTP_SEC_FETCH_SITE", "none") in OWN_SITES:
        return False
    is_link = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ["REQUEST_METHOD"] in SAFE_METHODS
    return not (is_link and environ.get("HTTP_SEC_FETCH_DEST") == "document")


def _is_unproven(environ: "WSGIEnvironment", caller: Caller) -> bool:
    """Whether a cookie, which a browser adds by itself, is all that speaks for a write or a socket."""
    is_by_cookie = caller.scope is not Scope.PUBLIC and caller.token is None
    acts = environ["REQUEST_METHOD"] not in SAFE_METHODS or _is_socket(environ)
    return is_by_cookie and acts and "HTTP_ORIGIN" not in environ
