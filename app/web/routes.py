"""The route table: what each route takes and answers, said once and held to in one place."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import structlog
from flask import Flask, Response, g, request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import ETags
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, Map

from app.connections import PatientSocket
from app.mcp.service import PRODUCT
from app.service.requests import IdempotencyKey
from app.web.access import Scope
from app.web.problems import (
    InvalidRequestError,
    MalformedHeaderError,
    MalformedJSONError,
    Problem,
    problem_of,
)
from app.web.queries import ExportQuery, ModelQuery, Query
from app.web.schemas import Body
from bitlm.errors import ChangedMeanwhileError
from bitlm.session.events import Source

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CHANGES_NOTHING = frozenset({"/estimate"})
"""What is asked while somebody types, and only a POST for what it has to say."""

MISSING = (HTTPStatus.NOT_FOUND,)

AnyQuery = TypeVar("AnyQuery", bound=Query)

LINES_TYPE = "application/x-ndjson"

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
        handler: Takes `body`, `query` and `key` where there are such, and answers with a `response`, or with
            `Lines`.
        response: What is answered at once; None where all answers come line by line.
        lines: What may be answered line by line.
        has_version: Whether the answer has an ETag, and a handler with a body takes `match`: the ETags one of
            which must be that of what is to be changed, or none.
        takes_key: Whether the handler takes an Idempotency-Key, or None where none came.
        is_passed_on: Whether a service that only watches may pass it on to a training in a terminal.
        status: Of the answer when all goes well.
        errors: Statuses of the problems it may answer, beside those of every route.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    scope: Scope
    handler: Callable[..., BaseModel | Lines]
    response: type[BaseModel] | None
    body: type[Body] | None = None
    query: type[Query] | None = None
    lines: tuple[type[BaseModel], ...] = ()
    has_version: bool = False
    takes_key: bool = False
    is_passed_on: bool = False
    status: HTTPStatus = HTTPStatus.OK
    errors: tuple[HTTPStatus, ...] = ()

    @property
    def name(self) -> str:
        """The endpoint's name, unique in the table."""
        return f"{self.method} {self.path}".replace(".", "_")


class Concept(Protocol):
    """Routes that belong together, under the name and the description of their class."""

    def table(self) -> list[Route]:
        """Return these routes."""
        ...


@dataclass(frozen=True)
class File:
    """What a GET answers that is no JSON, and stands in no table.

    Attributes:
        meaning: What it is, as a handler's docstring would say it.
        media_types: Those it may have.
    """

    meaning: str
    media_types: tuple[str, ...]
    scope: Scope = Scope.READ
    query: type[Query] | None = None
    errors: tuple[HTTPStatus, ...] = ()


FILES = {
    "static": File(
        "Return a file of the page.", ("text/css", "text/javascript", "image/svg+xml"), errors=MISSING
    ),
    "pages.dashboard": File("Return the page.", ("text/html",)),
    "pages.vendored": File("Return plotly.js.", ("text/javascript",), errors=MISSING),
    "exports.export": File(
        "Return a run as a file: csv, jsonl, report or capsule.",
        ("text/csv", "application/jsonl", "text/html", "application/zip"),
        query=ExportQuery,
        errors=(*MISSING, HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE),
    ),
    "exports.model": File(
        "Return a run's model as one file, in four bytes a weight, one or a half.",
        ("application/octet-stream",),
        query=ModelQuery,
        errors=(*MISSING, HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE),
    ),
    "exposition.metrics": File("Return the figures of the moment for Prometheus.", ("text/plain",)),
    "reference.docs": File("Return the page of all routes.", ("text/html",)),
}
"""By the names of their endpoints."""


def asked_by() -> Source:
    """Return "ui" for a page (browsers send Origin with every write), "mcp" for agents, "rest" for a script.

    It is what whoever asks says, and grants nothing.
    """
    if "Origin" in request.headers:
        return "ui"
    return "mcp" if request.user_agent.string.startswith(f"{PRODUCT}/") else "rest"


