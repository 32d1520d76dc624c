"""What the gate answers itself: a problem, to a browser's window as a page, or the way to the page."""

from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from app.web.problems import CONTENT_TYPE, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DETAIL = "{{ detail }}"
"""Where the page for those who are not let in says why."""

Header = tuple[str, str]

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class GateAnswer(NamedTuple):
    """An answer that Flask has no part in."""

    status: HTTPStatus
    headers: tuple[Header, ...]
    body: bytes = b""

    def send(self, start_response: "StartResponse") -> Iterable[bytes]:
        """Answer with it."""
        headers = [
            *self.headers,
            ("Content-Length", str(len(self.body))),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ]
        start_response(f"{self.status.value} {self.status.phrase}", headers)
        return [self.body]


def problem(status: HTTPStatus, detail: str, *headers: Header) -> GateAnswer:
    """Return a refusal."""
    told = Problem(title=status.phrase, status=status, detail=detail)
    body = told.model_dump_json(exclude_none=True).encode()
    return GateAnswer(status, (("Content-Type", CONTENT_TYPE), *headers), body)


def locked(
    environ: "WSGIEnvironment", page: str, status: HTTPStatus, detail: str, *headers: Header
) -> GateAnswer:
    """Return a refusal for want of a token; to a browser's window as `page`, with a field for one."""
    if environ["REQUEST_METHOD"] != "GET" or "text/html" not in environ.get("HTTP_ACCEPT", ""):
        return problem(status, detail, *headers)
    html = (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", PAGE_POLICY))
    return GateAnswer(
        status, (*html, *headers), page.replace(DETAIL, escape(detail[0].upper() + detail[1:])).encode()
    )


def see_other(location: str, *headers: Header) -> GateAnswer:
    """Return the way to another address."""
    return GateAnswer(HTTPStatus.SEE_OTHER, (("Location", location), *headers))
