"""What the service says and takes while it computes a killed run up to where it was."""

import json
import os
from typing import TYPE_CHECKING, Any

from tests.app.test_disk import call

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from app.settings import Settings
    from tests.conftest import Serve, WaitUntil

STEPS = 300
"""Enough that computing them again takes a second or more."""


OTHERWISE = {"state", "resuming", "events_cursor", "baselines"}
"""What a status says otherwise once the run is taken up: that is an event, and baselines may be computed."""


def test_while_a_run_is_computed_again_its_settings_are_shown_and_requests_are_refused(
    serve: "Serve", tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    first = serve(BITLM_CHECKPOINT_INTERVAL_S="3600")
    call(first, "/init", {**tiny_run, "checkpoint_interval": 1_000_000})
    call(first, "/config/telemetry", {"lambda_K": 0.4})
    last = call(first, "/train-step", {"steps": STEPS})[1]["step"]
    call(first, "/config/alerts", {"action": "pause"})
    call(first, "/config/samples", {"schedule": {"every": 7}})
    call(first, "/config/growth", {"rule": {"most_memory_mb": 9}})
    call(first, "/train/anneal", {"steps": 50})
    first.kill()
    second = serve(first.data_dir)
    resuming = wait_until(lambda: _resuming(call(second, "/status")[1]))
    code, problem = call(second, "/train/start", {})
    assert (code, call(second, "/readyz")[0], call(second, "/healthz")[0]) == (503, 503, 200)
    assert "computed up to where it was" in problem["detail"]
    assert resuming["telemetry"]["lambda_K"] == 0.4
    assert resuming["resuming"]["until"] == last == STEPS
    done = wait_until(lambda: _paused(call(second, "/status")[1]))
    assert (done["step"], done["telemetry"]["lambda_K"], done["resuming"]) == (STEPS, 0.4, None)
    assert (done["annealed_at"], done["alert_action"]) == (STEPS + 50, "pause")
    assert (done["sample_schedule"]["every"], done["growth_rule"]["most_memory_mb"]) == (7, 9)
    assert {name for name in done if resuming[name] != done[name]} <= OTHERWISE
    assert call(second, "/train/start", {})[0] == 200
    told = wait_until(lambda: second.said.read_text().splitlines()[1:])
    assert f"run {done['run_id']} is being taken up, to step {STEPS}." in second.said.read_text()
    assert f"BitLM is ready: {second.url}  (run {done['run_id']} at step {STEPS}, taken up in " in told[0]


def test_a_run_that_another_service_has_is_a_warning_and_no_stack_trace(
    ready: "FlaskClient", settings: "Settings", serve: "Serve", wait_until: "WaitUntil"
) -> None:
    second = serve(settings.data_dir)
    status = wait_until(lambda: _failed(call(second, "/status")[1]))
    assert "is open in another process" in status["error"]
    wait_until(lambda: "But the last run could not be opened again" in second.said.read_text())
    (line,) = [json.loads(line) for line in second.log.read_text().splitlines()]
    assert (line["event"], line["level"]) == ("reopening_refused", "warning")
    assert "exception" not in line
    run_id = call(second, "/runs")[1]["runs"][0]["run_id"]
    code, problem = call(second, f"/runs/{run_id}/open", {})
    assert (code, f"(process {os.getpid()}); end it there" in problem["detail"]) == (409, True)


def _failed(status: dict[str, Any]) -> dict[str, Any] | None:
    return status if status["state"] == "failed" else None


def _resuming(status: dict[str, Any]) -> dict[str, Any] | None:
    return status if status["state"] == "resuming" else None


def _paused(status: dict[str, Any]) -> dict[str, Any] | None:
    return status if status["state"] == "paused" else None
