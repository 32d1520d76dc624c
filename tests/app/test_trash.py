"""Throwing a run away, and taking it back."""

from typing import Any

from flask.testing import FlaskClient

from app.factory import create_app
from app.settings import Settings
from tests.conftest import WaitUntil


def runs_of(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"/runs{query}").json
    assert answer is not None
    return [run["run_id"] for run in answer["runs"]]


def make(client: FlaskClient, settings: dict[str, Any]) -> str:
    made = client.post("/init", json=settings).json
    assert made is not None
    run_id: str = made["run_id"]
    return run_id


def test_a_run_in_the_trash_is_in_no_list_but_that_of_the_trash_and_comes_back_whole(
    client: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    run_id = make(client, tiny_run)
    client.post("/train-step", json={"steps": 3})
    trashed = client.post(f"/runs/{run_id}/trash").json
    assert trashed is not None
    assert trashed["trashed_at"] > trashed["created_at"]
    assert trashed["live"] is False
    assert client.get("/status").json["state"] == "empty"  # type: ignore[index] # JSON by now
    assert (runs_of(client), runs_of(client, "?trashed=true")) == ([], [run_id])
    refused = client.post(f"/runs/{run_id}/open")
    assert refused.status_code == 409
    assert "restore it first" in refused.json["detail"]  # type: ignore[index] # the same
    restored = client.post(f"/runs/{run_id}/restore").json
    assert restored is not None
    assert restored["trashed_at"] is None
    assert (runs_of(client), runs_of(client, "?trashed=true")) == ([run_id], [])
    opened = client.post(f"/runs/{run_id}/open").json
    assert opened is not None
    assert opened["step"] == 3


def test_a_run_in_training_is_not_thrown_away(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    run_id = make(client, tiny_run)
    client.post("/train/start")
    refused = client.post(f"/runs/{run_id}/trash")
    client.post("/train/pause")
    assert refused.status_code == 409
    assert runs_of(client) == [run_id]
    assert client.post("/runs/no-such-run/trash").status_code == 404
    assert client.post("/runs/no-such-run/restore").status_code == 404


def test_the_trash_survives_a_service_and_is_not_taken_up(
    client: FlaskClient, tiny_run: dict[str, Any], settings: Settings, wait_until: WaitUntil
) -> None:
    first = make(client, tiny_run)
    second = make(client, tiny_run | {"seed": 5})
    client.post(f"/runs/{second}/trash")
    client.application.extensions["bitlm"].close()
    anew = create_app(settings)
    try:
        again = anew.test_client()
        wait_until(lambda: again.get("/status").json["state"] == "paused")  # type: ignore[index] # JSON by now
        assert again.get("/status").json["run_id"] == first  # type: ignore[index] # the same
        assert runs_of(again, "?trashed=true") == [second]
        assert again.delete(f"/runs/{second}", json={"confirm": second}).status_code == 200
        assert runs_of(again, "?trashed=true") == []
    finally:
        anew.extensions["bitlm"].close()
