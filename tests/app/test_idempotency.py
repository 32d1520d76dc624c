"""A request that is repeated with its key is answered again and not done again."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.factory import create_app
from app.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import WaitUntil


def send(client: FlaskClient, path: str, body: dict[str, Any], key: str, code: int = 200) -> dict[str, Any]:
    answer = client.post(path, json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == code, answer.data
    return content_of(answer)


def content_of(answer: TestResponse) -> dict[str, Any]:
    content: dict[str, Any] | None = answer.json
    assert content is not None
    return content


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    return content_of(client.get(path))


def step(client: FlaskClient) -> int:
    return int(get(client, "/status")["step"])


def test_a_run_is_made_once_for_a_key(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    first = send(client, "/init", tiny_run, "a", 201)
    assert send(client, "/init", tiny_run, "a", 201) == first
    assert send(client, "/init", tiny_run, "b", 201)["run_id"] != first["run_id"]
    assert len(get(client, "/runs")["runs"]) == 2


def test_steps_are_done_once_for_a_key(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    first = send(client, "/train-step", {"steps": 3}, "a")
    client.post("/train-step", json={"steps": 2})
    assert send(client, "/train-step", {"steps": 3}, "a") == first
    assert step(client) == 5
    assert send(client, "/train-step", {"steps": 3}, "b")["step"] == 8


def test_a_key_with_another_request_is_refused(client: FlaskClient, tiny_run: dict[str, Any]) -> None:
    client.post("/init", json=tiny_run)
    send(client, "/train-step", {"steps": 1}, "a")
    assert "new key" in send(client, "/train-step", {"steps": 2}, "a", 422)["detail"]
    assert step(client) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(client: FlaskClient, tiny_run: dict[str, Any], key: str) -> None:
    assert "1 to 255" in send(client, "/init", tiny_run, key, 400)["detail"]


def test_a_request_cut_off_by_the_end_of_the_service_is_finished_by_its_repetition(
    client: FlaskClient, tiny_run: dict[str, Any], settings: Settings, wait_until: "WaitUntil"
) -> None:
    client.post("/init", json=tiny_run)
    manager = client.application.extensions["bitlm"].manager
    body = {"steps": 10_000, "text": "a text of one's own " * 20}
    with ThreadPoolExecutor() as pool:
        cut = pool.submit(client.application.test_client().post, "/train-step", json=body,
                          headers={"Idempotency-Key": "a"})  # fmt: skip
        wait_until(lambda: step(client) >= 3)
        manager.request_stop()
        assert cut.result().status_code == 503
    client.application.extensions["bitlm"].close()
    second = create_app(settings)
    try:
        again = second.test_client()
        wait_until(lambda: get(again, "/status")["state"] == "paused")
        done = step(again)
        short = {**body, "steps": 10_000}
        with ThreadPoolExecutor() as pool:
            going = pool.submit(second.test_client().post, "/train-step", json=short,
                                headers={"Idempotency-Key": "a"})  # fmt: skip
            wait_until(lambda: step(again) > done)
            run_id = get(again, "/status")["run_id"]
            journal = get(again, f"/runs/{run_id}/journal")["entries"]
            again.post("/train/pause")
            assert going.result().status_code == 200
        asked = [entry["payload"]["steps"] for entry in journal if entry["kind"] == "steps_requested"]
        assert asked == [10_000, 10_000 - done]
        ended = [entry["payload"] for entry in journal if entry["kind"] == "steps_ended"]
        assert ended == [{"requested": 10_000, "done": done, "reason": "interrupted"}]
    finally:
        second.extensions["bitlm"].close()
