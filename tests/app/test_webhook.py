"""Alerts posted to an address of the operator's."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from app.service import ModelManager
from app.service.requests import Init
from app.service.webhook import Webhook
from app.service.worker import Worker
from app.settings import Settings
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session
from bitlm.training import TrainingConfig

if TYPE_CHECKING:
    from tests.conftest import WaitUntil

MODEL = ModelConfig(d_model=8, nhead=2, num_layers=1, dim_feedforward=16, max_seq_len=64)
DRIFT = {"metric": "K", "rule": "level", "before": 0.1, "after": 0.5, "since": 0, "action": "notify"}


class Receiver:
    """A server that remembers what was posted to it and answers with `status`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                receiver.bodies.append(json.loads(self.rfile.read(length)))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?secret=hush"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path)) as made:
        yield made


@pytest.fixture
def manager(store: RunStore) -> Iterator[ModelManager]:
    made = ModelManager(store, torch_threads=1)
    made.start()
    yield made
    made.close()


def live(manager: ModelManager) -> Session:
    manager.ask(Init(MODEL, TrainingConfig(batch_size=1), text="some text to learn " * 40), "rest")
    assert isinstance(manager._worker, Worker)
    session = manager._worker._live.session
    assert session is not None
    return session


def alert(manager: ModelManager, session: Session) -> None:
    session.record("drift_alert", DRIFT)
    assert isinstance(manager._worker, Worker)
    manager._worker._live.publish()


def test_an_alert_is_posted_once_and_what_is_none_is_not(
    manager: ModelManager, store: RunStore, receiver: Receiver, wait_until: "WaitUntil"
) -> None:
    webhook = Webhook(manager, store, receiver.url)
    webhook.start()
    session = live(manager)
    alert(manager, session)
    wait_until(lambda: receiver.bodies)
    alert(manager, session)
    wait_until(lambda: len(receiver.bodies) == 2)
    webhook.close()
    first, second = receiver.bodies
    assert (first["run_id"], first["kind"], first["payload"]) == (session.run_id, "drift_alert", DRIFT)
    assert first["sentence"] == "The mean of K drifted: 0.1 → 0.5"
    assert second["event_id"] > first["event_id"]


def test_alerts_from_before_the_service_are_not_told_again(
    manager: ModelManager, store: RunStore, receiver: Receiver, wait_until: "WaitUntil"
) -> None:
    session = live(manager)
    alert(manager, session)
    before = session.record("training_started", {}).at
    webhook = Webhook(manager, store, receiver.url, clock=lambda: before)
    webhook.start()
    alert(manager, session)
    wait_until(lambda: receiver.bodies)
    webhook.close()
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("status", [500, 302])
def test_an_alert_that_is_not_taken_is_logged_without_the_address_and_training_goes_on(
    manager: ModelManager,
    store: RunStore,
    receiver: Receiver,
    wait_until: "WaitUntil",
    status: int,
) -> None:
    receiver.status = status
    webhook = Webhook(manager, store, receiver.url)
    webhook.start()
    session = live(manager)
    with capture_logs() as logs:
        alert(manager, session)
        wait_until(lambda: logs)
    (told,) = logs
    assert (told["event"], told["host"], told["why"]) == (
        "alert_not_delivered",
        "127.0.0.1",
        f"answered {status}",
    )
    assert "hush" not in str(told)
    assert len(receiver.bodies) == 1, "a redirection is not followed"
    receiver.status = 204
    alert(manager, session)
    wait_until(lambda: len(receiver.bodies) == 2)
    webhook.close()


def test_an_address_is_one_of_the_web_and_there_is_none_by_default() -> None:
    assert Settings().alert_webhook is None
    assert "hush" not in repr(Settings(alert_webhook="https://example.org/hush"))
    with pytest.raises(ValidationError, match="alert_webhook"):
        Settings(alert_webhook="file:///etc/passwd")
