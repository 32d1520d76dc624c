"""A training in a terminal that is steered over REST, by a service which only watches it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.settings import Settings
from bitlm.history.replay import Replay
from bitlm.session import RunStore
from tests.app.rest import checked, get, post
from tests.conftest import DEADLINE_S, WaitUntil, service, training

PAGE = {"Origin": "http://127.0.0.1:5000"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path_factory.mktemp("data"))) as made:
        yield made


@pytest.fixture(scope="module")
def terminal(store: RunStore, corpus_file: Path) -> Iterator[subprocess.Popen[str]]:
    with training(store.data_dir, corpus_file) as begun:
        yield begun


@pytest.fixture(scope="module")
def app(terminal: subprocess.Popen[str], store: RunStore) -> Iterator[Flask]:
    with service(Settings(data_dir=store.data_dir, viewer=True, steer=True)) as made:
        yield made


@pytest.fixture(scope="module")
def run_id(app: Flask, wait_until: WaitUntil) -> str:
    def trained() -> str | None:
        status = get(app.test_client(), "/status")
        return status["run_id"] if status["watching"]["steers"] and status["state"] == "training" else None

    return str(wait_until(trained))


def sources(store: RunStore, run_id: str) -> dict[str, str]:
    """Who asked for what, by the kinds of the journal's events."""
    return {event.kind: event.source for event in store.all_events(run_id)}


def test_what_changes_a_run_is_answered_as_by_its_owner(
    client: FlaskClient, store: RunStore, run_id: str
) -> None:
    before = client.get("/config/telemetry")
    seen = {"If-Match": before.headers["ETag"]}
    changed = checked(client.post("/config/telemetry", json={"lambda_K": 0.25}, headers=PAGE | seen), 200)
    assert changed == before.get_json() | {"lambda_K": 0.25} == get(client, "/config/telemetry")
    late = checked(client.post("/config/telemetry", json={"lambda_K": 0.5}, headers=seen), 412)
    assert late["title"] == "Changed meanwhile"
    refused = post(client, "/config/telemetry", {"causal_share": 0.5}, 422)
    assert refused["detail"] == "causal_share=0.5: this run's objective is 'causal'; make one with 'mixed'."
    assert refused["errors"][0]["pointer"] == "/causal_share"
    schedule = {"every": 5, "max_new_bytes": 8}
    assert post(client, "/config/samples", {"schedule": schedule})["schedule"]["every"] == 5
    falls = post(client, "/train/anneal", {"steps": 1_000_000})
    assert falls["annealed_at"] > 1_000_000
    assert post(client, "/config/alerts", {"action": "anneal"}) == {"action": "anneal"}
    rule = {"improve_thresh": 0.02, "most_memory_mb": 8}
    assert post(client, "/config/growth", {"rule": rule}) == {"rule": rule} == get(client, "/config/growth")
    saved = post(client, f"/runs/{run_id}/checkpoints", {"name": "from here"}, 201)
    assert saved["name"] == "from here"
    assert store.checkpoints.at(run_id, saved["step"]).name == "from here"
    assert sources(store, run_id) | {
        "telemetry_changed": "ui",
        "alert_action_changed": "rest",
        "samples_scheduled": "rest",
        "growth_rule_changed": "rest",
        "anneal_started": "rest",
    } == sources(store, run_id)


def test_what_a_letter_cannot_say_is_refused_as_before(client: FlaskClient, run_id: str) -> None:
    asked: tuple[tuple[str, str], ...] = (
        ("POST", "/train/start"),
        ("POST", "/train/pause"),
        ("POST", "/init"),
        ("POST", "/infer"),
        ("PATCH", f"/runs/{run_id}"),
        ("PATCH", f"/runs/{run_id}/checkpoints/0"),
        ("GET", "/calibration"),
    )
    for method, path in asked:
        body: dict[str, Any] = {} if method == "GET" else {"json": {}}
        answer = client.open(path, method=method, **body)
        assert (answer.status_code, answer.get_json()["title"]) == (403, "This dashboard only watches"), path
    post(client, "/runs/no-such-run/checkpoints", code=404)


def test_a_wish_to_stop_ends_it_well_and_the_run_is_what_its_journal_says(
    client: FlaskClient, store: RunStore, terminal: subprocess.Popen[str], run_id: str
) -> None:
    stopped = checked(client.post("/train/stop", json={}, headers=PAGE), 200)
    assert (stopped["state"], stopped["watching"]["steers"]) == ("stopped", False)
    said, _ = terminal.communicate(timeout=DEADLINE_S)
    assert terminal.returncode == 0
    measured = json.loads(said.splitlines()[-1])
    assert 0 < measured["bits_per_byte"] < 8
    assert sources(store, run_id)["training_stopped"] == "ui"
    nobody = post(client, "/config/telemetry", {"lambda_K": 0.5}, 409)
    assert nobody["title"] == "Nobody trains the run"
    assert nobody["detail"].endswith(f"`bitlm train --run {run_id}` goes on with it.")
    named = next(one.step for one in store.checkpoints.of(run_id) if one.name == "from here")
    assert store.checkpoints.of(run_id)[0].step > named
    assert Replay(store, run_id).all(until=named).same
