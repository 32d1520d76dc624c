"""A live run that goes on as a larger one by itself, over REST."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.settings import Settings
from bitlm.growth import training_memory
from tests.app.rest import get, post
from tests.conftest import WaitUntil, service

ALWAYS = {"improve_thresh": 9.0, "most_memory_mb": 64}


def events(client: FlaskClient, run_id: str, kind: str) -> list[dict[str, Any]]:
    found = get(client, f"/runs/{run_id}/events")["events"]
    return [event for event in found if event["kind"] == kind]


def grown_from(client: FlaskClient, run_id: str) -> tuple[str, dict[str, Any]]:
    """Return the run that a run has grown to, and the receipt."""
    runs = get(client, "/runs")["runs"]
    larger = next(run for run in runs if run["origin"] and run["origin"]["run_id"] == run_id)
    return larger["run_id"], larger["origin"]["growth"]


def test_a_run_that_stalls_goes_on_as_a_larger_one_even_after_a_restart(
    settings: Settings, tiny_run: dict[str, Any], wait_until: WaitUntil
) -> None:
    with service(settings) as app:
        client = app.test_client()
        first = post(client, "/init", tiny_run | {"validation_interval": 1}, 201)["run_id"]
        assert get(client, "/config/growth") == {"rule": None}
        assert post(client, "/config/growth", {"rule": {"improve_thresh": 9}}) == {"rule": ALWAYS}
        assert post(client, "/config/growth", {"rule": ALWAYS}) == {"rule": ALWAYS}
        post(client, "/train-step", {"steps": 7})
        assert get(client, "/status")["run_id"] == first, "steps that were asked for are done in the run"
    with service(settings) as app:
        client = app.test_client()
        assert wait_until(lambda: get(client, "/status")["state"] == "paused")
        assert get(client, "/status")["growth_rule"] == ALWAYS
        post(client, "/train/start")
        assert wait_until(lambda: get(client, "/status")["run_id"] != first)
        post(client, "/config/growth", {"rule": None})
        status = wait_until(lambda: (now := get(client, "/status"))["state"] == "training" and now)
        post(client, "/train/pause")
        assert status["growth_rule"] is None
        larger, receipt = grown_from(client, first)
        assert (receipt["by"], receipt["logit_difference"]) == ("layer", 0.0)
        for kind in ("run_forked", "training_started"):
            assert events(client, larger, kind)[0]["source"] == "session"
        why = events(client, first, "training_paused")[-1]["payload"]["reason"]
        assert why == "held-out text hardly improves any more, so a layer more"
        told = events(client, first, "growth_rule_changed")
        assert [event["payload"] for event in told] == [{"old": None, "new": ALWAYS}]


def test_a_growth_that_memory_has_no_room_for_is_told_and_the_run_trains_on(
    app: Flask, client: FlaskClient, tiny_run: dict[str, Any], wait_until: WaitUntil
) -> None:
    run_id = post(client, "/init", tiny_run | {"validation_interval": 1}, 201)["run_id"]
    worker = app.extensions["bitlm"].manager._worker
    needed = training_memory(worker._live.session.config.model).total
    worker._desk._opening._free_bytes = lambda: needed
    post(client, "/config/growth", {"rule": ALWAYS})
    post(client, "/train/start")
    assert wait_until(lambda: get(client, "/config/growth")["rule"] is None)
    step = get(client, "/status")["step"]
    assert wait_until(lambda: get(client, "/status")["step"] > step), "it trains on"
    status = post(client, "/train/pause")
    assert (status["run_id"], status["error"]) == (run_id, None)
    told = events(client, run_id, "growth_rule_changed")[-1]
    assert (told["source"], told["payload"]["new"]) == ("session", None)
    assert f"; {needed:,} are free" in told["payload"]["reason"]
    assert [run["run_id"] for run in get(client, "/runs")["runs"]] == [run_id]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"improve_thresh": -1}, "rule.improve_thresh"),
        ({"most_memory_mb": 0}, "rule.most_memory_mb"),
        ({"most_memory_mb": 1.5}, "rule.most_memory_mb"),
    ],
)
def test_a_wrong_rule_names_its_field(client: FlaskClient, rule: dict[str, Any], field: str) -> None:
    assert post(client, "/config/growth", {"rule": rule}, 422)["errors"][0]["field"] == field
