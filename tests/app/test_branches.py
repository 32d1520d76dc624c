"""Forks, twins, other runs and their names, over REST."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient

from bitlm.history.replay import Replay
from tests.app.rest import changes, checked, get, post, steered_run

if TYPE_CHECKING:
    from tests.conftest import WaitUntil


def losses(client: FlaskClient, run_id: str) -> list[float]:
    column: list[float] = get(client, f"/runs/{run_id}/metrics")["columns"]["loss"]
    return column


@pytest.fixture
def run_id(client: FlaskClient, corpus_file: Path) -> str:
    return steered_run(client, corpus_file)


def test_a_twin_trains_by_itself_to_where_the_original_is_and_pauses(
    client: FlaskClient, run_id: str, wait_until: "WaitUntil"
) -> None:
    made = post(
        client, f"/runs/{run_id}/twin", {"event_id": changes(client, run_id)[0]["event_id"]}, code=201
    )
    twin = wait_until(lambda: _paused(client))
    assert (twin["run_id"], twin["step"], twin["until"]) == (made["run_id"], 14, 14)
    ours, theirs = losses(client, run_id), losses(client, made["run_id"])
    assert ours[:5] == theirs[:5]
    assert all(a != b for a, b in zip(ours[5:], theirs[5:], strict=True))
    found = get(client, f"/compare?runs={run_id},{made['run_id']}")
    assert (found["first_difference"], found["compared_steps"]) == (6, 14)
    assert [row["values"][1] for row in found["journal"]] == [None]
    apart = get(client, f"/runs/{made['run_id']}/difference?other={run_id}&max_points=7")
    assert apart["training"]["step"] == [2, 4, 6, 8, 10, 12, 14]
    assert [value == 0.0 for value in apart["training"]["mean"]] == [
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]
    get(client, f"/runs/{run_id}/difference?other=no-such-run", code=404)
    assert post(client, "/train-step", {"steps": 1})["step"] == 15, "from there on it is a run like others"


def test_undo_makes_the_run_of_before_the_change(
    client: FlaskClient, run_id: str, wait_until: "WaitUntil"
) -> None:
    event_id = changes(client, run_id)[1]["event_id"]
    post(client, f"/runs/{run_id}/twin", {"event_id": event_id, "undo": True}, code=201)
    undone = wait_until(lambda: _paused(client))
    assert (undone["step"], undone["telemetry"]["lambda_K"]) == (9, 0.4)
    assert losses(client, undone["run_id"]) == losses(client, run_id)[:9]


def test_a_fork_begins_at_its_checkpoint_with_other_settings(client: FlaskClient, run_id: str) -> None:
    body = {"step": 6, "settings": {"learning_rate": 1e-3}, "telemetry": {"c_floor": 0.9}}
    made = post(client, f"/runs/{run_id}/fork", body, code=201)
    assert (made["step"], made["config"]["learning_rate"]) == (6, 1e-3)
    status = get(client, "/status")
    assert (status["state"], status["step"], status["telemetry"]["c_floor"]) == ("ready", 6, 0.9)
    origin = get(client, f"/runs/{made['run_id']}")["origin"]
    assert (origin["run_id"], origin["step"]) == (run_id, 6)


def test_a_fork_has_a_larger_model_and_its_origin_the_receipt(client: FlaskClient, run_id: str) -> None:
    before = get(client, f"/runs/{run_id}")
    post(client, f"/runs/{run_id}/fork", {"grow": "sideways"}, code=422)
    made = post(client, f"/runs/{run_id}/fork", {"grow": "layer"}, code=201)
    assert made["config"]["num_layers"] == before["config"]["num_layers"] + 1
    after = get(client, f"/runs/{made['run_id']}")
    growth = after["origin"]["growth"]
    assert (growth["by"], growth["logit_difference"]) == ("layer", 0.0)
    assert growth["parameters"] == [before["parameters"], after["parameters"]]
    assert after["parameters"] == made["parameters"] > before["parameters"]
    post(client, "/train-step", {"steps": 2})
    assert get(client, "/status")["step"] == made["step"] + 2


def test_another_run_is_opened_where_it_was(
    client: FlaskClient, run_id: str, tiny_run: dict[str, Any]
) -> None:
    second = post(client, "/init", tiny_run, code=201)["run_id"]
    opened = post(client, f"/runs/{run_id}/open")
    assert (opened["run_id"], opened["state"], opened["step"]) == (run_id, "paused", 14)
    assert opened["telemetry"]["lambda_K"] == 0.1
    assert get(client, f"/runs/{second}")["live"] is False
    post(client, "/train/start")
    assert "POST /train/pause first" in post(client, f"/runs/{second}/open", code=409)["detail"]
    post(client, "/train/pause")
    post(client, "/runs/no-such-run/open", code=404)


def test_a_run_is_named_tagged_and_archived_one_at_a_time(client: FlaskClient, run_id: str) -> None:
    path = f"/runs/{run_id}"
    checked(client.patch(path, json={"name": "sharper"}), 200)
    checked(client.patch(path, json={"tags": ["lambda", "keep"]}), 200)
    summary = checked(client.patch(path, json={"archived": True}), 200)
    assert (summary["name"], summary["tags"], summary["archived"]) == ("sharper", ["lambda", "keep"], True)
    assert get(client, "/status")["name"] == "sharper"
    assert checked(client.patch(path, json={"name": None}), 200)["name"] is None
    checked(client.patch(path, json={"name": ""}), 422)


def test_a_run_is_deleted_only_by_who_repeats_its_name(client: FlaskClient, run_id: str) -> None:
    path = f"/runs/{run_id}"
    assert run_id in checked(client.delete(path, json={"confirm": "yes"}), 422)["detail"]
    post(client, "/train/start")
    checked(client.delete(path, json={"confirm": run_id}), 409)
    post(client, "/train/pause")
    checked(client.delete(path, json={"confirm": run_id}), 200)
    get(client, path, code=404)
    assert get(client, "/status")["state"] == "empty"
    store = client.application.extensions["bitlm"].store
    assert not store.run_dir(run_id).exists()


def test_checkpoints_are_saved_named_listed_and_deleted(client: FlaskClient, run_id: str) -> None:
    path = f"/runs/{run_id}/checkpoints"
    saved = post(client, path, {"name": "before the fork"}, code=201)
    assert (saved["step"], saved["name"], saved["state"]) == (14, "before the fork", "good")
    assert [one["step"] for one in get(client, path)["checkpoints"]] == [14, 12, 6, 0]
    renamed = checked(client.patch(f"{path}/6", json={"name": "early"}), 200)
    assert renamed["name"] == "early"
    left = checked(client.delete(f"{path}/12", json={}), 200)["checkpoints"]
    assert [one["step"] for one in left] == [14, 6, 0]
    checked(client.delete(f"{path}/12", json={}), 404)
    assert checked(client.patch(f"{path}/6", json={}), 200)["name"] == "early", "nothing was said of it"
    assert checked(client.patch(f"{path}/6", json={"name": None}), 200)["name"] is None
    events = get(client, f"/runs/{run_id}/events")["events"]
    assert [e["payload"] for e in events if e["kind"] == "checkpoint_deleted"] == [{"step": 12}]


def test_a_step_is_saved_once(client: FlaskClient, run_id: str) -> None:
    path = f"/runs/{run_id}/checkpoints"
    post(client, "/train-step", {"steps": 4})
    post(client, path, {"name": "by hand"}, code=201)
    post(client, path, code=201)
    post(client, "/train/stop")
    post(client, f"/runs/{run_id}/fork", {"step": 18}, code=201)
    assert [one["step"] for one in get(client, path)["checkpoints"]].count(18) == 1


def test_a_checkpoint_asked_for_without_a_name_is_kept_as_well(client: FlaskClient, run_id: str) -> None:
    path = f"/runs/{run_id}/checkpoints"
    post(client, "/train-step", {"steps": 1})
    assert post(client, path, code=201)["name"] == "saved by hand"
    assert [(e["step"], e["name"]) for e in get(client, path)["checkpoints"] if e["name"]] == [
        (15, "saved by hand")
    ]
    for _ in range(4):
        post(client, "/train-step", {"steps": 6})
    steps = [one["step"] for one in get(client, path)["checkpoints"]]
    assert 15 in steps
    assert 12 not in steps, "those that nobody asked for make room"


def test_a_capsule_without_its_text_is_a_problem_and_no_half_file(client: FlaskClient, run_id: str) -> None:
    store = client.application.extensions["bitlm"].store
    for text in (store.data_dir / "data").iterdir():
        text.unlink()
    assert "restore it" in get(client, f"/runs/{run_id}/export/capsule", code=422)["detail"]


def test_the_first_checkpoint_of_a_branch_cannot_be_deleted(client: FlaskClient, run_id: str) -> None:
    branch = post(client, f"/runs/{run_id}/fork", {"step": 6}, code=201)["run_id"]
    answer = checked(client.delete(f"/runs/{branch}/checkpoints/6", json={}), 409)
    assert "delete the run instead" in answer["detail"]


def test_what_a_page_did_is_replayed_to_the_same_hashes(client: FlaskClient, run_id: str) -> None:
    """Sliders, a pause, an anneal, a text of one's own and a fork, as a page sends them."""
    page = {"Origin": "http://127.0.0.1:5000"}
    for value in (0.2, 0.3, 0.0):
        client.post("/config/telemetry", json={"lambda_K": value}, headers=page)
        client.post("/train-step", json={"steps": 2}, headers=page)
    client.post("/train/pause", json={}, headers=page)
    client.post("/train-step", json={"steps": 2, "text": "a text of one's own " * 9}, headers=page)
    client.post("/train/anneal", json={"steps": 4}, headers=page)
    client.post("/train-step", json={"steps": 5}, headers=page)
    post(client, f"/runs/{run_id}/checkpoints", code=201)
    branch = post(client, f"/runs/{run_id}/fork", {}, code=201)["run_id"]
    post(client, "/train-step", {"steps": 3})
    post(client, f"/runs/{branch}/checkpoints", code=201)
    store = client.application.extensions["bitlm"].store
    for run, saved in ((run_id, 6), (branch, 2)):
        again = Replay(store, run).all()
        assert again.same
        assert len(again.comparisons) >= saved - 1


def _paused(client: FlaskClient) -> dict[str, Any] | None:
    status = get(client, "/status")
    return status if status["state"] == "paused" else None
