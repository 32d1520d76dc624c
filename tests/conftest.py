"""What several tests stand on: settings on a folder of their own, the app, and a real server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError

import jaxtyping
import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as hypothesis_settings

from app.settings import Settings

ROOT = Path(__file__).parents[1]
DEADLINE_S = 120.0
JOB_DEADLINE_S = 280.0
"""For a process that gives way to every other on the machine, all other tests included."""
TINY = {
    "d_model": 16,
    "nhead": 2,
    "num_layers": 2,
    "dim_feedforward": 32,
    "max_seq_len": 256,
    "batch_size": 2,
}
"""Settings of a run whose steps take milliseconds."""

# Derandomized, no deadline: a test says the same today and tomorrow. Half of the usual examples find as much.
hypothesis_settings.register_profile(
    "same-every-time", hypothesis_settings.get_profile("ci"), max_examples=50
)


class WaitUntil(Protocol):
    def __call__(self, condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any: ...


LONGEST_FILES = (
    "test_crash.py",
    "browser/test_history.py",
    "browser/test_runs.py",
    "browser/test_states.py",
    "session/test_commit_protocol.py",
    "training/test_bound.py",
    "test_packaging.py",
)
"""Begun first: a file goes to one process whole, and at the end the others would wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST_FILES))


def _wait_until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true answer of `condition`, asked again and again until the deadline."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    pytest.fail(f"still not so after {deadline_s:.0f} s: {condition}")


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    return _wait_until


WHOLES = (
    "app",
    "benchmarks",
    "browser",
    "bitlm/calibration",
    "bitlm/cli",
    "bitlm/compression",
    "bitlm/history",
    "bitlm/session",
    "bitlm/test_curtailment.py",
    "bitlm/training/test_bound.py",
)
"""Tests that train whole models and steer whole runs."""


@pytest.fixture(scope="module", autouse=True)
def types_are_checked_in_tests_of_parts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check shapes and types at each call, but not where whole runs make the same calls thousands of times.

    A check takes as long as what it checks, and the parts have tests of their own.
    """
    place = request.path.relative_to(ROOT / "tests").as_posix()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", place.startswith(WHOLES))
        yield


@pytest.fixture
def unchecked_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test hand over a wrong type, as a user can: only the product's own checks are left."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty kilobytes of real text: quick to fit a reference model on."""
    from bitlm.data import Corpus  # noqa: PLC0415 - torch stays out of tests that do not use it

    path = tmp_path_factory.mktemp("corpus") / "topics.txt"
    path.write_bytes(Corpus.embedded().data[:20_000])
    return path


@pytest.fixture
def tiny_run(corpus_file: Path) -> dict[str, Any]:
    """The body of a POST /init whose steps take milliseconds."""
    return TINY | {"corpus": str(corpus_file)}


@pytest.fixture
def ready(client: FlaskClient, tiny_run: dict[str, Any]) -> FlaskClient:
    """A client of a service that has a model."""
    assert client.post("/init", json=tiny_run).status_code == 201
    return client


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", torch_threads=1)


@contextmanager
def service(settings: Settings) -> Iterator[Flask]:
    """Make the service in this process, and close it."""
    from app.factory import create_app  # noqa: PLC0415 - torch stays out of tests that do not use it

    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    made = create_app(settings)
    yield made
    made.extensions["bitlm"].close()


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The service in this process, as pytest-flask's `client` wants it."""
    with service(settings) as made:
        yield made


@dataclass
class RunningServer:
    """`python -m app` as a user starts it.

    Attributes:
        url: Where it answers, without a slash at the end.
        data_dir: Its own data folder.
        log: File with what it wrote to stderr.
        said: File with what it wrote to stdout.
    """

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path
    said: Path

    def answers(self) -> bool:
        """Whether it is up; fails at once if it has ended."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what it answers to a request; fails where it refuses it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310 - the same
            return json.load(answer)

    def kill(self) -> None:
        """Send SIGKILL to the server and the process that serves, as a power cut would."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (*map(int, children), self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=DEADLINE_S)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE_S)


class Serve(Protocol):
    def __call__(
        self,
        data_dir: Path | None = None,
        *,
        prefix: tuple[str, ...] = (),
        **environment: str,
    ) -> RunningServer: ...


@contextmanager
def serving(folder: Path) -> Iterator[Serve]:
    """Start real servers, each on a free port, with their files in `folder`; all are stopped at the end.

    A `data_dir` can be passed on to the next server, and so can BITLM_PORT; `environment` is added to theirs,
    and `prefix` is a program that execs the server.
    """
    started: list[RunningServer] = []

    def start(
        data_dir: Path | None = None,
        *,
        prefix: tuple[str, ...] = (),
        **environment: str,
    ) -> RunningServer:
        port = environment.get("BITLM_PORT") or str(free_port())
        data = data_dir or folder / f"server-{len(started)}"
        log = folder / f"server-{len(started)}.log"
        ours = {"BITLM_HOST": "127.0.0.1", "BITLM_PORT": port, "BITLM_DATA_DIR": str(data)}
        said = log.with_suffix(".said")
        with log.open("wb") as stderr, said.open("wb") as stdout:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "app"],
                cwd=ROOT,
                env=os.environ | ours | environment,
                stdout=stdout,
                stderr=stderr,
            )
        server = RunningServer(f"http://127.0.0.1:{port}", data, process, log, said)
        started.append(server)
        _wait_until(server.answers)
        return server

    yield start
    for server in started:
        server.stop()


@contextmanager
def training(data_dir: Path, corpus: Path) -> Iterator[subprocess.Popen[str]]:
    """Start `bitlm train` as a user does, with steps of milliseconds for an hour; it is killed at the end."""
    settings = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    command = ["train", "--corpus", str(corpus), "--minutes", "60", "--threads", "1", "--json", *settings]
    with subprocess.Popen(
        [sys.executable, "-m", "bitlm", *command, "--data-dir", str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start real servers that end with the test."""
    with serving(tmp_path) as start:
        yield start


@pytest.fixture
def server(serve: Serve) -> RunningServer:
    """One real server with an empty data folder."""
    return serve()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
