"""Errors as RFC 9457 problem details: one table from exception to status and title.

Source: Nottingham, Wilde and Dalal, "Problem Details for HTTP APIs", RFC 9457, 2023.
"""

import math
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from app.service import NoRunError, ServiceStoppingError, StateConflictError
from app.service.answers import GateReport
from app.service.errors import (
    AbandonedError,
    BusyError,
    KeyReusedError,
    MemoryShortError,
    NotReadyError,
    WatchingOnlyError,
)
from app.web.request_ids import request_id
from bitlm.complaints import did_you_mean, fix_of
from bitlm.errors import (
    BitFormatError,
    BitLMError,
    ChangedMeanwhileError,
    CheckpointError,
    CheckpointNotFoundError,
    ConfigError,
    CorpusError,
    GridOverflowError,
    HaltedError,
    JournalError,
    MissingReferenceError,
    RunBusyError,
    RunNotFoundError,
    SafetyGateError,
    StorageFullError,
    UnansweredError,
    UnattendedError,
)

CONTENT_TYPE = "application/problem+json"

SOON_S = 1
"""When to ask again whoever cannot answer now, in seconds."""

SHOWN_CHARACTERS = 100
"""Longest value an error repeats."""

SHOWN_ERRORS = 20
"""Most fields one problem complains about."""


class FieldError(BaseModel):
    """What is wrong with one field.

    Attributes:
        pointer: The field's place in the body, as a JSON pointer (RFC 6901).
        field: Its name, with dots between levels.
        value: What was given, when it is short and plain.
        detail: What to put right.
    """

    pointer: str
    field: str
    value: str | int | float | bool | None = None
    detail: str


class Problem(BaseModel):
    """An error as everyone sees it; never a stack trace.

    Attributes:
        request_id: What the log calls the request.
    """

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] | None = None
    gate: GateReport | None = None
    request_id: str | None = Field(default_factory=request_id)


class MalformedJSONError(Exception):
    """The body is not JSON at all."""


class MalformedHeaderError(Exception):
    """A header is not what it should be."""


class InvalidRequestError(Exception):
    """A body or query is not what its schema says.

    Attributes:
        errors: Every complaint, at least one.
    """

    def __init__(self, error: ValidationError, schema: type[BaseModel]) -> None:
        complaints = error.errors(include_url=False)
        self.errors = tuple(_field_error(complaint, schema) for complaint in complaints[:SHOWN_ERRORS])
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        first = self.errors[0]
        named = first.field or "body"
        value = "" if first.value is None or not first.field else f"={first.value!r}"
        super().__init__(f"{named}{value}: {first.detail}{more}")


TABLE: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
    (MalformedJSONError, HTTPStatus.BAD_REQUEST, "Malformed JSON"),
    (MalformedHeaderError, HTTPStatus.BAD_REQUEST, "Malformed header"),
    (AbandonedError, HTTPStatus.BAD_REQUEST, "Nobody waits for the answer"),
    (ChangedMeanwhileError, HTTPStatus.PRECONDITION_FAILED, "Changed meanwhile"),
    (KeyReusedError, HTTPStatus.UNPROCESSABLE_ENTITY, "The idempotency key was used before"),
    (InvalidRequestError, HTTPStatus.UNPROCESSABLE_ENTITY, "Validation failed"),
    (SafetyGateError, HTTPStatus.UNPROCESSABLE_ENTITY, "The safety gate refused the sample"),
    (ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY, "A setting is wrong"),
    (BitFormatError, HTTPStatus.UNPROCESSABLE_ENTITY, "The bits are not in the model's format"),
    (CorpusError, HTTPStatus.UNPROCESSABLE_ENTITY, "The text cannot be used"),
    (RunNotFoundError, HTTPStatus.NOT_FOUND, "No such run"),
    (CheckpointNotFoundError, HTTPStatus.NOT_FOUND, "No such checkpoint"),
    (RunBusyError, HTTPStatus.CONFLICT, "The run is being written elsewhere"),
    (NoRunError, HTTPStatus.CONFLICT, "There is no model yet"),
    (StateConflictError, HTTPStatus.CONFLICT, "Not in this state"),
    (HaltedError, HTTPStatus.CONFLICT, "The run has stopped itself"),
    (JournalError, HTTPStatus.CONFLICT, "The journal does not allow it"),
    (UnattendedError, HTTPStatus.CONFLICT, "Nobody trains the run"),
    (UnansweredError, HTTPStatus.SERVICE_UNAVAILABLE, "Who trains the run did not answer"),
    (StorageFullError, HTTPStatus.INSUFFICIENT_STORAGE, "The disk is full"),
    (MemoryShortError, HTTPStatus.INSUFFICIENT_STORAGE, "The memory is too small"),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE, "Busy"),
    (NotReadyError, HTTPStatus.SERVICE_UNAVAILABLE, "Not ready"),
    (CheckpointError, HTTPStatus.CONFLICT, "The checkpoint cannot be used"),
    (MissingReferenceError, HTTPStatus.CONFLICT, "The model has no reference"),
    (GridOverflowError, HTTPStatus.CONFLICT, "The model's arithmetic overflowed"),
    (WatchingOnlyError, HTTPStatus.FORBIDDEN, "This dashboard only watches"),
    (ServiceStoppingError, HTTPStatus.SERVICE_UNAVAILABLE, "The service is shutting down"),
    (BitLMError, HTTPStatus.UNPROCESSABLE_ENTITY, "The request cannot be fulfilled"),
)
"""The first row an exception is an instance of is its row."""


