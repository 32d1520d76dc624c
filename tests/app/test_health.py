"""What /readyz looks at, and what does not fit into memory."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from app.service.requests import Apply
from app.settings import Settings
from bitlm.growth import training_memory
from bitlm.session import SetTelemetry
from tests.app.rest import get, post


def test_a_database_that_does_not_answer_is_named(ready: FlaskClient, settings: Settings) -> None:
    assert get(ready, "/readyz")["status"] == "ok"
    database = settings.data_dir / "bitlm.sqlite3"
    database.rename(database.with_suffix(".aside"))
    assert get(ready, "/readyz", 503)["detail"].startswith("store: no such table")


def test_a_thread_that_is_stuck_is_named_and_one_that_is_idle_is_not(app: Flask, ready: FlaskClient) -> None:
    manager, begun, release = app.extensions["bitlm"].manager, Flag(), Flag()

    def wait() -> None:
        begun.set()
        release.wait()

    stuck = Apply(SetTelemetry(lambda_K=0.5), check=wait)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(manager.ask, stuck, "rest")
        assert begun.wait(60)
        manager._worker._alive_at -= 121
        told = get(ready, "/readyz", 503)["detail"]
        assert get(ready, "/healthz")["status"] == "ok"
        release.set()
        asked.result()
    assert told == "worker: no sign of life for 121 s; restart the service if that goes on."
    assert get(ready, "/readyz")["status"] == "ok"


def test_a_model_that_does_not_fit_into_memory_is_refused_before_anything_is_made(
    app: Flask, ready: FlaskClient, tiny_run: dict[str, Any]
) -> None:
    first = get(ready, "/status")["run_id"]
    second = post(ready, "/init", tiny_run, 201)["run_id"]
    worker = app.extensions["bitlm"].manager._worker
    needed = training_memory(worker._live.session.config.model).total
    worker._desk._opening._free_bytes = lambda: needed
    told = post(ready, f"/runs/{second}/fork", {"grow": "layer"}, 507)
    assert told["title"] == "The memory is too small"
    assert f"; {needed:,} are free: choose a smaller size" in told["detail"]
    worker._desk._opening._free_bytes = lambda: needed - 1
    for path, body in (("/init", tiny_run), (f"/runs/{second}/fork", {}), (f"/runs/{first}/open", {})):
        assert f"takes {needed:,} bytes" in post(ready, path, body, 507)["detail"]
    assert [run["run_id"] for run in get(ready, "/runs")["runs"]] == [second, first]
    assert get(ready, "/status")["run_id"] == second
    worker._desk._opening._free_bytes = lambda: needed
    post(ready, f"/runs/{first}/open")
