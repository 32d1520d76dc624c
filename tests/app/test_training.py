"""Training, looked at and steered while it runs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bitlm.history.narration import sentence
from bitlm.session import Event

if TYPE_CHECKING:
    from tests.conftest import WaitUntil


def status(client: FlaskClient) -> dict[str, Any]:
    answer: dict[str, Any] | None = client.get("/status").json
    assert answer is not None
    return answer


def events(client: FlaskClient, kind: str) -> list[dict[str, Any]]:
    answer = client.get(f"/runs/{status(client)['run_id']}/events").json
    assert answer is not None
    return [event for event in answer["events"] if event["kind"] == kind]


def test_before_the_first_run_the_service_is_empty(client: FlaskClient, wait_until: "WaitUntil") -> None:
    wait_until(lambda: status(client)["state"] == "empty")
    assert status(client)["run_id"] is None


def test_a_new_run_is_ready_and_described(ready: FlaskClient) -> None:
    described = status(ready)
    assert (described["state"], described["step"], described["error"]) == ("ready", 0, None)
    assert described["corpus"]["bytes"] == 20_000
    assert described["corpus"]["train_bytes"] == 18_000
    assert described["corpus"]["held_out_bytes"] == 2_000
    assert described["corpus"]["not_utf8"] == 0
    assert len(described["corpus"]["fingerprint"]) == 64
    assert described["config"]["d_model"] == 16


def test_training_goes_on_until_it_is_paused(ready: FlaskClient, wait_until: "WaitUntil") -> None:
    assert ready.post("/train/start").json["state"] == "training"  # type: ignore[index] # an answer has JSON
    wait_until(lambda: status(ready)["step"] >= 3)
    paused = ready.post("/train/pause").json
    assert paused is not None
    assert paused["state"] == "paused"
    assert status(ready)["step"] == paused["step"]
    assert [event["step"] for event in events(ready, "training_paused")] == [paused["step"]]


def test_a_paused_run_goes_on_where_it_was(ready: FlaskClient, wait_until: "WaitUntil") -> None:
    ready.post("/train-step", json={"steps": 2})
    ready.post("/train/start")
    wait_until(lambda: status(ready)["step"] >= 4)
    ready.post("/train/pause")
    columns = ready.get(f"/runs/{status(ready)['run_id']}/metrics").json["columns"]  # type: ignore[index] # has JSON
    assert columns["step"] == list(range(1, status(ready)["step"] + 1))


def test_stopping_keeps_a_checkpoint_of_the_last_step(ready: FlaskClient) -> None:
    ready.post("/train-step", json={"steps": 3})
    ready.post("/train/stop")
    assert status(ready)["state"] == "stopped"
    assert events(ready, "checkpoint_saved")[-1]["step"] == 3


def test_starting_twice_is_one_start(ready: FlaskClient) -> None:
    ready.post("/train/start")
    ready.post("/train/start")
    assert len(events(ready, "training_started")) == 1


@pytest.mark.parametrize("path", ["/init", "/train-step"])
def test_while_training_there_is_neither_a_new_run_nor_a_step_of_its_own(
    ready: FlaskClient, path: str
) -> None:
    ready.post("/train/start")
    answer = ready.post(path, json={})
    assert answer.status_code == 409
    assert answer.json is not None
    assert "POST /train/pause first" in answer.json["detail"]


def test_steps_of_a_request_leave_the_state_as_it_was(ready: FlaskClient) -> None:
    ready.post("/train-step", json={"steps": 2})
    assert status(ready)["state"] == "ready"
    ready.post("/train/stop")
    ready.post("/train-step", json={"steps": 2})
    assert (status(ready)["state"], status(ready)["step"]) == ("stopped", 4)


def test_a_sample_is_answered_between_two_steps(ready: FlaskClient, wait_until: "WaitUntil") -> None:
    ready.post("/train/start")
    answer = ready.post("/infer", json={"max_new_bytes": 8}).json
    assert answer is not None
    sampled_at: int = answer["step"]
    wait_until(lambda: status(ready)["step"] > sampled_at)
    assert status(ready)["state"] == "training"


def test_two_moves_of_a_slider_are_two_events_with_step_old_and_new(ready: FlaskClient) -> None:
    ready.post("/config/telemetry", json={"lambda_K": 0.1})
    ready.post("/train-step", json={"steps": 2})
    ready.post("/config/telemetry", json={"lambda_K": 0.3, "c_floor": 0.2})
    first, second = events(ready, "telemetry_changed")
    assert (first["step"], second["step"]) == (0, 2)
    assert first["payload"]["changes"] == [{"field": "lambda_K", "old": 0, "new": 0.1}]
    assert second["payload"]["changes"] == [
        {"field": "lambda_K", "old": 0.1, "new": 0.3},
        {"field": "c_floor", "old": 0.3, "new": 0.2},
    ]


def test_a_slider_that_comes_back_to_where_it_was_is_no_event(ready: FlaskClient) -> None:
    ready.post("/config/telemetry", json={"c_floor": 0.3})
    ready.post("/config/telemetry", json={})
    assert events(ready, "telemetry_changed") == []


def test_a_slider_moved_during_many_steps_takes_effect_among_them(
    app: Flask, ready: FlaskClient, wait_until: "WaitUntil"
) -> None:
    with ThreadPoolExecutor() as others:
        many = others.submit(app.test_client().post, "/train-step", json={"steps": 100})
        wait_until(lambda: status(ready)["step"] >= 1)
        ready.post("/config/telemetry", json={"lambda_K": 0.5})
        assert many.result().json["step"] == 100  # type: ignore[index] # an answer has JSON
    [changed] = events(ready, "telemetry_changed")
    assert 1 <= changed["step"] < 100


def test_pausing_during_many_steps_answers_with_the_next_one(
    app: Flask, ready: FlaskClient, wait_until: "WaitUntil"
) -> None:
    with ThreadPoolExecutor() as others:
        many = others.submit(app.test_client().post, "/train-step", json={"steps": 10_000})
        wait_until(lambda: status(ready)["step"] >= 1)
        ready.post("/train/pause")
        answer = many.result().json
    assert answer is not None
    assert answer["step"] < 10_000
    assert answer["telemetry"]["C"] is not None
    assert (status(ready)["state"], status(ready)["step"]) == ("paused", answer["step"])


def test_annealing_is_an_event_with_its_length(ready: FlaskClient) -> None:
    ready.post("/train-step", json={"steps": 1})
    answer = ready.post("/train/anneal", json={"steps": 2})
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["run_id"] == status(ready)["run_id"]
    ready.post("/train-step", json={"steps": 2})
    assert [event["payload"]["steps"] for event in events(ready, "anneal_started")] == [2]
    assert [event["step"] for event in events(ready, "anneal_finished")] == [3]
    again = ready.post("/train/anneal", json={"steps": 2})
    assert again.status_code == 409
    assert "fork it from a checkpoint up to step 1" in again.get_json()["detail"]


def test_training_pauses_where_the_learning_rate_has_fallen_and_can_go_on(
    ready: FlaskClient, wait_until: "WaitUntil"
) -> None:
    ready.post("/train/anneal", json={"steps": 3})
    assert status(ready)["annealed_at"] == 3
    ready.post("/train/start")
    wait_until(lambda: status(ready)["state"] == "paused")
    assert status(ready)["step"] == 3
    (paused,) = events(ready, "training_paused")
    assert paused["payload"]["reason"] == "the learning rate has fallen to its end"
    ready.post("/train/start")
    wait_until(lambda: status(ready)["step"] > 3)
    ready.post("/train/pause")


def test_who_asked_is_kept_with_the_event(ready: FlaskClient) -> None:
    page = {"Host": "localhost:5000", "Origin": "http://localhost:5000"}
    ready.post("/config/telemetry", json={"lambda_K": 0.1}, headers=page)
    ready.post("/config/telemetry", json={"lambda_K": 0.2})
    assert [event["source"] for event in events(ready, "telemetry_changed")] == ["ui", "rest"]


def test_a_sample_is_kept_for_the_page_to_show_again(ready: FlaskClient) -> None:
    asked = {"prompt": "The ", "max_new_bytes": 8, "temperature": 0.5}
    answer = ready.post("/infer", json=asked, headers={"X-Request-Id": "of-a-page"}).json
    assert answer is not None
    [kept] = events(ready, "sample")
    assert kept["payload"]["request_id"] == "of-a-page"
    assert kept["payload"]["request"]["prompt"] == "The "
    assert kept["payload"]["request"]["temperature"] == 0.5
    assert kept["payload"]["request"]["seed"] == answer["seed"]
    assert kept["payload"]["response"] == {name: value for name, value in answer.items() if name != "bits"}


def test_a_sample_is_drawn_at_the_temperature_the_page_has_unless_told_otherwise(ready: FlaskClient) -> None:
    answer = ready.post("/infer", json={"max_new_bytes": 8, "seed": 1})
    assert answer.data.endswith(b"}\n"), "a terminal's prompt begins on a line of its own"
    assert answer.json is not None
    assert answer.json["gate"]["log"][0]["temperature"] == 0.8


def test_a_text_that_is_no_utf8_is_said_to_be_taken_as_bytes(
    client: FlaskClient, tiny_run: dict[str, Any], tmp_path: Path
) -> None:
    text = tmp_path / "latin"
    text.write_bytes("Grün ist die Wiese. ".encode("latin-1") * 500)
    assert client.post("/init", json=tiny_run | {"corpus": str(text)}).status_code == 201
    (made,) = events(client, "run_created")
    assert made["payload"]["not_utf8"] == pytest.approx(1 / 20)
    assert status(client)["corpus"]["not_utf8"] == made["payload"]["not_utf8"]
    assert sentence(Event(**made)) == "Run created; 5 % of its text is no UTF-8: taken as bytes"


def test_baselines_arrive_as_an_event_and_once_for_a_text(
    ready: FlaskClient, tiny_run: dict[str, Any], wait_until: "WaitUntil"
) -> None:
    compared = wait_until(lambda: status(ready)["baselines"])
    assert {"gzip", "bzip2", "xz", "order-0", "order-5"} <= set(compared)
    assert [event["payload"] for event in events(ready, "baselines_computed")] == [compared]
    ready.post("/init", json=tiny_run)
    assert status(ready)["baselines"] == compared
    assert events(ready, "baselines_computed") == []


def test_the_run_before_keeps_its_last_step_when_another_is_made(
    ready: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    first = status(ready)["run_id"]
    ready.post("/train-step", json={"steps": 2})
    ready.post("/init", json=tiny_run)
    answer = ready.get(f"/runs/{first}/events").json
    assert answer is not None
    assert answer["events"][-1]["kind"] == "checkpoint_saved"
    assert answer["events"][-1]["step"] == 2
