"""Samples along training, over REST."""

from typing import Any

import pytest
from flask.testing import FlaskClient

SCHEDULE = {"every": 2, "prompt": "The ", "max_new_bytes": 16, "temperature": 0.5, "top_p": 1.0, "seed": 3}


@pytest.fixture(autouse=True)
def run(client: FlaskClient, tiny_run: dict[str, Any]) -> str:
    made = client.post("/init", json=tiny_run | {"telemetry_budget": 1.0}).json
    assert made is not None
    return str(made["run_id"])


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(path).json  # type: ignore[assignment] # every answer has JSON
    return answer


def test_samples_are_scheduled_drawn_and_read_from_a_cursor(client: FlaskClient, run: str) -> None:
    assert get(client, "/config/samples") == {"schedule": None}
    assert get(client, "/status")["samples_cursor"] == -1
    assert client.post("/config/samples", json={"schedule": SCHEDULE}).json == {"schedule": SCHEDULE}
    client.post("/train-step", json={"steps": 5})
    status = get(client, "/status")
    assert (status["sample_schedule"], status["samples_cursor"]) == (SCHEDULE, 4)
    answer = get(client, f"/runs/{run}/samples")
    assert [sample["step"] for sample in answer["samples"]] == [1, 2, 4]
    assert answer["cursor"] == 4
    assert all(sample["schedule"] == SCHEDULE for sample in answer["samples"])
    assert [sample["step"] for sample in get(client, f"/runs/{run}/samples?since=2")["samples"]] == [4]
    assert client.post("/config/samples", json={"schedule": None}).json == {"schedule": None}
    client.post("/train-step", json={"steps": 4})
    assert get(client, f"/runs/{run}/samples?since=4") == {"run_id": run, "samples": [], "cursor": 4}


def test_a_schedule_is_an_entry_of_the_journal_each_time_it_changes(client: FlaskClient, run: str) -> None:
    for schedule in (SCHEDULE, SCHEDULE, {"every": 5}, None, None):
        client.post("/config/samples", json={"schedule": schedule})
    entries = get(client, f"/runs/{run}/journal")["entries"]
    assert [entry["kind"] for entry in entries] == ["samples_scheduled"] * 3
    assert entries[0]["payload"] == {"old": None, "new": SCHEDULE}


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"every": 0}, "schedule.every"),
        ({"every": 10, "seed": True}, "schedule.seed"),
        ({"every": 10, "temperature": False}, "schedule.temperature"),
        ({}, "schedule.every"),
    ],
)
def test_a_wrong_schedule_names_its_field(client: FlaskClient, schedule: dict[str, Any], field: str) -> None:
    refused = client.post("/config/samples", json={"schedule": schedule})
    assert refused.status_code == 422
    assert refused.json is not None
    assert refused.json["errors"][0]["field"] == field


def test_samples_of_a_run_that_is_not_there_are_404(client: FlaskClient) -> None:
    assert client.get("/runs/nowhere/samples").status_code == 404
