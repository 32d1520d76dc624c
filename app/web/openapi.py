"""The route table as an OpenAPI document, with the docstrings of handlers and schemas for descriptions.

Source: "OpenAPI Specification", version 3.1.1, OpenAPI Initiative, 2024.
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema
from werkzeug.routing import Map

from app.web.access import Scope
from app.web.problems import CONTENT_TYPE, TABLE, Problem
from app.web.queries import Query
from app.web.routes import FILES, LINES_TYPE, LONGEST_KEY, Concept, File, ProblemLine, Route
from app.web.schemas import InitRequest, TelemetryRequest
from bitlm.model import ModelConfig
from bitlm.session import TelemetrySettings
from bitlm.training import TrainingConfig
from bitlm.version import VERSION

JSON = "application/json"
SCHEMAS, RESPONSES = "#/components/schemas/", "#/components/responses/"
FILES_TAG = "Files"

ALWAYS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
"""What any request may be answered."""

WITH_BODY = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE,
)
"""What a request with a body may be answered besides."""

WITH_QUERY = (HTTPStatus.UNPROCESSABLE_ENTITY,)

PROBLEMS = sorted({*ALWAYS, *WITH_BODY, HTTPStatus.UNAUTHORIZED, *(status for _, status, _ in TABLE)})

RETRY_AFTER = ("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 1})

HEADERS: dict[HTTPStatus, tuple[str, str, dict[str, Any]]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "The scheme to come with.", {"const": "Bearer"}),
    HTTPStatus.TOO_MANY_REQUESTS: RETRY_AFTER,
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY_AFTER,
}
"""Headers of some problems."""

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Chosen by whoever asks; the same request with the same key is done once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of what was read; where it is no longer in force, nothing is changed.",
    "schema": {"type": "string"},
}

SETTINGS_OF: dict[type, tuple[type, ...]] = {
    InitRequest: (ModelConfig, TrainingConfig),
    TelemetryRequest: (TelemetrySettings,),
}
"""Whose docstrings say what fields of a request are."""

LICENSE = {"name": "MIT", "identifier": "MIT"}

ABOUT = """Everything the page does, a script can do. One model is live at a time.

