"""The service that agents are let to, asked over REST."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from bitlm.version import VERSION

LONGEST_ANSWER_S = 600.0
"""How long an answer is waited for; many steps or a long text take minutes."""
LINES_TYPE = "application/x-ndjson"
PRODUCT = "bitlm-mcp"
"""Who asks, as User-Agent (RFC 9110, section 10.1.5): the service's journals know agents by it."""


class ServiceError(Exception):
    """The service did not answer, or answered with a problem; its sentence is the message."""


@dataclass(frozen=True)
class RunningService:
    """A service that runs somewhere.

    Attributes:
        url: Where it answers, without a slash at the end.
        token: What is sent with each request; None for nothing.
    """

    url: str
    token: str | None

    def ask(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what it answers; an answer in lines becomes a list, `lines`.

        Raises:
            ServiceError: It refuses, or there is none.
        """
        where = f"{self.url}{path}{'?' + urlencode(query) if query else ''}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"User-Agent": f"{PRODUCT}/{VERSION}"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = Request(where, data, headers, method=method)  # noqa: S310 - the operator names it
        try:
            with urlopen(request, timeout=LONGEST_ANSWER_S) as answer:  # noqa: S310 - the same
                text, is_lines = answer.read().decode(), answer.headers.get_content_type() == LINES_TYPE
        except HTTPError as error:
            raise ServiceError(_sentence(error)) from error
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ServiceError(
                f"no BitLM answers at {self.url} ({reason}): start it by `bitlm serve`, or name it by --url."
            ) from error
        if is_lines:
            return {"lines": [json.loads(line) for line in text.splitlines()]}
        told: dict[str, Any] = json.loads(text) if text else {}
        return told


def _sentence(refusal: HTTPError) -> str:
    """Return what a problem says (RFC 9457), each wrong field with it."""
    try:
        problem = json.load(refusal)
        wrong = "".join(f" {error['field']}: {error['detail']}" for error in problem.get("errors", []))
        return f"{problem['title']}: {problem['detail']}{wrong}"
    except (ValueError, KeyError, TypeError):
        return f"{refusal.code} {HTTPStatus(refusal.code).phrase}: {refusal.url} is no address of BitLM."
