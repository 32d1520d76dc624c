"""Smaller models, made and measured beside the live run, over REST."""

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from bitlm.model_file import load_model
from tests.app.rest import checked, get, post
from tests.conftest import JOB_DEADLINE_S, WaitUntil

QUICK = {"share": 0.8, "rounds": 1, "representatives": 1}


def ended(client: FlaskClient, run_id: str, wait_until: WaitUntil) -> dict[str, Any]:
    def report() -> dict[str, Any] | None:
        found = get(client, f"/runs/{run_id}/distil")
        return None if found["state"] == "running" else found

    outcome: dict[str, Any] = wait_until(report, JOB_DEADLINE_S)
    return outcome


def test_a_student_is_made_beside_the_live_run_cancelled_and_refused_where_there_can_be_none(
    client: FlaskClient, tiny_run: dict[str, Any], wait_until: WaitUntil
) -> None:
    run_id = post(client, "/init", tiny_run, code=201)["run_id"]
    post(client, "/train-step", {"steps": 2})
    post(client, "/train/pause")
    path = f"/runs/{run_id}/distil"
    get(client, path, code=409)
    refused = post(client, path, {"share": 0.01}, code=422)["errors"][0]
    assert refused["pointer"] == "/share"
    assert "use at least 0." in refused["detail"]
    assert post(client, path, {"share": 1.0}, code=422)["errors"][0]["field"] == "share"
    assert post(client, path, {"heads": 3}, code=422)["errors"][0]["pointer"] == "/heads"
    post(client, path, {"step": 99}, code=404)
    post(client, "/runs/no-such-run/distil", code=404)

    endless = post(client, path, {**QUICK, "steps": 1_000_000}, code=202)
    assert (endless["state"], endless["until"], endless["receipt"]) == ("running", 0, None)
    post(client, path, QUICK, code=409)
    wait_until(lambda: get(client, path)["steps"] > 0, JOB_DEADLINE_S)
    listed = get(client, "/runs")["runs"][0]["distillation"]
    assert (listed["rounds"], listed["until"]) == (1, 1_000_000)
    assert listed["bits_per_byte"] > 0
    cancelled = checked(client.delete(path), 200)
    assert cancelled["state"] == "cancelled"
    assert cancelled["steps"] > 0
    assert len(get(client, "/runs")["runs"]) == 1, "it leaves nothing behind"
    checked(client.delete(path), 409)

    post(client, path, {**QUICK, "step": 2, "steps": 2, "s_floor": 1.0, "heads": 1}, code=202)
    made = ended(client, run_id, wait_until)
    receipt = made["receipt"]
    assert (made["state"], made["step"], made["steps"], receipt["met"]) == ("done", 2, 2, False)
    assert receipt["s_floor"] == 1.0 > receipt["S"]
    assert receipt["heads"] == [2, 1]
    assert receipt["parameters"][1] <= 0.8 * receipt["parameters"][0]
    student = get(client, f"/runs/{made['student']}")
    assert student["origin"]["run_id"] == run_id
    assert student["origin"]["distillation"] == receipt
    begun = get(client, f"/runs/{made['student']}/events")["events"][0]
    assert (begun["kind"], begun["source"]) == ("run_forked", "rest")
    assert get(client, "/status")["run_id"] == run_id
    post(client, f"/runs/{made['student']}/open")


def test_what_fewer_bits_cost_is_measured_beside_the_live_run(
    client: FlaskClient, tiny_run: dict[str, Any], wait_until: WaitUntil, tmp_path: Path
) -> None:
    run_id = post(client, "/init", tiny_run, code=201)["run_id"]
    post(client, "/train-step", {"steps": 2})
    post(client, "/train/pause")
    path = f"/runs/{run_id}/rounding"
    get(client, path, code=409)
    post(client, path, {"step": 99}, code=404)
    assert post(client, path, code=202)["state"] == "running"
    post(client, path, code=409)
    wait_until(lambda: get(client, path)["state"] != "running", JOB_DEADLINE_S)
    report = get(client, path)
    assert (report["state"], report["step"], report["measured"]) == ("done", 2, 2)
    assert get(client, f"/runs/{run_id}")["rounding"] == report
    eight, four = report["files"]
    assert (eight["precision"], four["precision"]) == ("int8", "int4")
    assert four["bytes"] < eight["bytes"]
    assert 0 < four["share"] < eight["share"] < 1
    assert four["receipt"]["logit_difference"] > eight["receipt"]["logit_difference"] > 0
    assert eight["receipt"]["bits_per_byte"][0] == four["receipt"]["bits_per_byte"][0] > 0
    file = tmp_path / "model"
    file.write_bytes(client.get(f"/runs/{run_id}/model?weights=int4").data)
    assert file.stat().st_size == four["bytes"]
    receipt = load_model(file).receipt
    assert receipt is not None
    assert receipt.model_dump(mode="json") == four["receipt"]
    post(client, "/train-step", {"steps": 1})
    post(client, f"/runs/{run_id}/checkpoints", code=201)
    file.write_bytes(client.get(f"/runs/{run_id}/model?weights=int4").data)
    assert load_model(file).receipt is None, "another step's is none of it"

    learns_for_four = post(client, f"/runs/{run_id}/fork", {"settings": {"qat": True}}, code=201)["run_id"]
    post(client, "/train-step", {"steps": 1})
    post(client, "/train/pause")
    path = f"/runs/{learns_for_four}/rounding"
    post(client, path, code=202)
    wait_until(lambda: get(client, path)["state"] != "running", JOB_DEADLINE_S)
    for receipt in (file["receipt"] for file in get(client, path)["files"]):
        assert receipt["logit_difference"] == 0.0, "sixteen values of a group are among 256, too"
        assert receipt["bits_per_byte"][0] == receipt["bits_per_byte"][1] > 0
