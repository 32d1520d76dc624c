"""What is asked of a run and leaves it as it is, over REST; all of one run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.factory import create_app
from app.settings import Settings
from tests.app.rest import changes, get, post, steered_run


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """The service in this process."""
    service = create_app(Settings(data_dir=tmp_path_factory.mktemp("data"), torch_threads=1))
    yield service.test_client()
    service.extensions["bitlm"].close()


@pytest.fixture(scope="module")
def run_id(client: FlaskClient, corpus_file: Path) -> str:
    return steered_run(client, corpus_file)


def test_the_journal_says_who_when_at_which_step_and_what(client: FlaskClient, run_id: str) -> None:
    first, second = changes(client, run_id)
    assert (first["step"], first["source"]) == (4, "ui")
    assert second["payload"]["changes"] == [
        {"field": "lambda_K", "old": 0.4, "new": 0.1},
        {"field": "c_floor", "old": 0.3, "new": 0.2},
    ]
    asked = [e for e in get(client, f"/runs/{run_id}/journal")["entries"] if e["kind"] == "steps_requested"]
    assert [(e["step"], e["payload"]["steps"], e["source"]) for e in asked[:3]] == [
        (0, 4, "rest"), (4, 5, "rest"), (9, 5, "rest"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        ({"lambda_C": -0.3}, "-0.3: use a number from 0 to 1"),
        ({"lambda_K": 7}, "use a number from 0 to 1"),
        ({}, "name one of"),
        ({"steps": 3}, "there is no such setting; there are lambda_K"),
    ],
)
def test_a_twin_with_something_impossible_instead_is_refused(
    client: FlaskClient, run_id: str, instead: dict[str, Any], sentence: str
) -> None:
    body = {"event_id": changes(client, run_id)[0]["event_id"], "instead": instead}
    assert sentence in post(client, f"/runs/{run_id}/twin", body, code=422)["detail"]
    assert len(get(client, "/runs")["runs"]) == 1


def test_steps_on_the_runs_own_text_cannot_be_left_out(client: FlaskClient, run_id: str) -> None:
    entries = get(client, f"/runs/{run_id}/journal")["entries"]
    asked = next(entry for entry in entries if entry["kind"] == "steps_requested")
    body = {"event_id": asked["event_id"]}
    assert "the same steps" in post(client, f"/runs/{run_id}/twin", body, code=409)["detail"]


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ({"step": 5}, 404, "no checkpoint of step 5"),
        ({"settings": {"seed": -1}}, 422, "seed=-1: use a whole number from 0"),
        ({"settings": {"lambda_K": 0.2}}, 422, "give it as telemetry"),
        ({"telemetry": {"lambda_C": -0.2}}, 422, "-0.2: use a number from 0 to 1"),
        ({"settings": {"num_layers": 9}}, 422, "a fork can change"),
        ({"telemetry": {"lambda_K": 3.0}}, 422, "use a number from 0 to 1"),
        ({"at": 3}, 422, "there is no field of this name"),
    ],
)
def test_a_wrong_fork_is_refused_and_the_run_stays_live(
    client: FlaskClient, run_id: str, body: dict[str, Any], code: int, sentence: str
) -> None:
    assert sentence in post(client, f"/runs/{run_id}/fork", body, code=code)["detail"]
    status = get(client, "/status")
    assert status["run_id"] == run_id
    assert len(get(client, "/runs")["runs"]) == 1
    assert post(client, "/train-step", {"steps": 1})["step"] == status["step"] + 1


@pytest.mark.parametrize("name", ["csv", "jsonl", "report", "capsule"])
def test_a_run_is_handed_over_as_a_file(client: FlaskClient, run_id: str, name: str) -> None:
    client.patch(f"/runs/{run_id}", json={"name": None})
    answer = client.get(f"/runs/{run_id}/export/{name}")
    assert answer.status_code == 200
    ending = {"report": "html", "capsule": "capsule.zip"}.get(name, name)
    assert f'attachment; filename="{run_id}.{ending}"' in answer.headers["Content-Disposition"]
    client.patch(f"/runs/{run_id}", json={"name": "my λ run / 2"})
    named = client.get(f"/runs/{run_id}/export/{name}").headers["Content-Disposition"]
    assert f'filename="my--run-2-{run_id}.{ending}"' in named
    assert f"filename*=UTF-8''my-%CE%BB-run-2-{run_id}.{ending}" in named
    begins = {"csv": b"step,", "jsonl": b"{", "report": b"<!doctype html>", "capsule": b"PK"}
    assert answer.data.startswith(begins[name])
    assert client.get(f"/runs/{run_id}/export/pickle").status_code == 404
    assert client.get(f"/runs/no-such-run/export/{name}").status_code == 404


def test_a_table_has_the_columns_that_are_asked_for(client: FlaskClient, run_id: str) -> None:
    answer = client.get(f"/runs/{run_id}/export/csv?columns=step,K")
    head, first = answer.text.splitlines()[:2]
    assert head == "step,K"
    assert first.split(",")[0] == "1"
    refused = get(client, f"/runs/{run_id}/export/csv?columns=step,k", code=422)
    assert "there is no such column; the columns are step, at," in refused["detail"]
    assert refused["errors"][0]["value"] == "k"


def test_before_and_after_a_change_is_told_for_every_figure(client: FlaskClient, run_id: str) -> None:
    first, second = changes(client, run_id)
    found = get(client, f"/runs/{run_id}/effect?event={second['event_id']}")
    assert (found["kind"], found["step"], found["since"], found["until"]) == ("telemetry_changed", 9, 4, None)
    K = get(client, f"/runs/{run_id}/metrics")["columns"]["K"]
    before = found["quantities"]["K"]["before"]
    assert (before["first_step"], before["last_step"], before["values"]) == (6, 9, 4)
    assert before["estimate"]["mean"] == pytest.approx(sum(K[5:9]) / 4)
    assert found["quantities"]["depth_mean"]["verdict"] == "unknown"
    assert get(client, f"/runs/{run_id}/effect?event={first['event_id']}")["until"] == 9


def test_what_nothing_follows_from_has_no_before_and_after(client: FlaskClient, run_id: str) -> None:
    assert "it has " in get(client, f"/runs/{run_id}/effect?event=99999", code=409)["detail"]
    get(client, "/runs/nowhere/effect?event=1", code=404)
    get(client, f"/runs/{run_id}/effect", code=422)


def test_milestones_are_there_once_the_baselines_are(client: FlaskClient, run_id: str) -> None:
    assert get(client, f"/runs/{run_id}/milestones") == {"run_id": run_id, "milestones": []}
    get(client, "/runs/nowhere/milestones", code=404)
