"""The real service, to be killed by benchmarks/crash.py, and those who ask things of it until it is."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any
from urllib.error import HTTPError

ROOT = Path(__file__).parents[1]
DEADLINE_S = 120.0
"""Longest wait for the service to be ready, or for an answer."""

LONGEST_ANNEAL = 100_000
"""Steps of the first anneal; each is a step shorter, so no two are alike, and long, so the rate stays."""

EXCERPT = 400
"""Characters of the text that a request for steps brings along."""


@dataclass
class Asked:
    """Something that was asked of the service.

    Attributes:
        what: The last part of the path.
        body: What was sent; no two bodies of a path are alike, apart from empty ones.
        key: The Idempotency-Key, if there was one.
        answered_at: Unix time of the whole answer, a 2xx; None if it did not come, which leaves it open
            whether it was done.
        step: The step that the answer told of.
    """

    what: str
    body: dict[str, Any]
    key: str | None = None
    answered_at: float | None = None
    step: int = 0


class Service:
    """`python -m app` in a process group of its own, on one data folder.

    Attributes:
        ready_after_s: How long each start took, until the last run had been taken up.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.ready_after_s: list[float] = []
        self._url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start(self) -> None:
        """Start it, without waiting."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        settings = {
            "BITLM_HOST": "127.0.0.1",
            "BITLM_PORT": str(port),
            "BITLM_DATA_DIR": str(self.data_dir),
            "BITLM_LOG_LEVEL": "error",
            "BITLM_TORCH_THREADS": "1",
        }
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until_ready(self) -> dict[str, Any]:
        """Return the status once the last run has been taken up.

        Raises:
            TimeoutError: It did not get there.
        """
        while time.monotonic() < self._began + DEADLINE_S:
            try:
                status = self.call("/status")
            except (OSError, HTTPException):
                status = {"state": "initializing"}
            if status["state"] not in {"initializing", "resuming"}:
                self.ready_after_s.append(time.monotonic() - self._began)
                return status
            time.sleep(0.02)
        raise TimeoutError(f"the service was not ready within {DEADLINE_S:.0f} s; its log is above.")

    def call(self, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> dict[str, Any]:
        """GET `path`, or POST `body` to it."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        request = urllib.request.Request(self._url + path, data, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310 - our own server
            content: dict[str, Any] = json.load(answer)
        return content

    def kill(self) -> None:
        """Kill every process of it, at once; it may be dead already."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> int:
        """Let it end, and return its exit code."""
        assert self._process is not None, "only what was started can be stopped"
        self._process.terminate()
        return self._process.wait(DEADLINE_S)


class Askers:
    """Two threads that ask for as long as the service lives, and remember what it answered.

    Attributes:
        run_id: The run they ask about.
        asked: Everything that was sent, in order.
        refused: Answers that were problems; none is expected.
    """

    def __init__(self, service: Service, random: Random, text: str) -> None:
        self.run_id = ""
        self.asked: list[Asked] = []
        self.refused: list[str] = []
        self._service = service
        self._steering, self._ordering = (Random(random.random()) for _ in range(2))  # noqa: S311 - no secrets
        self._text = text
        self._unfinished: Asked | None = None
        self._threads: list[Thread] = []

    def begin(self) -> None:
        """Begin to ask."""
        self._threads = [
            Thread(target=self._until_cut_off, args=(ask_once,)) for ask_once in (self._steer, self._order)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until the death of the service has cut both off."""
        for thread in self._threads:
            thread.join()

    def _until_cut_off(self, ask_once: Callable[[], None]) -> None:
        try:
            while True:
                ask_once()
        except HTTPError as problem:
            self.refused.append(f"{problem.code} for {problem.url}: {problem.read().decode()}")
        except (OSError, HTTPException, ValueError):
            return  # which is how the death of a service looks from outside

    def _ask(self, path: str, body: dict[str, Any]) -> None:
        asked = Asked(path.rpartition("/")[2], body)
        self.asked.append(asked)
        self._send(path, asked)

    def _send(self, path: str, asked: Asked) -> None:
        answer = self._service.call(path, asked.body, asked.key)
        asked.step = answer.get("step", 0)
        asked.answered_at = time.time()

    def _steer(self) -> None:
        """Move λ_K or the floors; now and then begin an anneal, or save a checkpoint under a name."""
        random = self._steering
        time.sleep(random.uniform(0.0, 0.06))
        way = random.random()
        if way < 0.03:
            self._ask("/train/anneal", {"steps": LONGEST_ANNEAL - len(self.asked)})
        elif way < 0.1:
            self._ask(f"/runs/{self.run_id}/checkpoints", {"name": f"number {len(self.asked)}"})
        elif way < 0.7:
            self._ask("/config/telemetry", {"lambda_K": random.uniform(0.0, 0.5)})
        else:
            self._ask("/config/telemetry", {"c_floor": random.random(), "s_floor": random.random()})

    def _order(self) -> None:
        """Finish what was cut off, train for a while, pause, and ask for some steps on a text."""
        random = self._ordering
        if self._unfinished is None:
            self._ask("/train/start", {})
            time.sleep(random.uniform(0.1, 0.6))
            self._ask("/train/pause", {})
            begin = random.randrange(len(self._text) - EXCERPT)
            body = {"steps": random.randint(1, 12), "text": self._text[begin : begin + EXCERPT]}
            self._unfinished = Asked("train-step", body, key=f"steps {len(self.asked)}")
            self.asked.append(self._unfinished)
        self._send("/train-step", self._unfinished)
        self._unfinished = None