An address that is not listed is answered with 404, and a method that is not listed with 405, as problems
(RFC 9457). Where the service asks for tokens, each route names the scope that it takes: destructive holds
tune, and tune holds read. docs/api.md has an example of each route."""

PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
SECTION = re.compile(r"\n\n(?:Args|Attributes|Raises):\n")
ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
NO_WORD = re.compile(r"\W+")


class OpenAPIDocument(BaseModel):
    """An OpenAPI document."""

    openapi: Literal["3.1.1"] = "3.1.1"
    info: dict[str, Any]
    tags: list[dict[str, str]]
    paths: dict[str, dict[str, Any]]
    components: dict[str, dict[str, Any]]


def describe(
    concepts: Sequence[Concept], urls: Map, *, cookie_name: str, asks_for_tokens: bool
) -> OpenAPIDocument:
    """Describe every address that there is in `urls`; those that answer with JSON as their concepts say."""
    told = {route.name: (_name(concept), route) for concept in concepts for route in concept.table()}
    tags = [{"name": _name(concept), "description": _prose(type(concept))} for concept in concepts]
    schemas = _Schemas(route for _, route in told.values())
    paths: dict[str, dict[str, Any]] = {}
    for rule in urls.iter_rules():
        if rule.endpoint in told:
            tag, route = told[rule.endpoint]
            method, scope, operation = route.method, route.scope, _operation(route, schemas)
        else:
            file = FILES[rule.endpoint]
            tag, method, scope, operation = FILES_TAG, "GET", file.scope, _file_operation(file)
        path = PARAMETER.sub(r"{\2}", rule.rule)
        operation["parameters"] = [*_path_parameters(rule.rule), *operation["parameters"]]
        paths.setdefault(path, {})[method.lower()] = {
            "operationId": NO_WORD.sub("_", f"{method.lower()}{path}").strip("_"),
            "tags": [tag],
            **operation,
            "security": _security(scope, asks_for_tokens=asks_for_tokens),
        }
    return OpenAPIDocument(
        info={"title": "BitLM", "version": VERSION, "description": ABOUT, "license": LICENSE},
        tags=[*tags, {"name": FILES_TAG, "description": "What is answered with something else than JSON."}],
        paths=paths,
        components={
            "schemas": schemas.definitions,
            "responses": {str(status.value): _problem(status, schemas) for status in PROBLEMS},
            "securitySchemes": _security_schemes(cookie_name),
        },
    )


class _Documented(GenerateJsonSchema):
    """Describes a model by its docstring, and its fields by the attributes that are listed there."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the name says it already
        return False

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        """Take no notice of a serializer: those that there are leave out what is None."""
        return None if schema["type"].startswith("function") else super().ser_schema(schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _described(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _described(super().dataclass_schema(schema), schema["cls"])


def _described(schema: JsonSchemaValue, model: type) -> JsonSchemaValue:
    fields = schema.get("properties", {})
    for documented in (
        *model.__mro__,
        *(other for base in model.__mro__ for other in SETTINGS_OF.get(base, ())),
    ):
        for field, meaning in ATTRIBUTE.findall(cleandoc(documented.__doc__ or "")):
            if field in fields:
                fields[field].setdefault("description", " ".join(meaning.split()))
    return {**schema, "description": _prose(model)}


class _Schemas:
    """The models of all routes, each under one name.

    Attributes:
        definitions: Their schemas by name.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        models: set[tuple[type[BaseModel], JsonSchemaMode]] = {
            (Problem, "validation"),  # as it is sent, without what is None
            (ProblemLine, "validation"),
        }
        for route in routes:
            answers = (*route.lines, route.response)
            models |= {(model, "serialization") for model in answers if model is not None}
            models |= {(route.body, "validation")} if route.body is not None else set()
        ordered = sorted(models, key=lambda named: (named[0].__name__, named[1]))
        template = SCHEMAS + "{model}"
        self._named, whole = models_json_schema(ordered, ref_template=template, schema_generator=_Documented)
        self.definitions: dict[str, Any] = whole["$defs"]

    def taken(self, model: type[BaseModel]) -> JsonSchemaValue:
        """Return the reference to what a body has to be."""
        return self._named[model, "validation"]

    def answered(self, model: type[BaseModel]) -> JsonSchemaValue:
        """Return the reference to what an answer is."""
        return self._named[model, "serialization"]


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.response is not None:
        content[JSON] = {"schema": schemas.answered(route.response)}
    if route.lines:
        lines = [*map(schemas.answered, route.lines), schemas.taken(ProblemLine)]
        content[LINES_TYPE] = {
            "schema": {
                "description": "Of each line of the answer; after a problem nothing comes.",
                "anyOf": lines,
            }
        }
    operation: dict[str, Any] = {
        **_told(_prose(route.handler)),
        "parameters": [
            *_query_parameters(route.query),
            *([IDEMPOTENCY_KEY] if route.takes_key else []),
            *([IF_MATCH] if route.has_version and route.body else []),
        ],
    }
    if route.body is not None:
        is_needed = any(field.is_required() for field in route.body.model_fields.values())
        body = {JSON: {"schema": schemas.taken(route.body)}}
        operation["requestBody"] = {"required": is_needed, "content": body}
    taken = (*(WITH_BODY if route.body else ()), *(WITH_QUERY if route.query else ()))
    success: dict[str, Any] = {"description": route.status.phrase, "content": content}
    if route.has_version:
        success["headers"] = {
            "ETag": {"description": "Names what is in force.", "schema": {"type": "string"}}
        }
    return operation | {
        "responses": {str(route.status.value): success, **_problems(route.scope, *taken, *route.errors)}
    }


def _file_operation(file: File) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {} for media_type in file.media_types}
    taken = WITH_QUERY if file.query else ()
    success = {"description": HTTPStatus.OK.phrase, "content": content}
    return {
        **_told(file.meaning),
        "parameters": _query_parameters(file.query),
        "responses": {"200": success, **_problems(file.scope, *taken, *file.errors)},
    }


def _path_parameters(rule: str) -> list[dict[str, Any]]:
    number = {"type": "integer", "minimum": 0}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": number if converter == "int" else {"type": "string"},
        }
        for converter, name in PARAMETER.findall(rule)
    ]


def _query_parameters(query: type[Query] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    schema = query.model_json_schema(schema_generator=_Documented)
    needed = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in needed,
            "description": field.pop("description", schema["description"]),
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]


def _problems(scope: Scope, *statuses: HTTPStatus) -> dict[str, Any]:
    """Return the problems that a route may answer, the common ones included."""
    locked = () if scope is Scope.PUBLIC else (HTTPStatus.UNAUTHORIZED,)
    numbers = (str(status.value) for status in sorted({*ALWAYS, *locked, *statuses}))
    return {number: {"$ref": RESPONSES + number} for number in numbers}


def _problem(status: HTTPStatus, schemas: _Schemas) -> dict[str, Any]:
    titles = [title for _, its_status, title in TABLE if its_status == status]
    content = {CONTENT_TYPE: {"schema": schemas.taken(Problem)}}
    response: dict[str, Any] = {"description": "; ".join(titles) or status.phrase, "content": content}
    if status in HEADERS:
        name, meaning, schema = HEADERS[status]
        response["headers"] = {name: {"description": meaning, "schema": schema}}
    return response


def _security(scope: Scope, *, asks_for_tokens: bool) -> list[dict[str, list[str]]]:
    """Return the ways to come in, each of which will do; where no token is asked for, so will none."""
    if scope is Scope.PUBLIC:
        return []
    without: list[dict[str, list[str]]] = [] if asks_for_tokens else [{}]
    return [*without, {"bearer": [scope.label]}, {"cookie": [scope.label]}]


def _security_schemes(cookie_name: str) -> dict[str, Any]:
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of the service, for one of its scopes.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie_name,
            "description": "What a browser gets for a token; a write takes the page's Origin besides.",
        },
    }


def _name(concept: Concept) -> str:
    return type(concept).__name__.removesuffix("Routes")


def _prose(documented: object) -> str:
    """Return a docstring without its sections."""
    assert documented.__doc__, f"{documented} has a docstring"
    return SECTION.split(cleandoc(documented.__doc__))[0]


def _told(prose: str) -> dict[str, str]:
    summary, _, description = prose.partition("\n\n")
    told = {"summary": " ".join(summary.split()).removesuffix(".")}
    return told | {"description": description} if description else told
