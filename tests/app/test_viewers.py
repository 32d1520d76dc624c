"""One owner and those who watch it, by way of a real Redis; each but the owner is killed on the way."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import socketio  # type: ignore[import-untyped] # it ships no types
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis, RedisError
from structlog.testing import capture_logs

from app.factory import create_app
from app.service.relay import Line
from app.settings import Settings
from bitlm.errors import BitLMError
from tests.app.rest import get, post
from tests.conftest import TINY, RunningServer, WaitUntil, free_port, service, serving

REDIS = Path("/usr/bin/redis-server")
PASSWORD = "a-word-nobody-may-read"  # noqa: S105 - of a Redis that lasts as long as these tests


@dataclass
class RedisServer:
    """A Redis that keeps nothing."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        kept_nowhere = ("--save", "", "--appendonly", "no", "--dir", str(self.folder))
        self.process = subprocess.Popen(
            [REDIS, "--port", str(self.port), "--requirepass", PASSWORD, *kept_nowhere],
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("viewers")


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[RedisServer]:
    if not REDIS.exists():
        pytest.fail(
            f"{REDIS} is missing: install Debian's package of that name (apt-get install {REDIS.name})."
        )
    made = RedisServer(folder, free_port())
    made.start()
    yield made
    made.kill()


@dataclass
class House:
    """The owner, one who watches from a process of its own, and the Redis between them."""

    owner: RunningServer
    viewer: RunningServer
    redis: RedisServer


@pytest.fixture(scope="module")
def house(folder: Path, redis: RedisServer) -> Iterator[House]:
    with serving(folder) as serve:
        owner = serve(BITLM_REDIS_URL=redis.url, BITLM_TORCH_THREADS="1")
        yield House(owner, serve(owner.data_dir, BITLM_REDIS_URL=redis.url, BITLM_VIEWER="true"), redis)


@pytest.fixture(scope="module")
def app(house: House) -> Iterator[Flask]:
    """One more who watches, in this process."""
    settings = Settings(data_dir=house.owner.data_dir, viewer=True, redis_url=house.redis.url)
    with service(settings) as made:
        yield made


Statuses = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def statuses(house: House, client: FlaskClient) -> Statuses:
    """What the owner and the two who watch say, without what is each one's own."""

    def asked() -> list[dict[str, Any]]:
        told = [
            *(server.ask("GET", "/status") for server in (house.owner, house.viewer)),
            get(client, "/status"),
        ]
        return [
            {name: value for name, value in status.items() if name not in {"service_started_at", "watching"}}
            for status in told
        ]

    return asked


def steps_on(server: RunningServer, wait_until: WaitUntil) -> bool:
    """Whether training goes on; fails where it does not."""
    reached = server.ask("GET", "/status")["step"]
    return bool(wait_until(lambda: server.ask("GET", "/status")["step"] > reached + 3))


def steps_of(updates: list[dict[str, Any]]) -> list[int]:
    """The steps that a page was told of, in the order in which it was."""
    return [step for update in updates for step in update["metrics"].get("step", [])]


def test_two_who_watch_show_the_very_state_of_the_run_that_the_owner_trains(
    house: House,
    client: FlaskClient,
    statuses: Statuses,
    corpus_file: Path,
    wait_until: WaitUntil,
) -> None:
    owner, viewer, redis = house.owner, house.viewer, house.redis
    updates: list[dict[str, Any]] = []
    page = socketio.Client(reconnection=False, websocket_extra_options={"origin": viewer.url})
    page.on("update", updates.append)
    page.connect(viewer.url, transports=["websocket"])
    run_id = owner.ask("POST", "/init", TINY | {"corpus": str(corpus_file)})["run_id"]
    owner.ask("POST", "/train/start", {})
    wait_until(lambda: {status["state"] for status in statuses()} == {"training"})
    with Redis.from_url(redis.url) as other:  # neither is a message, and training is still shown
        other.publish("bitlm", "no JSON")
        other.publish("bitlm", '{"url": "http://x", "status": {"run_id": "../x"}}')
    last = owner.ask("POST", "/train/pause", {})["step"]
    shown = wait_until(
        lambda: (now := statuses())[0] == now[1] == now[2] and now[0]["state"] == "paused" and now[0]
    )
    assert (shown["run_id"], shown["state"], shown["step"]) == (run_id, "paused", last)
    wait_until(lambda: last in steps_of(updates))
    page.disconnect()
    assert steps_of(updates) == list(range(1, last + 1))
    writer = get(client, "/status")["watching"]["writer"]
    assert writer.startswith("app (process ")
    heard = {"writer": writer, "steers": False, "owner_url": owner.url, "cut_off": None}
    wait_until(lambda: get(client, "/status")["watching"] == heard)
    told = f"this dashboard only watches; ask the one at {owner.url}."
    wait_until(lambda: post(client, "/train/start", code=403)["detail"] == told)


def test_whoever_watches_can_be_killed_and_so_can_redis_and_training_goes_on(
    house: House,
    client: FlaskClient,
    statuses: Statuses,
    wait_until: WaitUntil,
) -> None:
    owner, viewer, redis = house.owner, house.viewer, house.redis
    owner.ask("POST", "/train/start", {})
    redis.kill()
    lost = "Redis at 127.0.0.1 cannot be reached (ConnectionError)"
    wait_until(lambda: owner.ask("GET", "/readyz")["redis"] == lost)
    assert steps_on(owner, wait_until)
    wait_until(lambda: get(client, "/status")["watching"]["cut_off"] == lost)
    assert "bitlm_redis_up 0\n" in client.get("/metrics").get_data(as_text=True)
    assert steps_on(viewer, wait_until)  # by what is on the disk
    redis.start()
    wait_until(lambda: owner.ask("GET", "/readyz")["redis"] is None)
    wait_until(lambda: get(client, "/status")["watching"]["cut_off"] is None)
    viewer_log = viewer.log.read_text()
    viewer.kill()
    assert steps_on(owner, wait_until)
    owner.ask("POST", "/train/pause", {})
    wait_until(lambda: get(client, "/status")["state"] == "paused")
    for log in (owner.log.read_text(), viewer_log):
        assert '"redis_lost"' in log
        assert PASSWORD not in log


def test_an_owner_that_is_killed_is_missed(house: House, client: FlaskClient, wait_until: WaitUntil) -> None:
    owner = house.owner
    owner.ask("POST", "/train/start", {})
    wait_until(lambda: get(client, "/status")["state"] == "training")
    owner.kill()
    wait_until(lambda: get(client, "/status")["state"] == "stopped")
    silent = "the service that owns the runs says nothing"
    wait_until(lambda: get(client, "/status")["watching"]["cut_off"] == silent)
    assert get(client, "/status")["watching"]["writer"] is None
    assert get(client, "/readyz")["redis"] == silent


def test_that_redis_is_away_is_said_once_and_once_that_it_is_back() -> None:
    line = Line(f"redis://:{PASSWORD}@localhost:6379")
    with capture_logs() as said:
        for _ in range(3):
            line.note_lost(RedisError(f"cannot reach redis://:{PASSWORD}@localhost"))
        assert line.complaint == "Redis at localhost cannot be reached (RedisError)"
        for _ in range(3):
            line.note_reached()
    assert line.complaint is None
    assert [(one["event"], one["host"]) for one in said] == [
        ("redis_lost", "localhost"),
        ("redis_reached", "localhost"),
    ]
    assert PASSWORD not in str(said)


def test_without_the_package_redis_its_setting_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "app.service.relay", raising=False)
    monkeypatch.delattr("app.service.relay", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(BitLMError, match=r"BITLM_REDIS_URL needs the package redis: .* -m pip install redis"):
        create_app(Settings(data_dir=tmp_path, redis_url="redis://localhost:6379"))
