"""A service that only watches: what it says of a run that somebody else writes, and what it refuses."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.settings import Settings
from bitlm.data import Corpus
from bitlm.errors import StoreUnreadyError
from bitlm.history.branching import fork
from bitlm.model import ModelConfig
from bitlm.session import (
    GrowthRule,
    RunStore,
    ScheduleSamples,
    Session,
    SetAlertAction,
    SetGrowthRule,
    SetTelemetry,
)
from bitlm.session.commands import SampleSchedule
from bitlm.session.database import FILE_NAME
from bitlm.training import TrainingConfig
from tests.app.rest import get, post
from tests.conftest import service

if TYPE_CHECKING:
    from tests.conftest import WaitUntil

MODEL = ModelConfig(d_model=8, nhead=2, num_layers=1, dim_feedforward=16, max_seq_len=64)
TEXT = Corpus("a text", b"some text to learn " * 40)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def store(data_dir: Path) -> Iterator[RunStore]:
    """The folder, as who trains in it has it."""
    with closing(RunStore(data_dir)) as made:
        yield made


@pytest.fixture(scope="module")
def app(store: RunStore) -> Iterator[Flask]:
    settings = Settings(data_dir=store.data_dir, viewer=True, alert_webhook="http://localhost:9")
    with service(settings) as made:
        yield made


def trained(store: RunStore, steps: int) -> Session:
    """A run that somebody trains, as `bitlm train` does."""
    session = Session.create(
        store, model=MODEL, training=TrainingConfig(batch_size=1), corpus=TEXT, threads=1
    )
    session.record("training_started", {}, source="cli")
    for _ in range(steps):
        session.step()
    store.flush()
    return session


def test_a_run_that_another_process_trains_is_followed_to_its_end(
    client: FlaskClient, store: RunStore, wait_until: "WaitUntil"
) -> None:
    def status(**wanted: Any) -> dict[str, Any]:
        """The status, once it is as wanted."""

        def as_wanted() -> dict[str, Any] | None:
            now = get(client, "/status")
            return now if {name: now[name] for name in wanted} == wanted else None

        found: dict[str, Any] = wait_until(as_wanted)
        return found

    assert get(client, "/status")["state"] == "empty"
    session = trained(store, 3)
    first = status(run_id=session.run_id, step=3, state="training")
    assert first["watching"]["writer"].endswith(f"(process {os.getpid()})")
    assert first["bytes_per_s"] > 0
    sizes = {"bytes": 760, "train_bytes": 684, "held_out_bytes": 76, "not_utf8": 0.0}
    assert first["corpus"] == {"name": "a text", "fingerprint": TEXT.fingerprint, **sizes}
    session.apply(SetTelemetry(lambda_K=0.25), source="cli")
    session.apply(ScheduleSamples(schedule=SampleSchedule(every=7)), source="cli")
    session.step()
    store.flush()
    steered = status(step=4)
    assert (steered["telemetry"]["lambda_K"], steered["sample_schedule"]["every"]) == (0.25, 7)
    assert get(client, f"/runs/{session.run_id}/metrics")["columns"]["step"] == [1, 2, 3, 4]
    another = trained(store, 1)
    assert status(run_id=session.run_id)["watching"] == first["watching"]
    session.record("training_paused", {"reason": "enough"})
    status(run_id=session.run_id, state="paused")
    another.record("training_started", {}, source="cli")
    status(run_id=another.run_id, state="training")
    session.close()
    another.close()
    left = status(run_id=another.run_id, state="stopped")
    assert left["watching"] == {"writer": None, "steers": False, "owner_url": None, "cut_off": None}


def test_a_branch_is_shown_with_what_the_run_that_it_comes_from_was_told(
    client: FlaskClient, store: RunStore, wait_until: "WaitUntil"
) -> None:
    with closing(trained(store, 1)) as session:
        session.apply(SetGrowthRule(rule=GrowthRule()), source="cli")
        session.apply(SetAlertAction(action="pause"), source="cli")
        session.step()
        session.save()
    branch = fork(store, session.run_id, source="cli")
    shown = wait_until(lambda: (now := get(client, "/status"))["run_id"] == branch and now)
    assert (shown["growth_rule"], shown["alert_action"]) == (GrowthRule().model_dump(), "pause")


def test_steps_that_were_asked_for_are_training_until_they_are_done(
    client: FlaskClient, store: RunStore, wait_until: "WaitUntil"
) -> None:
    def state() -> tuple[str, int, str]:
        status = get(client, "/status")
        return status["run_id"], status["step"], status["state"]

    with closing(trained(store, 0)) as session:
        session.request_steps(2, None, source="rest")
        session.step()
        store.flush()
        wait_until(lambda: state() == (session.run_id, 1, "training"))
        session.step()
        store.flush()
        wait_until(lambda: state() == (session.run_id, 2, "paused"))


def test_whatever_is_more_than_a_look_is_refused(client: FlaskClient, app: Flask) -> None:
    routes = app.extensions["bitlm"].routes
    writes = [route for route in routes if route.method != "GET"]
    assert len(writes) > 20
    for route in writes:
        path = route.path.replace("<run_id>", "some-run").replace("<int:step>", "1")
        answer = client.open(path, method=route.method, json={})
        assert answer.status_code == 403, path
        assert answer.get_json()["title"] == "This dashboard only watches"
    refused = get(client, "/calibration", 403)
    assert (
        refused["detail"]
        == "this dashboard only watches; ask the service, or the command, that owns the run."
    )
    assert post(client, "/train/start", code=403)["detail"] == refused["detail"]
    assert get(client, "/readyz")["status"] == "ok"


def test_alerts_and_the_log_are_left_to_who_owns_the_run(app: Flask) -> None:
    assert app.extensions["bitlm"].tellers == ()


def test_a_store_that_is_only_read_cannot_be_written(store: RunStore) -> None:
    with (
        closing(RunStore(store.data_dir, read_only=True)) as reader,
        reader._database.reading() as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM runs")


def test_a_folder_that_nobody_made_or_brought_up_to_date_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadyError, match="is not there yet, or of an earlier BitLM"):
        RunStore(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as earlier:
        earlier.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreUnreadyError):
        RunStore(tmp_path, read_only=True)
