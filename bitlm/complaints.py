"""What pydantic objects to, said as everything else here is: what is wrong, and what to use instead."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]
"""A JSON Schema, as pydantic writes one."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question for whoever mistyped one of the known names, to be followed by what there is."""
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}? " if close else ""


def fix_of(complaint: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what to put right, as a sentence, where `model` objects to a value."""
    kind, message = complaint["type"], complaint["msg"].removeprefix("Value error, ")
    if kind in {"value_error", "assertion_error"}:
        return message
    wanted = _wanted(model.model_json_schema(), complaint["loc"])
    if wanted is None:
        return f"{message[:1].lower()}{message[1:]}."
    if kind == "finite_number":
        wanted = wanted.replace("a number", "a finite number", 1)
    return f"it is missing: {wanted}." if kind == "missing" else f"{wanted}."


def _wanted(schema: Schema, place: Sequence[int | str]) -> str | None:
    """Return what the value in that place may be; None where the schema does not say."""
    node: Schema | None = schema
    for part in place:
        node = _inside(_options(node, schema), part) if node is not None else None
    options = _options(node, schema) if node is not None else []
    return _phrase(options[0]) if len(options) == 1 else None


def _options(node: Schema, schema: Schema) -> list[Schema]:
    """Return what a value may be one of, null left out."""
    if "$ref" in node:
        return _options(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in node:
        return [option for one in node["anyOf"] for option in _options(one, schema)]
    return [] if node.get("type") == "null" else [node]


def _inside(options: Sequence[Schema], part: int | str) -> Schema | None:
    for option in options:
        inner = option.get("items") if isinstance(part, int) else option.get("properties", {}).get(part)
        if isinstance(inner, dict):
            return inner
    return None


def _phrase(node: Schema) -> str | None:
    if "examples" in node:
        return f"write it like {node['examples'][0]}"
    if "enum" in node:
        *others, last = map(repr, node["enum"])
        return f"use {', '.join(others)} or {last}" if others else f"use {last}"
    phrases: dict[str, Callable[[], str]] = {
        "integer": lambda: f"a whole number{_range(node)}",
        "number": lambda: f"a number{_range(node)}",
        "string": lambda: f"text{_size(node, 'Length', 'characters')}",
        "array": lambda: f"a list{_size(node, 'Items', 'items')}",
        "boolean": lambda: "true or false",
        "object": lambda: "an object",
    }
    phrase = phrases.get(node.get("type", ""))
    return f"use {phrase()}" if phrase else None


def _range(node: Schema) -> str:
    low, above = node.get("minimum"), node.get("exclusiveMinimum")
    high, below = node.get("maximum"), node.get("exclusiveMaximum")
    if below is not None and node["type"] == "integer":
        high, below = below - 1, None
    begin = (
        f"from {_number(low)}" if low is not None else f"above {_number(above)}" if above is not None else ""
    )
    end = ""
    if high is not None:
        end = f"{'to' if low is not None else 'up to'} {_number(high)}"
    elif below is not None:
        end = f"{'up to, but not including,' if begin else 'below'} {_number(below)}"
    if begin and not end and low is not None:
        begin = f"of at least {_number(low)}"
    return "".join(f" {part}" for part in (begin, end) if part)


def _size(node: Schema, what: str, unit: str) -> str:
    least, most = node.get(f"min{what}"), node.get(f"max{what}")
    if least is not None and most is not None:
        return f" of {least} to {most:,} {unit}"
    if most is not None:
        return f" of at most {most:,} {unit}"
    return " that is not empty" if least == 1 else f" of at least {least} {unit}" if least else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
