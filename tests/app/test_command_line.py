"""The command line beside the service: both do the same under the same names, or it is said why not."""

import json
from dataclasses import asdict, fields
from inspect import getmembers, isclass
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from pydantic import BaseModel

from app.mcp.__main__ import AgentSettings
from app.settings import Settings
from app.web import queries, schemas
from bitlm.cli.named_settings import STANDS_FOR
from bitlm.cli.options import parsed
from bitlm.growth import GrowthSchedule
from bitlm.session import TelemetrySettings, preset
from bitlm.session.config import RunConfig
from tests.bitlm.cli.program import commands

COMMANDS = {
    "POST /init": {"train"},
    "POST /train-step": {"train"},
    "POST /train/start": {"train"},
    "POST /infer": {"generate", "denoise"},
    "POST /compress": {"compress"},
    "POST /decompress": {"decompress"},
    "POST /config/telemetry": {"fork", "twin"},
    "POST /config/alerts": {"train"},
    "POST /config/samples": {"train"},
    "POST /config/growth": {"train"},
    "POST /runs/<run_id>/fork": {"fork"},
    "POST /runs/<run_id>/rollback": {"rollback"},
    "POST /runs/<run_id>/twin": {"twin"},
    "POST /runs/<run_id>/replay": {"replay"},
    "POST /runs/<run_id>/distil": {"distil"},
    "POST /runs/<run_id>/rounding": {"rounding"},
    "PATCH /runs/<run_id>": {"runs rename", "runs tag", "runs archive"},
    "POST /runs/<run_id>/trash": {"runs trash"},
    "POST /runs/<run_id>/restore": {"runs restore"},
    "DELETE /runs/<run_id>": {"runs delete"},
    "PATCH /runs/<run_id>/checkpoints/<int:step>": {"checkpoints name"},
    "DELETE /runs/<run_id>/checkpoints/<int:step>": {"checkpoints delete"},
}
"""Routes that act, and the commands that do the same."""

WITHOUT_COMMAND = {
    "POST /estimate": "tells of a form while it is filled in; train tells by training",
    "POST /train/pause": "Ctrl-C ends train, and train --run goes on",
    "POST /train/stop": "the same",
    "POST /train/anneal": "train anneals over its second half",
    "POST /runs/<run_id>/open": "every command is told its run",
    "POST /runs/<run_id>/checkpoints": "a run trains in its process alone, which saves it at its end",
    "DELETE /runs/<run_id>/replay": "Ctrl-C",
    "DELETE /runs/<run_id>/distil": "Ctrl-C",
    "DELETE /runs/<run_id>/rounding": "Ctrl-C",
}

WITHOUT_JSON = {
    "serve": "becomes the service",
    "mcp": "becomes a server for agents",
    "completion": "prints a script for a shell",
}

OTHER_NAMES = {
    "checkpoint": "step",  # beside --steps
    "on-alert": "action",
    "sample-every": "every",
    "sample-prompt": "prompt",
    "student-steps": "steps",  # beside those of train
    "set": "settings",
}
"""Options by what REST calls the same, where their command has another of that name or is about more."""

OF_THE_PROGRAM = {
    *("json", "progress", "output", "force", "yes", "format"),  # what is printed or written, and asked
    *("run", "source", "all", "back"),  # which run, and who asks
    *("minutes", "auto-collapse"),  # how long train trains, and what becomes of the run
    *("until", "verify-random", "integrity-only", "with-text"),  # of replay, verify and capsule
    *("endpoint", "revision", "private"),  # of a hub
    *("shard-mb", "verify"),  # of packed texts
    *("strategy", "sharded-checkpoints"),  # of processes that torchrun starts
    *("samples", "frames", "adaptive"),  # how much of generate, calibrate, denoise and evaluate
}
"""Options that no setting and no route has."""


def names_of(module: ModuleType) -> set[str]:
    """Return the fields of all that a module of schemas has."""
    found = (one for _, one in getmembers(module, isclass) if issubclass(one, BaseModel))
    return {name for schema in found for name in schema.model_fields}


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every name that a setting or a field of a request has."""
    settings = {field.name for config in (*preset("tiny"), GrowthSchedule()) for field in fields(config)}
    models: tuple[type[BaseModel], ...] = (RunConfig, TelemetrySettings, Settings, AgentSettings)
    settings |= {name for model in models for name in model.model_fields}
    return settings | names_of(schemas) | names_of(queries)


def test_every_route_that_acts_has_a_command_or_a_reason(app: Flask) -> None:
    acting = {route.name for route in app.extensions["bitlm"].routes if route.method != "GET"}
    assert acting == COMMANDS.keys() | WITHOUT_COMMAND.keys()
    assert set().union(*COMMANDS.values()) <= dict(commands()).keys()


def test_whatever_prints_results_prints_them_as_json_too() -> None:
    options = {
        name: {option for one in command.params for option in one.opts} for name, command in commands()
    }
    assert {name for name, told in options.items() if "--json" not in told} == WITHOUT_JSON.keys()


def test_an_option_has_the_name_of_its_setting_or_field(known: set[str]) -> None:
    options = {
        option.removeprefix("--")
        for _, command in commands()
        for one in command.params
        for option in one.opts
        if option.startswith("--")
    }
    others = {option for option in options if option.replace("-", "_") not in known}
    assert others == (OTHER_NAMES.keys() | OF_THE_PROGRAM | STANDS_FOR.keys()) - {"qat"}
    assert set(OTHER_NAMES.values()) <= known


def test_train_can_be_given_every_setting_of_model_and_training() -> None:
    model, training = preset("tiny")
    every: dict[str, Any] = asdict(model) | asdict(training)
    assert preset("base", **parsed([f"{name}={json.dumps(value)}" for name, value in every.items()])) == (
        model, training,
    )  # fmt: skip