def hung_up() -> Callable[[], bool]:
    """Return what tells, to any thread, whether the client has closed the connection of this request."""
    connection = request.environ.get("gunicorn.socket")
    return connection.has_hung_up if isinstance(connection, PatientSocket) else lambda: False


class StoredInteger(IntegerConverter):
    """A whole number in a path, as far as a database holds it; beyond, there is no such path."""

    def __init__(self, rules: Map) -> None:
        super().__init__(rules, max=2**63 - 1)


def add_routes(app: Flask, routes: Iterable[Route]) -> None:
    """Serve `routes`."""
    app.url_map.converters["int"] = StoredInteger
    for route in routes:
        app.add_url_rule(route.path, route.name, _view(route), methods=[route.method])


def scopes_of(app: Flask, routes: Iterable[Route]) -> "Callable[[WSGIEnvironment], Scope]":
    """Return what tells the scope that a request needs, by the very rules that Flask will find its route by.

    What leads nowhere, or not by this method, needs what the page does.
    """
    scopes = {name: file.scope for name, file in FILES.items()} | {
        route.name: route.scope for route in routes
    }

    def scope_of(environ: "WSGIEnvironment") -> Scope:
        urls = app.create_url_adapter(app.request_class(environ))
        assert urls is not None, "there is a request"
        try:
            endpoint, _ = urls.match()
        except HTTPException:
            return Scope.READ
        return scopes[endpoint]

    return scope_of


def parsed_query(schema: type[AnyQuery]) -> AnyQuery:
    """Return the query string.

    Raises:
        InvalidRequestError: It is not what `schema` says.
    """
    try:
        return schema.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise InvalidRequestError(error, schema) from error


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
            return _line_by_line(answer, route.lines)
        assert route.response is not None, f"{route.name} promises lines"
        assert isinstance(answer, route.response), f"{route.name} promises {route.response.__name__}"
        response = Response(answer.model_dump_json() + "\n", route.status, content_type="application/json")
        if route.has_version:
            response.set_etag(_version(answer))
        return response

    return view


def _line_by_line(answer: Lines, promised: tuple[type[BaseModel], ...]) -> Response:
    """Return lines that are sent as they come."""

    def written() -> Iterator[str]:
        try:
            for line in answer.lines:
                assert isinstance(line, promised), f"no {type(line).__name__} is promised"
                yield line.model_dump_json() + "\n"
        except Exception as error:  # noqa: BLE001 - the status is sent, so whoever reads is told in a line
            yield ProblemLine(problem=problem_of(error)).model_dump_json(exclude_none=True) + "\n"

    response = Response(written(), content_type=LINES_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.call_on_close(answer.close)
    return response


def _parsed(route: Route) -> dict[str, Any]:
    """Return the body, the query and the key that the handler takes, checked."""
    arguments: dict[str, Any] = {}
    if route.body is not None:
        arguments["body"] = _parsed_body(route.body)
        if route.has_version:
            arguments["match"] = request.if_match
    if route.query is not None:
        arguments["query"] = parsed_query(route.query)
    if route.takes_key:
        arguments["key"] = _idempotency_key()
    return arguments


def require_match(match: ETags, read: Callable[[], BaseModel]) -> None:
    """Hold what is in force now against the If-Match that a request came with.

    Source: Fielding, Nottingham and Reschke, "HTTP Semantics", RFC 9110, 2022, section 13.1.1.

    Raises:
        ChangedMeanwhileError: It is another.
    """
    if not match.contains(_version(read())):
        raise ChangedMeanwhileError


def _version(answer: BaseModel) -> str:
    return sha256(answer.model_dump_json().encode()).hexdigest()[:32]


def _idempotency_key() -> IdempotencyKey | None:
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


def _parsed_body(schema: type[Body]) -> Body:
    """Return the body; none at all is an empty object."""
    try:
        return schema.model_validate_json(request.get_data() or b"{}")
    except ValidationError as error:
        complaint = error.errors(include_url=False, include_input=False)[0]
        if complaint["type"] == "json_invalid":
            raise MalformedJSONError(f"the body is not JSON: {complaint['ctx']['error']}.") from error
        raise InvalidRequestError(error, schema) from error
