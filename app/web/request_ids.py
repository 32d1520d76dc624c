"""A name for each request, in its answer, in its problem and in what is logged of it."""

import re
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "X-Request-Id"
SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a client may call its request; of anything else the service takes no notice."""


class RequestIds:
    """WSGI middleware, before all other: names each request as the client does, or by eight random bytes."""

    def __init__(self, inner: "WSGIApplication") -> None:
        self._inner = inner

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Pass the request on; its thread logs under its name until the next."""
        asked = environ.get("HTTP_X_REQUEST_ID", "")
        name = asked if SANE.fullmatch(asked) else secrets.token_hex(8)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=name)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, (HEADER, name)], *error)

        return self._inner(environ, start)


def request_id() -> str | None:
    """Return the name of the request that this thread answers; None outside of one."""
    name: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return name
