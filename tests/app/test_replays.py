"""Doing a run again beside the live one, over REST."""

import sqlite3
from contextlib import closing
from typing import Any

from flask.testing import FlaskClient

from app.settings import Settings
from bitlm.session import RunStore
from tests.conftest import JOB_DEADLINE_S, WaitUntil


def ended(client: FlaskClient, run_id: str, wait_until: WaitUntil) -> dict[str, Any]:
    def report() -> dict[str, Any] | None:
        found = client.get(f"/runs/{run_id}/replay").json
        assert found is not None
        return None if found["state"] == "running" else found

    outcome: dict[str, Any] = wait_until(report, JOB_DEADLINE_S)
    return outcome


def test_a_replay_says_whether_every_bit_came_out_again(
    client: FlaskClient, tiny_run: dict[str, Any], settings: Settings, wait_until: WaitUntil
) -> None:
    run_id = client.post("/init", json=tiny_run).get_json()["run_id"]
    client.post("/config/telemetry", json={"lambda_K": 0.2})
    client.post("/train-step", json={"steps": 4})
    client.post("/train/pause")
    assert client.get(f"/runs/{run_id}/replay").status_code == 409
    begun = client.post(f"/runs/{run_id}/replay")
    assert begun.status_code == 202
    assert client.post(f"/runs/{run_id}/replay").status_code == 409
    same = ended(client, run_id, wait_until)
    assert (same["state"], same["step"], same["until"], same["detail"]) == ("same", 4, 4, "")
    assert same["checkpoints"] >= 2

    with closing(sqlite3.connect(settings.data_dir / RunStore.FILE_NAME)) as database, database:
        database.execute(
            "UPDATE events SET payload = json_set(payload, '$.weights_sha256', 'others') "
            "WHERE kind = 'checkpoint_saved' AND step = 4"
        )
    client.post(f"/runs/{run_id}/replay")
    different = ended(client, run_id, wait_until)
    assert (different["state"], different["first_difference"]) == ("different", 4)


def test_a_replay_is_cancelled_and_the_next_one_can_begin(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    run_id = client.post("/init", json=tiny_run).get_json()["run_id"]
    client.post("/train-step", json={"steps": 4})
    client.post("/train/pause")
    path = f"/runs/{run_id}/replay"
    assert client.delete(path).status_code == 409
    assert client.get(f"/runs/{run_id}").get_json()["replay"] is None
    client.post(path)
    assert client.get("/runs").get_json()["runs"][0]["replay"]["state"] == "running"
    cancelled = client.delete(path)
    assert (cancelled.status_code, cancelled.get_json()["state"]) == (200, "cancelled")
    assert client.get(path).json == cancelled.json
    assert client.delete(path).status_code == 409
    assert client.delete("/runs/no-such-run/replay").status_code == 404
    assert client.post(path).status_code == 202
    assert client.get(path).get_json()["state"] == "running"


def test_a_branch_that_has_nothing_to_compare_is_not_replayed(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    run_id = client.post("/init", json=tiny_run).get_json()["run_id"]
    branch = client.post(f"/runs/{run_id}/fork").get_json()["run_id"]
    refused = client.post(f"/runs/{branch}/replay")
    assert (refused.status_code, refused.get_json()["title"]) == (409, "The journal does not allow it")
    assert "train it on, save a checkpoint, then replay" in refused.get_json()["detail"]
    assert client.get(f"/runs/{branch}").get_json()["replay"] is None


def test_a_replay_that_cannot_be_done_says_why(
    client: FlaskClient, tiny_run: dict[str, Any], settings: Settings, wait_until: WaitUntil
) -> None:
    run_id = client.post("/init", json=tiny_run).get_json()["run_id"]
    for text in settings.data_dir.glob("data/*"):
        text.write_text("another text")
    assert client.post(f"/runs/{run_id}/replay").status_code == 202
    failed = ended(client, run_id, wait_until)
    assert failed["state"] == "failed"
    assert "is missing or was changed" in failed["detail"]
    assert client.post("/runs/no-such-run/replay").status_code == 404
