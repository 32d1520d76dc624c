"""What was: runs, their metrics and their events."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient

from app.factory import create_app
from app.settings import Settings
from bitlm.session.events import METRIC_COLUMNS

if TYPE_CHECKING:
    from tests.conftest import WaitUntil


@pytest.fixture
def run_id(client: FlaskClient, tiny_run: dict[str, Any]) -> str:
    """A run of twenty-four steps."""
    made = client.post("/init", json=tiny_run).json
    assert made is not None
    client.post("/train-step", json={"steps": 24})
    name: str = made["run_id"]
    return name


def answer(client: FlaskClient, path: str) -> dict[str, Any]:
    found = client.get(path)
    assert found.status_code == 200
    content: dict[str, Any] | None = found.json
    assert content is not None
    return content


def test_metrics_are_there_the_moment_a_step_is_answered(client: FlaskClient, run_id: str) -> None:
    metrics = answer(client, f"/runs/{run_id}/metrics")
    assert tuple(metrics["columns"]) == METRIC_COLUMNS
    assert metrics["columns"]["step"] == list(range(1, 25))
    assert metrics["cursor"] == 24


def test_metrics_go_on_from_a_cursor(client: FlaskClient, run_id: str) -> None:
    metrics = answer(client, f"/runs/{run_id}/metrics?since=21")
    assert metrics["columns"]["step"] == [22, 23, 24]
    nothing = answer(client, f"/runs/{run_id}/metrics?since=24")
    assert (nothing["columns"]["step"], nothing["cursor"]) == ([], 24)


def test_thinned_metrics_keep_both_ends_and_the_extremes(client: FlaskClient, run_id: str) -> None:
    full = answer(client, f"/runs/{run_id}/metrics")["columns"]["bits_per_byte"]
    thinned = answer(client, f"/runs/{run_id}/metrics?max_points=12")["columns"]
    assert len(thinned["step"]) < 24
    assert (thinned["step"][0], thinned["step"][-1]) == (1, 24)
    assert min(thinned["bits_per_byte"]) == min(full)
    assert max(thinned["bits_per_byte"]) == max(full)


def test_events_go_on_from_a_cursor(client: FlaskClient, run_id: str) -> None:
    first = answer(client, f"/runs/{run_id}/events")
    client.post("/config/telemetry", json={"lambda_K": 0.1})
    news = answer(client, f"/runs/{run_id}/events?since={first['cursor']}")
    assert "telemetry_changed" in [event["kind"] for event in news["events"]]
    assert answer(client, "/status")["events_cursor"] >= news["cursor"] > first["cursor"]


def test_the_list_of_runs_begins_with_the_newest(
    client: FlaskClient, run_id: str, tiny_run: dict[str, Any]
) -> None:
    made = client.post("/init", json=tiny_run | {"seed": 5}).json
    assert made is not None
    newest, oldest = answer(client, "/runs")["runs"]
    assert {newest["run_id"], oldest["run_id"]} == {made["run_id"], run_id}
    assert oldest["step"] + newest["step"] == 24
    assert [run["live"] for run in (newest, oldest) if run["run_id"] == made["run_id"]] == [True]
    assert answer(client, f"/runs/{run_id}")["live"] is False


def test_a_run_is_told_with_its_settings(client: FlaskClient, run_id: str) -> None:
    run = answer(client, f"/runs/{run_id}")
    assert run["config"]["num_layers"] == 2
    assert run["config"] == answer(client, "/status")["config"]
    assert run["parameters"] == answer(client, "/status")["parameters"]


def test_a_service_started_anew_shows_the_run_paused_at_its_last_checkpoint(
    client: FlaskClient, run_id: str, settings: Settings, wait_until: "WaitUntil"
) -> None:
    client.post("/train/stop")
    before = answer(client, "/status")
    client.application.extensions["bitlm"].close()
    second = create_app(settings)
    try:
        again = second.test_client()
        wait_until(lambda: answer(again, "/status")["state"] == "paused")
        after = answer(again, "/status")
    finally:
        second.extensions["bitlm"].close()
    for name in ("run_id", "step", "bytes_seen", "bits_per_byte", "telemetry", "config", "corpus"):
        assert after[name] == before[name]


def test_a_text_that_was_lost_is_told_and_does_not_keep_the_service_down(
    client: FlaskClient, run_id: str, settings: Settings, tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    client.post("/train/stop")
    client.application.extensions["bitlm"].close()
    for text in Path(settings.data_dir).glob("data/*"):
        text.write_text("another text")
    second = create_app(settings)
    try:
        again = second.test_client()
        wait_until(lambda: answer(again, "/status")["state"] == "failed")
        assert "POST /init makes a new one" in answer(again, "/status")["error"]
        assert again.post("/init", json=tiny_run).status_code == 201
        assert answer(again, "/status")["error"] is None
    finally:
        second.extensions["bitlm"].close()


def test_a_closed_service_is_not_healthy(client: FlaskClient) -> None:
    assert answer(client, "/healthz")["status"] == "ok"
    client.application.extensions["bitlm"].close()
    assert client.get("/healthz").status_code == 503
    refused = client.post("/infer", json={})
    assert refused.status_code == 503
    assert refused.json is not None
    assert "repeat the request once it runs again" in refused.json["detail"]
