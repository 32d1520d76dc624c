"""The route table is the whole of the service, and all of it is documented."""

from dataclasses import fields
from pathlib import Path

from flask import Flask

from app.web.routes import FILES, Route
from app.web.schemas import InitRequest
from bitlm.model import ModelConfig
from bitlm.training import TrainingConfig


def routes(app: Flask) -> tuple[Route, ...]:
    table: tuple[Route, ...] = app.extensions["bitlm"].routes
    return table


def test_every_rule_is_in_the_route_table_or_a_file(app: Flask) -> None:
    names = {route.name for route in routes(app)}
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == names | set(FILES)


def test_every_write_has_a_body_with_a_schema(app: Flask) -> None:
    assert [route.name for route in routes(app) if route.method == "POST" and route.body is None] == []


def test_every_route_is_documented_with_an_example(app: Flask) -> None:
    text = Path(__file__).parents[2].joinpath("docs", "api.md").read_text()
    missing = [route.name for route in routes(app) if f"## `{route.method} {route.path}`" not in text]
    assert missing == []


def test_a_run_can_be_given_every_setting_of_model_and_training() -> None:
    settings = {field.name for config in (ModelConfig, TrainingConfig) for field in fields(config)}
    assert set(InitRequest.model_fields) == settings | {"size", "corpus", "text", "text_name", "seed"}