def problem_of(error: Exception) -> Problem:
    """Return what to tell about `error`; a mistake of ours tells nothing but that it is one."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    for kind, status, title in TABLE:
        if isinstance(error, kind):
            return Problem(title=title, status=status, detail=str(error), **_members(error))
    return Problem(
        title="Unexpected error",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail=f"BitLM met an unexpected {type(error).__name__}; the log has the details.",
    )


def respond(problem: Problem) -> Response:
    """Return the problem as an HTTP response."""
    response = Response(
        problem.model_dump_json(exclude_none=True) + "\n", problem.status, content_type=CONTENT_TYPE
    )
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(SOON_S)
    return response


def handle_errors(app: Flask) -> None:
    """Answer every exception of `app` with a problem; log those that are ours."""
    log = structlog.get_logger("bitlm.web")

    @app.errorhandler(Exception)
    def answer(error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("unexpected_error", exc_info=error)
        response = respond(problem)
        if isinstance(error, HTTPException):
            allowed = error.get_response().headers.get("Allow")
            response.headers.update({"Allow": allowed} if allowed else {})
        return response


def _http_problem(error: HTTPException) -> Problem:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = error.description or status.description
    if detail == NotFound.description:
        detail = "there is nothing at this address; docs/api.md lists what there is."
    if isinstance(error, MethodNotAllowed):
        taken = " and ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
        detail = f"this address takes {taken}, not {request.method}; docs/api.md says what each does."
    return Problem(title=status.phrase, status=status, detail=detail)


def _members(error: Exception) -> dict[str, Any]:
    """Return the members that some errors have beside the common ones."""
    if isinstance(error, SafetyGateError):
        return {"gate": GateReport.of(error.verdict, error.attempts, are_told=False)}
    if isinstance(error, InvalidRequestError):
        return {"errors": error.errors}
    if isinstance(error, ConfigError):
        pointer = "/" + error.field
        return {
            "errors": (
                FieldError(pointer=pointer, field=error.field, value=_shown(error.value), detail=error.fix),
            )
        }
    return {}


def _field_error(complaint: ErrorDetails, schema: type[BaseModel]) -> FieldError:
    place = [str(part) for part in complaint["loc"]]
    value = complaint["input"]
    if complaint["type"] == "extra_forbidden":
        fields = ", ".join(schema.model_fields)
        known = f"{did_you_mean(place[-1], schema.model_fields)}the fields are {fields}"
        detail = f"there is no field of this name; {known if fields else 'it takes none'}."
    else:
        detail = fix_of(complaint, schema)
    pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in place)
    return FieldError(pointer=pointer, field=".".join(place), value=_shown(value), detail=detail)


def _shown(value: object) -> str | int | float | bool | None:
    """Return `value` if JSON can carry it and a reader can take it in, else None."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "…"
    return value if isinstance(value, bool | int | float) else None
