"""What is asked of a run and leaves it as it is, over REST; all of one run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.factory import create_app
from app.settings import Settings
from bitlm.compression.identity import model_hash
from bitlm.model_file import load_model
from bitlm.quantisation import with_weights
from tests.app.rest import changes, get, post, steered_run
from tests.bitlm.cli.program import answer_of


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


def test_a_model_comes_as_the_file_that_save_writes(client: FlaskClient, run_id: str, tmp_path: Path) -> None:
    store = client.application.extensions["bitlm"].store
    answer = client.get(f"/runs/{run_id}/model")
    assert f"{run_id}.float32.safetensors" in answer.headers["Content-Disposition"]
    answer_of("save", run_id, "--output", str(tmp_path / "saved"), "--data-dir", str(store.data_dir))
    assert answer.data == (tmp_path / "saved").read_bytes()
    whole = load_model(tmp_path / "saved")
    assert whole.provenance is not None
    newest = store.checkpoints.of(run_id)[0].step
    assert (whole.provenance.step, whole.provenance.telemetry.lambda_K) == (newest, 0.1)

    small = tmp_path / "small"
    small.write_bytes(client.get(f"/runs/{run_id}/model?weights=int8").data)
    kept = load_model(small)
    assert (kept.precision, kept.receipt) == ("int8", None)
    assert model_hash(kept.model) == model_hash(with_weights(whole.model, "int8"))
    small.write_bytes(client.get(f"/runs/{run_id}/model?weights=int4&step=0").data)
    earlier = load_model(small).provenance
    assert earlier is not None
    assert (earlier.step, earlier.telemetry.lambda_K) == (0, 0.0)


def test_a_model_that_cannot_be_had_is_refused(client: FlaskClient, run_id: str) -> None:
    refused = get(client, f"/runs/{run_id}/model?weights=int2", code=422)["errors"][0]
    assert (refused["field"], refused["value"]) == ("weights", "int2")
    assert refused["detail"] == "use 'float32', 'int8' or 'int4'."
    assert "no checkpoint of step 5" in get(client, f"/runs/{run_id}/model?step=5", code=404)["detail"]
    get(client, "/runs/nowhere/model", code=404)


def test_a_model_is_read_from_the_newest_checkpoint_that_is_whole(
    client: FlaskClient, run_id: str, tmp_path: Path
) -> None:
    checkpoints = client.application.extensions["bitlm"].store.checkpoints
    records = checkpoints.of(run_id)
    newest, *others = (checkpoints.folder(one) / "weights.safetensors" for one in records)
    whole = {path: path.read_bytes() for path in (newest, *others)}
    newest.write_bytes(b"damaged")
    (tmp_path / "model").write_bytes(client.get(f"/runs/{run_id}/model").data)
    came = load_model(tmp_path / "model").provenance
    assert came is not None
    assert came.step == records[1].step
    for path in others:
        path.write_bytes(b"damaged")
    assert "no checkpoint of run" in get(client, f"/runs/{run_id}/model", code=409)["detail"]
    for path, data in whole.items():
        path.write_bytes(data)


def test_lists_come_in_pages_that_join_to_the_whole(
    client: FlaskClient, run_id: str, tiny_run: dict[str, Any]
) -> None:
    post(client, "/init", tiny_run, 201)
    whole = get(client, "/runs")
    first = get(client, "/runs?limit=1")
    rest = get(client, f"/runs?limit=999&after={first['next']}")
    assert [len(first["runs"]), first["next"]] == [1, first["runs"][0]["run_id"]]
    assert first["runs"] + rest["runs"] == whole["runs"]
    assert (whole["next"], rest["next"], rest["runs"][-1]["run_id"]) == (None, None, run_id)
    assert "begin again without it" in get(client, "/runs?after=gone", 422)["detail"]

    journal = f"/runs/{run_id}/journal"
    whole, entries, after = get(client, journal), [], 0
    while after is not None:
        page = get(client, f"{journal}?limit=2&after={after}")
        assert 1 <= len(page["entries"]) <= 2
        entries += page["entries"]
        after = page["next"]
    assert (entries, whole["next"]) == (whole["entries"], None)
    assert len(entries) > 4
