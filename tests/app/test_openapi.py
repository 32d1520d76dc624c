"""What the service says of its own routes: whole, valid, and true of what it answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.settings import Settings
from app.web.access import Scope, read_tokens
from app.web.routes import Route
from bitlm.version import VERSION
from tests.app.rest import checked, get
from tests.conftest import TINY, service

JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), torch_threads=1)


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[Flask]:
    with service(settings) as made:
        yield made


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    return get(client, "/openapi.json")


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    paths = document["paths"].items()
    return {(method.upper(), path): told for path, item in paths for method, told in item.items()}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from references(inner)


def at(document: dict[str, Any], reference: str) -> Any:
    place: Any = document
    for name in reference.removeprefix("#/").split("/"):
        place = place[name]
    return place


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a value is what a schema says, by the keywords that answers are described with."""
    if "$ref" in schema:
        return fits(value, at(document, schema["$ref"]), document)
    if "anyOf" in schema:
        return any(fits(value, one, document) for one in schema["anyOf"])
    if "type" in schema and not isinstance(value, JSON_TYPES[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {}), document) for one in value)
    if isinstance(value, dict):
        known, needed = schema.get("properties", {}), set(schema.get("required", ()))
        other = schema.get("additionalProperties", "properties" not in schema)
        allowed = {name: {} if other is True else other for name in value if other is not False} | known
        return needed <= value.keys() <= allowed.keys() and all(
            fits(one, allowed[name], document) for name, one in value.items()
        )
    return value in schema.get("enum", [value]) and value == schema.get("const", value)


def test_it_has_every_address_of_the_service_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(operations(document)) == served


def test_it_is_what_the_specification_takes_for_a_document(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    broken = {**document, "paths": {"/status": {"get": {"responses": {"200": {}}}}}}
    assert list(OpenAPIV31SpecValidator(broken).iter_errors())


def test_it_is_sound(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert document["info"]["version"] == VERSION
    assert [found for found in references(document) if not at(document, found)] == []
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for (_, path), operation in operations(document).items():
        declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert declared == re.findall(r"{(\w+)}", path)
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert all(response.keys() & {"$ref", "description"} for response in operation["responses"].values())
    components = [name for kind in document["components"].values() for name in kind]
    assert [name for name in components if "__" in name or not re.fullmatch(r"[\w.-]+", name)] == []


def test_each_route_says_its_scope_its_success_its_problems_and_which_headers_it_takes(
    app: Flask, document: dict[str, Any]
) -> None:
    routes: tuple[Route, ...] = app.extensions["bitlm"].routes
    told = operations(document)
    for route in routes:
        operation = told[route.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)]
        scopes = {scope for way in operation["security"] for granted in way.values() for scope in granted}
        assert scopes == ({route.scope.label} if route.scope else set())
        assert min(operation["responses"]) == str(route.status.value)
        assert {str(status.value) for status in route.errors} <= operation["responses"].keys()
        assert ("401" in operation["responses"]) == bool(route.scope)
        assert ("415" in operation["responses"]) == ("requestBody" in operation) == (route.body is not None)
    headers = {
        (path, parameter["name"])
        for (_, path), one in told.items()
        for parameter in one["parameters"]
        if parameter["in"] == "header"
    }
    keyed = {(path, "Idempotency-Key") for path in ("/init", "/train-step")}
    assert headers == keyed | {
        (f"/config/{name}", "If-Match") for name in ("telemetry", "alerts", "samples", "growth")
    }
    streams = {path for (_, path), one in told.items() if "application/x-ndjson" in str(one["responses"])}
    assert streams == {"/infer", "/compress", "/decompress"}


def test_fields_and_parameters_are_described_where_they_are_documented(document: dict[str, Any]) -> None:
    settings = document["components"]["schemas"]["EstimateRequest"]["properties"]
    assert settings["text_bytes"]["description"].startswith("Length of the text")
    assert settings["seed"]["description"] == "Key of every random draw of the run."
    assert settings["nhead"]["description"].startswith("Attention heads")
    assert settings["warmup_steps"]["description"].startswith("Steps over which")
    parameters = operations(document)["GET", "/runs/{run_id}/metrics"]["parameters"]
    assert [(one["name"], one["required"]) for one in parameters] == [
        ("run_id", True), ("since", False), ("max_points", False),
    ]  # fmt: skip
    assert parameters[1]["description"] == "Those above this one."


def test_where_tokens_are_asked_for_nothing_but_health_goes_without(
    document: dict[str, Any], tmp_path: Path
) -> None:
    assert operations(document)["GET", "/status"]["security"] == [
        {},
        {"bearer": ["read"]},
        {"cookie": ["read"]},
    ]
    locked = Settings(data_dir=tmp_path, torch_threads=1, require_token=True, port=5017)
    with service(locked) as other:
        token = read_tokens(locked.tokens_file)[Scope.READ]
        shown = {"Host": "127.0.0.1:5017", "Authorization": f"Bearer {token}"}
        told = checked(other.test_client().get("/openapi.json", headers=shown), 200)
    assert told["components"]["securitySchemes"]["cookie"]["name"] == "bitlm-5017"
    free = {
        key
        for key, operation in operations(told).items()
        if {} in operation["security"] or not operation["security"]
    }
    assert free == {("GET", "/healthz")}


def test_what_the_service_answers_is_what_it_says(
    client: FlaskClient, document: dict[str, Any], corpus_file: Path
) -> None:
    def holds(method: str, path: str, body: dict[str, Any] | None = None, **names: str) -> Any:
        answer = client.open(path.format(**names), method=method, json=body)
        told = operations(document)[method, path.partition("?")[0]]["responses"][str(answer.status_code)]
        content = (at(document, told["$ref"]) if "$ref" in told else told)["content"][answer.mimetype]
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line for line in lines if not fits(line, content["schema"], document)] == [], path
        return lines[-1]

    run_id = holds("POST", "/init", {**TINY, "corpus": str(corpus_file)})["run_id"]
    holds("POST", "/train-step", {"steps": 2})
    holds("GET", "/config/telemetry")
    holds("POST", "/config/telemetry", {"lambda_K": 0.1})
    holds("POST", "/infer", {"max_new_bytes": 8, "details": True})
    holds("POST", "/infer", {"max_new_bytes": 8, "stream": True})
    holds("POST", "/infer", {"max_new_bytes": 8, "s_floor": 1.0, "strict": True})
    holds("POST", "/infer", {"max_new_bytes": 0})
    for path in ("/status", "/runs", "/readyz", "/openapi.json"):
        holds("GET", path)
    for part in ("", "/metrics", "/events", "/journal", "/checkpoints", "/samples", "/milestones"):
        holds("GET", f"/runs/{{run_id}}{part}", run_id=run_id)
    holds("GET", "/runs/{run_id}", run_id="none")


def test_the_page_of_all_routes_has_each_and_every_link_in_it_leads_somewhere(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    page = client.get("/docs").text
    assert [key for key in operations(document) if f"<code>{' '.join(key)}</code>" not in page] == []
    places = set(re.findall(r'id="([^"]+)"', page))
    assert [link for link in re.findall(r'href="#([^"]+)"', page) if link not in places] == []
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= places
    assert re.findall(r'src="([^"]+)"', page) == ["/static/js/theme_first.js"]
    assert 'href="/docs"' in client.get("/").text
