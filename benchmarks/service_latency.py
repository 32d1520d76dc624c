"""Does the service stay responsive while it trains? Prints a table and writes it to benchmarks/results/.

Starts the real server, trains the default size on the embedded corpus at full speed, and asks for its status
and for samples of 64 bytes. The gate's floors are set to 0, so a request is one sample and never a retry. The
idle figures are of the same requests, with the same seeds, while training is paused.
`python -m benchmarks.service_latency`
"""

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError

import numpy as np

from benchmarks.record import RESULTS, keep

SAMPLE_BYTES = 64
MARGIN_S = 0.1
"""What the bars allow beside the waiting and the work that cannot be avoided."""

START_DEADLINE_S = 120.0
PAUSE_BETWEEN_REQUESTS_S = 0.02


@dataclass(frozen=True)
class Row:
    """Times of one kind of request, in milliseconds, and the bar its 95th percentile is held to."""

    what: str
    count: int
    p50_ms: float
    p95_ms: float
    most_ms: float
    bar_ms: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the bar was kept; true where there is none."""
        return self.bar_ms is None or self.p95_ms < self.bar_ms


class Service:
    """A running server, spoken to over HTTP with a connection for each request."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET `path`, or POST `body` to it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - our own server
            content: dict[str, Any] = json.load(answer)
        return content

    def sample(self, seed: int) -> None:
        """Ask for one sample."""
        self.call("/infer", {"prompt": "The ", "max_new_bytes": SAMPLE_BYTES, "seed": seed})

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.call("/healthz")["status"] == "ok")
        except URLError:
            return False


@contextmanager
def running_service() -> Iterator[Service]:
    """Start `python -m app` on a free port with a data folder of its own; stop it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        settings = {"BITLM_PORT": str(port), "BITLM_DATA_DIR": folder, "BITLM_LOG_LEVEL": "error"}
        process = subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | settings)
        try:
            service = Service(f"http://127.0.0.1:{port}")
            wait_until(service.is_up, START_DEADLINE_S)
            yield service
        finally:
            process.terminate()
            process.wait(START_DEADLINE_S)


def wait_until(condition: Callable[[], bool], deadline_s: float) -> None:
    """Ask again and again until it is so.

    Raises:
        TimeoutError: It was not so by the deadline.
    """
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service did not get there within {deadline_s:.0f} s; its log is above.")
        time.sleep(0.1)


def seconds_of(request: Callable[[int], object], count: int) -> list[float]:
    """Return how long each of `count` requests took, a short pause between them."""
    seconds = []
    for index in range(count):
        began = time.perf_counter()
        request(index)
        seconds.append(time.perf_counter() - began)
        time.sleep(PAUSE_BETWEEN_REQUESTS_S)
    return seconds


def row(what: str, seconds: Sequence[float], bar_s: float | None = None) -> Row:
    """Summarise times in seconds."""
    p50, p95, most = (1000 * float(np.percentile(seconds, share)) for share in (50, 95, 100))
    return Row(what, len(seconds), p50, p95, most, None if bar_s is None else 1000 * bar_s)


def measure(service: Service, options: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Train, ask while it trains, pause, ask again; return the rows and the run's settings."""
    created = service.call("/init", {})
    service.call("/config/telemetry", {"c_floor": 0.0, "s_floor": 0.0})
    service.call("/train/start", {})
    wait_until(lambda: service.call("/status")["elapsed_s"] >= options.warm_up_s, 20 * options.warm_up_s)
    wait_until(lambda: service.call("/status")["baselines"] is not None, START_DEADLINE_S)
    first_step = service.call("/status")["step"]
    status = seconds_of(lambda _: service.call("/status"), options.status_requests)
    infer = seconds_of(service.sample, options.infer_requests)
    service.call("/train/pause", {})
    own = seconds_of(service.sample, options.infer_requests)
    idle_status = seconds_of(lambda _: service.call("/status"), options.status_requests)
    steps = step_seconds(service, created["run_id"], first_step)
    bar_s = float(np.percentile(steps, 95) + np.percentile(own, 95)) + MARGIN_S
    rows = [
        row("step of training", steps),
        row("GET /status, paused", idle_status),
        row("GET /status, training", status, MARGIN_S),
        row("POST /infer, paused", own),
        row("POST /infer, training", infer, bar_s),
    ]
    return rows, created["config"]


def step_seconds(service: Service, run_id: str, since: int) -> list[float]:
    """Return how long each step after that one took, without the samples drawn between them."""
    columns = service.call(f"/runs/{run_id}/metrics?since={since}&max_points=3000")["columns"]
    return [after - before for before, after in itertools.pairwise(columns["elapsed_s"])]


def main() -> None:
    """Measure, print, write; the exit code says whether the bars were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--status-requests", type=int, default=200)
    parser.add_argument("--infer-requests", type=int, default=20)
    parser.add_argument(
        "--warm-up-s", type=float, default=10.0, help="seconds of training before the first request"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    with running_service() as service:
        rows, config = measure(service, options)
    print(f"{'':30}{'count':>6}{'p50 ms':>9}{'p95 ms':>9}{'most ms':>9}{'bar ms':>9}")
    for line in rows:
        bar = "" if line.bar_ms is None else f"{line.bar_ms:9.1f}  {'kept' if line.passed else 'MISSED'}"
        print(f"{line.what:30}{line.count:6}{line.p50_ms:9.1f}{line.p95_ms:9.1f}{line.most_ms:9.1f}{bar}")
    _write(options, rows, config)
    sys.exit(0 if all(line.passed for line in rows) else 1)


def _write(options: argparse.Namespace, rows: Sequence[Row], config: dict[str, Any]) -> None:
    names = ("status_requests", "infer_requests", "warm_up_s")
    keep(
        options.output,
        "service_latency",
        by=__file__,
        settings={name: getattr(options, name) for name in names} | {"sample_bytes": SAMPLE_BYTES},
        config=config,
        rows=[asdict(line) | {"passed": line.passed} for line in rows],
    )


if __name__ == "__main__":
    main()
