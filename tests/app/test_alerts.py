"""What alerts lead to, over REST."""

from typing import TYPE_CHECKING, Any

import pytest
import torch
from flask import Flask
from flask.testing import FlaskClient

from bitlm.session import Session
from bitlm.session.drift_monitor import DriftMonitor

if TYPE_CHECKING:
    from tests.conftest import WaitUntil

pytestmark = pytest.mark.filterwarnings("ignore::bitlm.errors.MetricDriftWarning")


@pytest.fixture
def session(app: Flask, client: FlaskClient, tiny_run: dict[str, Any]) -> Session:
    """A run of 12 steps that has just lost what it had learned, which the next few steps show."""
    assert client.post("/init", json=tiny_run).status_code == 201
    live: Session = app.extensions["bitlm"].manager._worker._live.session
    live._drift = DriftMonitor(window=4)
    client.post("/train-step", json={"steps": 12})
    with torch.no_grad():
        for weights in live.model.parameters():
            weights.neg_()
    return live


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(path).json  # type: ignore[assignment] # every answer has JSON
    return answer


def kinds(client: FlaskClient, run_id: str) -> list[str]:
    return [event["kind"] for event in get(client, f"/runs/{run_id}/events")["events"]]


def test_what_an_alert_leads_to_is_read_and_changed(client: FlaskClient, session: Session) -> None:
    assert get(client, "/config/alerts") == {"action": "notify"}
    assert client.post("/config/alerts", json={"action": "pause"}).json == {"action": "pause"}
    assert client.post("/config/alerts", json={"action": "pause"}).json == {"action": "pause"}
    assert get(client, "/status")["alert_action"] == "pause"
    assert kinds(client, session.run_id).count("alert_action_changed") == 1
    refused = client.post("/config/alerts", json={"action": "shout"})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "action")  # type: ignore[index] # a problem


def test_an_alert_pauses_training_and_says_why(
    client: FlaskClient, session: Session, wait_until: "WaitUntil"
) -> None:
    client.post("/config/alerts", json={"action": "pause"})
    client.post("/train/start")
    wait_until(lambda: get(client, "/status")["state"] == "paused")
    events = get(client, f"/runs/{session.run_id}/events")["events"]
    alert = [event for event in events if event["kind"] == "drift_alert"][-1]
    paused = next(event for event in events if event["kind"] == "training_paused")
    assert paused["step"] == alert["step"] == get(client, "/status")["step"]
    assert paused["payload"]["reason"] == "drift alert of K"


def test_steps_that_were_asked_for_end_at_an_alert_that_pauses(client: FlaskClient, session: Session) -> None:
    client.post("/config/alerts", json={"action": "pause"})
    done = client.post("/train-step", json={"steps": 200}).json
    assert done is not None
    assert 12 < done["step"] < 60
    assert get(client, "/status")["state"] == "paused"
    assert "steps_ended" in kinds(client, session.run_id)


def test_an_alert_rolls_training_back_and_the_branch_trains_on(
    client: FlaskClient, session: Session, wait_until: "WaitUntil"
) -> None:
    client.post("/config/alerts", json={"action": "rollback"})
    client.post("/train/start")
    wait_until(lambda: get(client, "/status")["run_id"] != session.run_id)
    wait_until(lambda: get(client, "/status")["step"] >= 2)
    status = get(client, "/status")
    assert status["config"]["learning_rate"] == session.config.training.learning_rate / 2
    assert status["alert_action"] == "pause"
    assert get(client, f"/runs/{status['run_id']}")["origin"]["run_id"] == session.run_id
    assert "training_started" in kinds(client, status["run_id"])
    client.post("/train/pause")


@pytest.mark.parametrize("action", ["notify", "rollback"])
def test_a_run_that_halted_is_rolled_back_by_itself_or_when_asked(
    client: FlaskClient, session: Session, wait_until: "WaitUntil", action: str
) -> None:
    client.post("/config/alerts", json={"action": action})
    with torch.no_grad():
        next(session.model.parameters()).fill_(float("nan"))
    assert client.post("/train-step", json={}).status_code == 409
    if action == "notify":
        assert get(client, "/status")["state"] == "halted"
        assert client.post(f"/runs/{session.run_id}/rollback", json={}).status_code == 201
    wait_until(lambda: get(client, "/status")["run_id"] != session.run_id)
    wait_until(lambda: get(client, "/status")["state"] == "ready")
    assert get(client, "/status")["config"]["learning_rate"] == session.config.training.learning_rate / 2
