"""What a service offers to agents, read from its own description (`/openapi.json`)."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from urllib.parse import quote

JSON = "application/json"
SCHEMAS = "#/components/schemas/"
PLACE = re.compile(r"{(\w+)}")


class Scope(IntEnum):
    """What a tool takes to be called, as the service names it; each holds those below it."""

    READ = 1
    TUNE = 2
    DESTRUCTIVE = 3


@dataclass(frozen=True)
class Offer:
    """One method on one path, as a tool.

    Attributes:
        name: The operation's id in the description.
        path: With `{name}` for what is filled in.
        takes: JSON schema of the arguments: what stands in the path, the query and the body together.
        answers: JSON schema of the answer; None where it may also come line by line.
        query: Names of the arguments that go into the query string.
        has_body: Whether the others go into a body.
    """

    name: str
    title: str
    description: str
    method: str
    path: str
    scope: Scope
    takes: dict[str, Any]
    answers: dict[str, Any] | None
    query: frozenset[str]
    has_body: bool

    def matches(self, path: str) -> bool:
        """Whether a path is this one with its places filled in."""
        parts = (
            re.escape(part) if at % 2 == 0 else "[^/?#]+" for at, part in enumerate(PLACE.split(self.path))
        )
        return re.fullmatch("".join(parts), path) is not None

    def request(self, arguments: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
        """Return path, query and body of the request that arguments are.

        Raises:
            KeyError: One that stands in the path is missing.
        """
        path = PLACE.sub(lambda place: quote(str(arguments[place[1]]), safe=""), self.path)
        query = {name: _written(value) for name, value in arguments.items() if name in self.query}
        elsewhere = self.query | set(PLACE.findall(self.path))
        rest = {name: value for name, value in arguments.items() if name not in elsewhere}
        return path, query, rest if self.has_body or rest else None


def offers(document: dict[str, Any]) -> list[Offer]:
    """Return everything in an OpenAPI document that is answered in JSON."""
    schemas = document["components"]["schemas"]
    return [
        _offer(method.upper(), path, operation, schemas)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if JSON in _answer(operation)
    ]


def _offer(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Offer:
    told = [one for one in operation["parameters"] if one["in"] in {"path", "query"}]
    properties = {one["name"]: one["schema"] | _meaning(one) for one in told}
    required = [one["name"] for one in told if one["required"]]
    body = operation.get("requestBody")
    if body is not None:
        whole = schemas[body["content"][JSON]["schema"]["$ref"].removeprefix(SCHEMAS)]
        taken = whole.get("properties", {})
        assert not properties.keys() & taken.keys(), f"{path} takes a name in two places"
        properties |= taken
        required += whole.get("required", [])
    takes = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    answer = _answer(operation)
    return Offer(
        name=operation["operationId"],
        title=operation["summary"],
        description=f"{operation['summary']}. {operation.get('description', '')}".strip(),
        method=method,
        path=path,
        scope=_scope(operation["security"]),
        takes=_whole(takes, schemas),
        answers=_whole({"type": "object", **answer[JSON]["schema"]}, schemas) if len(answer) == 1 else None,
        query=frozenset(one["name"] for one in told if one["in"] == "query"),
        has_body=body is not None,
    )


def _answer(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the media types of what is answered when all goes well."""
    (good,) = (one for status, one in operation["responses"].items() if status.startswith("2"))
    content: dict[str, Any] = good["content"]
    return content


def _scope(security: list[dict[str, list[str]]]) -> Scope:
    """Return the scope that a token has to have; what is for everybody is for those who read."""
    scopes = [Scope[label.upper()] for way in security for label in way.get("bearer", [])]
    return max(scopes, default=Scope.READ)


def _meaning(parameter: dict[str, Any]) -> dict[str, str]:
    return {"description": parameter["description"]} if "description" in parameter else {}


def _whole(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with all that it refers to inside it."""
    held: dict[str, Any] = {}

    def moved(part: Any) -> Any:
        if isinstance(part, list):
            return [moved(one) for one in part]
        if not isinstance(part, dict):
            return part
        return {name: _reference(value) if name == "$ref" else moved(value) for name, value in part.items()}

    def _reference(reference: str) -> str:
        name = reference.removeprefix(SCHEMAS)
        if name not in held:
            held[name] = {}  # it may refer to itself
            held[name] = moved(schemas[name])
        return f"#/$defs/{name}"

    whole: dict[str, Any] = moved(schema)
    return whole | {"$defs": held} if held else whole


def _written(value: Any) -> str:
    """Return a value as a query string has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
