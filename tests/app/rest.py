"""What tests ask of a service over REST, and a run to ask it of."""

from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from tests.conftest import TINY


def get(client: FlaskClient, path: str, code: int = 200) -> dict[str, Any]:
    return checked(client.get(path), code)


def post(
    client: FlaskClient, path: str, body: dict[str, Any] | None = None, code: int = 200
) -> dict[str, Any]:
    return checked(client.post(path, json=body or {}), code)


def checked(answer: Any, code: int) -> dict[str, Any]:
    assert answer.status_code == code, answer.data
    content: dict[str, Any] = answer.json
    return content


def steered_run(client: FlaskClient, corpus: Path) -> str:
    """Make a run of 14 steps, steered from a page at steps 4 and 9."""
    settings = {**TINY, "corpus": str(corpus), "checkpoint_interval": 6}
    made = post(client, "/init", settings, code=201)["run_id"]
    post(client, "/train-step", {"steps": 4})
    page = {"Origin": "http://127.0.0.1:5000"}
    client.post("/config/telemetry", json={"lambda_K": 0.4}, headers=page)
    post(client, "/train-step", {"steps": 5})
    client.post("/config/telemetry", json={"lambda_K": 0.1, "c_floor": 0.2}, headers=page)
    post(client, "/train-step", {"steps": 5})
    return str(made)


def changes(client: FlaskClient, run_id: str) -> list[dict[str, Any]]:
    entries = get(client, f"/runs/{run_id}/journal")["entries"]
    return [entry for entry in entries if entry["kind"] == "telemetry_changed"]
