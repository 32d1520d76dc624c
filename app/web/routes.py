"""The route table: what each route takes and answers, said once and held to in one place."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog
from flask import Flask, Response, g, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from app.service.requests import IdempotencyKey
from app.web.access import Scope
from app.web.problems import (
    InvalidRequestError,
    MalformedHeaderError,
    MalformedJSONError,
    Problem,
    problem_of,
)
from app.web.schemas import Body, Query
from bitlm.session.events import Source

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CHANGES_NOTHING = frozenset({"/estimate"})
"""What is asked while somebody types, and only a POST for what it has to say."""

FILE_SCOPES = dict.fromkeys(
    ("static", "pages.dashboard", "pages.vendored", "exports.export", "exports.model", "exposition.metrics"),
    Scope.READ,
)
"""Endpoints that answer with files instead of JSON, and stand in no table."""

Asked = TypeVar("Asked", bound=Query)

LONGEST_KEY = 255
"""Characters of an Idempotency-Key."""


@dataclass(frozen=True)
class Lines:
    """An answer that comes line by line, each a JSON object; what goes wrong on the way is its last line.

    Attributes:
        lines: What there is to say; may raise.
        close: Called when nobody listens any more, even if nobody ever did.
    """

    lines: Iterable[BaseModel]
    close: Callable[[], None]


class ProblemLine(BaseModel):
    """What went wrong after the first line; nothing follows."""

    kind: Literal["problem"] = "problem"
    problem: Problem


@dataclass(frozen=True)
class Route:
    """One method on one path.

    Attributes:
        path: In Flask's notation, `<name>` for what the handler takes by that name.
        scope: What whoever asks has to be granted, where a token is asked for.
        handler: Takes `body` and `query` where there are such, and answers with a `response`, or with `Lines`
            that end in one.
        status: Of the answer when all goes well.
        errors: Statuses of the problems it may answer, beside those of every route.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    scope: Scope
    handler: Callable[..., BaseModel | Lines]
    response: type[BaseModel]
    body: type[Body] | None = None
    query: type[Query] | None = None
    status: HTTPStatus = HTTPStatus.OK
    errors: tuple[HTTPStatus, ...] = ()

    @property
    def name(self) -> str:
        """The endpoint's name, unique in the table."""
        return f"{self.method} {self.path}".replace(".", "_")


def asked_by() -> Source:
    """Return "ui" for a page (browsers send Origin with every write) and "rest" for a script."""
    return "ui" if "Origin" in request.headers else "rest"


def idempotency_key() -> IdempotencyKey | None:
    """Return the Idempotency-Key header with the hash of the body it came with, or None.

    Source: Jena and Dalal, "The Idempotency-Key HTTP Header Field", IETF draft, 2025.

    Raises:
        MalformedHeaderError: The key is empty or too long.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST_KEY:
        raise MalformedHeaderError(
            f"Idempotency-Key has {len(key)} characters; use 1 to {LONGEST_KEY}, for example a UUID."
        )
    return IdempotencyKey(key, sha256(request.get_data()).hexdigest())


def add_routes(app: Flask, routes: Iterable[Route]) -> None:
    """Serve `routes`."""
    for route in routes:
        app.add_url_rule(route.path, route.name, _view(route), methods=[route.method])


def scopes_of(app: Flask, routes: Iterable[Route]) -> "Callable[[WSGIEnvironment], Scope]":
    """Return what tells the scope that a request needs, by the very rules that Flask will find its route by.

    What leads nowhere, or not by this method, needs what the page does.
    """
    scopes = {route.name: route.scope for route in routes} | FILE_SCOPES

    def scope_of(environ: "WSGIEnvironment") -> Scope:
        urls = app.create_url_adapter(app.request_class(environ))
        assert urls is not None, "there is a request"
        try:
            endpoint, _ = urls.match()
        except HTTPException:
            return Scope.READ
        return scopes[endpoint]

    return scope_of


def log_requests(app: Flask) -> None:
    """Log every write and every refusal, with how long it took."""
    log = structlog.get_logger("bitlm.web")

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        if request.method != "GET" or response.status_code >= HTTPStatus.BAD_REQUEST:
            seconds = round(time.perf_counter() - g.began, 4)
            tell = log.debug if request.path in CHANGES_NOTHING else log.info
            tell(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                seconds=seconds,
            )
        return response


def _view(route: Route) -> Callable[..., Response]:
    def view(**arguments: str) -> Response:
        answer = route.handler(**arguments, **_parsed(route))
        if isinstance(answer, Lines):
            return _line_by_line(answer)
        assert isinstance(answer, route.response), f"{route.name} promises {route.response.__name__}"
        return Response(answer.model_dump_json() + "\n", route.status, content_type="application/json")

    return view


def _line_by_line(answer: Lines) -> Response:
    """Return lines that are sent as they come."""

    def written() -> Iterator[str]:
        try:
            for line in answer.lines:
                yield line.model_dump_json() + "\n"
        except Exception as error:  # noqa: BLE001 - the status is sent, so whoever reads is told in a line
            yield ProblemLine(problem=problem_of(error)).model_dump_json(exclude_none=True) + "\n"

    response = Response(written(), content_type="application/x-ndjson")
    response.headers["Cache-Control"] = "no-store"
    response.call_on_close(answer.close)
    return response


def _parsed(route: Route) -> dict[str, BaseModel]:
    """Return the body and the query that the handler takes, checked."""
    arguments: dict[str, BaseModel] = {}
    if route.body is not None:
        arguments["body"] = _parsed_body(route.body)
    if route.query is not None:
        arguments["query"] = parsed_query(route.query)
    return arguments


def _parsed_body(schema: type[Body]) -> Body:
    """Return the body; none at all is an empty object."""
    try:
        return schema.model_validate_json(request.get_data() or b"{}")
    except ValidationError as error:
        complaint = error.errors(include_url=False, include_input=False)[0]
        if complaint["type"] == "json_invalid":
            raise MalformedJSONError(f"the body is not JSON: {complaint['ctx']['error']}.") from error
        raise InvalidRequestError(error, schema) from error


def parsed_query(schema: type[Asked]) -> Asked:
    """Return what the address asks for, checked.

    Raises:
        InvalidRequestError: It is not what the schema says.
    """
    try:
        return schema.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise InvalidRequestError(error, schema) from error
