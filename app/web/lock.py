"""Who is let in where a token is asked for: by the token itself, or by the cookie that a browser got for it.

Source: RFC 6750 for the header (Jones and Hardt, 2012); RFC 6265bis for the cookie's attributes.
"""

import hmac
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from threading import Lock as Mutex
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlencode

from werkzeug.http import parse_cookie

from app.web.access import Scope, Tokens

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

COOKIE_LIFE_S = 30 * 86_400
MOST_FAILURES = 10
"""Wrong tokens that an address may offer within `WINDOW_S`."""
WINDOW_S = 60
PAGE = "/"
PARAMETER = "token"


class Caller(NamedTuple):
    """What is known of who asks.

    Attributes:
        scope: What it may do; `PUBLIC` where it showed nothing valid.
        token: What it offered now; None for a cookie, or nothing.
        is_new: Whether the token came in the page's address, to be exchanged for a cookie.
    """

    scope: Scope
    token: str | None = None
    is_new: bool = False


class Lock:
    """Tells callers apart by the tokens of a service; any thread may ask.

    A cookie is the time it ends at and a code over that, keyed by its token: nothing is kept of it here, it
    outlives the process, and a token that is replaced takes its cookies with it.
    """

    def __init__(self, tokens: Tokens, *, cookie_name: str, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._cookie_name = cookie_name
        self._clock = clock
        self._failures: deque[tuple[float, str]] = deque()
        self._mutex = Mutex()

    def caller(self, environ: "WSGIEnvironment") -> Caller:
        """Return who asks, by what was shown; a wrong token is remembered against its address."""
        token, is_new = _offered(environ)
        if token is None:
            return Caller(self._scope_of_cookie(environ))
        scope = self._scope_of_token(token)
        if scope is Scope.PUBLIC:
            with self._mutex:
                self._failures.append((self._clock(), _address(environ)))
        return Caller(scope, token, is_new)

    def wait_s(self, environ: "WSGIEnvironment") -> float:
        """Return how long this address may offer no token, in seconds; 0 for one that may.

        A right token is not tried meanwhile either, or guessing would go on. Cookies are no guesses.
        """
        token, _ = _offered(environ)
        if token is None:
            return 0.0
        with self._mutex:
            now, address = self._clock(), _address(environ)
            while self._failures and self._failures[0][0] <= now - WINDOW_S:
                self._failures.popleft()
            times = [at for at, who in self._failures if who == address]
        return times[-MOST_FAILURES] + WINDOW_S - now if len(times) >= MOST_FAILURES else 0.0

    def cookie(self, token: str, *, is_encrypted: bool) -> str:
        """Return the value of a Set-Cookie header for whoever has shown this token."""
        end = str(int(self._clock()) + COOKIE_LIFE_S)
        secure = "; Secure" if is_encrypted else ""
        return (
            f"{self._cookie_name}={end}.{_code(token, end)}; Path=/; Max-Age={COOKIE_LIFE_S}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )

    def _scope_of_token(self, offered: str) -> Scope:
        for scope, token in self._tokens.items():
            if hmac.compare_digest(offered.encode(), token.encode()):
                return scope
        return Scope.PUBLIC

    def _scope_of_cookie(self, environ: "WSGIEnvironment") -> Scope:
        end, _, code = parse_cookie(environ).get(self._cookie_name, "").partition(".")
        for scope, token in self._tokens.items():
            if hmac.compare_digest(code.encode(), _code(token, end).encode()):
                return scope if int(end) > self._clock() else Scope.PUBLIC
        return Scope.PUBLIC


def page_without_token(environ: "WSGIEnvironment") -> str:
    """Return the address of the page with all that its query says, but the token."""
    rest = [(name, value) for name, value in _query(environ) if name != PARAMETER]
    return f"{PAGE}?{urlencode(rest)}" if rest else PAGE


def _offered(environ: "WSGIEnvironment") -> tuple[str | None, bool]:
    """Return the token of a request, and whether it came in the page's address."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip(), False
    if environ["PATH_INFO"] == PAGE and environ["REQUEST_METHOD"] == "GET":
        token_in_address = dict(_query(environ)).get(PARAMETER)
        return token_in_address, token_in_address is not None
    return None, False


def _query(environ: "WSGIEnvironment") -> list[tuple[str, str]]:
    return parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)


def _address(environ: "WSGIEnvironment") -> str:
    address: str = environ.get("REMOTE_ADDR", "")
    return address


def _code(token: str, end: str) -> str:
    return hmac.new(token.encode(), end.encode(), sha256).hexdigest()
