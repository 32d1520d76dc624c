"""Does the service stay as it was while it is used for long? Prints a table, writes its results.

The real service branches off and deletes run after run; then it trains a tiny run until so many figures are
kept, while clients come, load the page, watch until they are told of a step, and go. What it holds in memory
at the end is compared with what it held once it had done each of these a few times.
`python -m benchmarks.soak`
"""

import argparse
import json
import socket
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.packets import CONNECT
from benchmarks.record import RESULTS, keep
from benchmarks.service_latency import START_DEADLINE_S, wait_until
from benchmarks.target import PLOTLY, Target, target
from benchmarks.wire import exchange, handshake

WARM = 10
"""Forks and visits before the first look at the memory, and as many thousandths of the figures."""
WATCHED_S = 60.0
"""Within which a client that watches must be told of a step."""
GROWTH_BAR_BYTES = 50 * 10**6
MOST_CHECKPOINTS = 5
"""What is kept of a run that nobody named a checkpoint of: the three newest, the best and the first."""
PAGES = ("/", "/status", "/runs", PLOTLY)


@dataclass(frozen=True)
class Row:
    """What the service was before and after.

    Attributes:
        figures: Non-empty figures of steps in the database.
        forks: Runs branched off and deleted.
        visits: Clients that came and went.
        failed_visits: Of these, how many were not served.
        resident_before_bytes: Memory it held when warm.
        resident_after_bytes: Memory it held at the end.
        store_bytes: The data folder at the end.
        checkpoints: Of the run that was trained, at the end.
        left_over: Folders of runs that are deleted.
        logged_errors: Lines of its log that tell of one.
        seconds: By the clock.
    """

    figures: int
    forks: int
    visits: int
    failed_visits: int
    resident_before_bytes: int
    resident_after_bytes: int
    store_bytes: int
    checkpoints: int
    left_over: int
    logged_errors: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every bar was kept."""
        return (
            self.resident_after_bytes - self.resident_before_bytes < GROWTH_BAR_BYTES
            and self.checkpoints <= MOST_CHECKPOINTS
            and self.left_over == self.logged_errors == self.failed_visits == 0
        )


class Visitors(Thread):
    """Clients, one after the other: each loads the page and its data, and waits to be told of a step."""

    def __init__(self, service: Target, run_id: str, count: int) -> None:
        super().__init__(daemon=True)
        self._service, self._count = service, count
        self._pages = (*PAGES, f"/runs/{run_id}/metrics", f"/runs/{run_id}/events")
        self.visits = self.failed = 0

    def run(self) -> None:
        """Visit until there were enough."""
        while self.visits < self._count:
            self.failed += not self._visit()
            self.visits += 1

    def _visit(self) -> bool:
        try:
            for page in self._pages:
                with urllib.request.urlopen(self._service.url + page, timeout=60) as answer:  # noqa: S310 - ours
                    answer.read()
            with socket.create_connection(self._service.address) as connection:
                began = exchange(connection, handshake(self._service.address), b"\r\n\r\n", START_DEADLINE_S)
                return b" 101 " in began and b"update" in exchange(connection, CONNECT, b"update", WATCHED_S)
        except OSError:
            return False


def ask(service: Target, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return what it answers."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        service.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
        content: dict[str, Any] = json.load(answer)
    return content


def branch_and_delete(service: Target, run_id: str, times: int) -> None:
    """Branch runs off, each deleted once the next is live, and go back."""
    before = None
    for _ in range(times):
        forked = ask(service, "POST", f"/runs/{run_id}/fork", {"step": 0})["run_id"]
        if before is not None:
            ask(service, "DELETE", f"/runs/{before}", {"confirm": before})
        before = forked
    ask(service, "POST", f"/runs/{run_id}/open", {})
    if before is not None:
        ask(service, "DELETE", f"/runs/{before}", {"confirm": before})


def train_watched(service: Target, run_id: str, steps: int, visits: int) -> Visitors:
    """Train up to that step, and on until so many have come and gone; then pause."""
    visitors = Visitors(service, run_id, visits)
    service.call("/train/start", {})
    visitors.start()
    while service.call("/status")["step"] < steps or visitors.is_alive():
        time.sleep(0.5)
    service.call("/train/pause", {})
    return visitors


def kept_figures(service: Target, run_id: str) -> int:
    """Return how many figures of a run there are: of each step, and of the steps that look for more."""
    columns = service.call(f"/runs/{run_id}/metrics?max_points=3000")["columns"]
    rows, steps = len(columns["step"]), service.call("/status")["step"]
    of_each = sum(all(value is not None for value in column) for column in columns.values())
    return steps * of_each if rows else 0


def soaked(service: Target, figures: int, visits: int, forks: int) -> Row:
    """Use the service for long."""
    began = time.monotonic()
    run_id = service.make_run(checkpoint_interval=500)
    service.call("/train-step", {"steps": 10})
    per_step = kept_figures(service, run_id) // 10
    steps = figures // per_step + 1
    branch_and_delete(service, run_id, WARM)
    warm = train_watched(service, run_id, steps * WARM // 1000, WARM)
    before = service.resident_bytes

    branch_and_delete(service, run_id, forks)
    visitors = train_watched(service, run_id, steps, visits)
    wait_until(lambda: service.call("/status")["state"] == "paused", START_DEADLINE_S)
    listed = {run["run_id"] for run in service.call("/runs")["runs"]}
    folders = {folder.name for folder in (service.data_dir / "runs").iterdir()}
    return Row(
        figures=kept_figures(service, run_id),
        forks=WARM + forks,
        visits=warm.visits + visitors.visits,
        failed_visits=warm.failed + visitors.failed,
        resident_before_bytes=before,
        resident_after_bytes=service.resident_bytes,
        store_bytes=sum(path.stat().st_size for path in service.data_dir.rglob("*") if path.is_file()),
        checkpoints=len(service.call(f"/runs/{run_id}/checkpoints")["checkpoints"]),
        left_over=len(folders - listed),
        logged_errors=len(service.complaints()),
        seconds=round(time.monotonic() - began),
    )


def main() -> None:
    """Soak, print, write; the exit code says whether the bars were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=int, default=1_000_000, help="kept of the steps of the run")
    parser.add_argument("--visits", type=int, default=200)
    parser.add_argument("--forks", type=int, default=500)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    with target(BITLM_LOG_LEVEL="warning") as service:
        row = soaked(service, options.figures, options.visits, options.forks)
        for line in service.complaints()[:5]:
            print(line)
    for name, value in asdict(row).items():
        print(f"{name:24}{value:>16,}")
    settings = {name: getattr(options, name) for name in ("figures", "visits", "forks")}
    keep(options.output, "soak", by=__file__, settings=settings, row=asdict(row))
    sys.exit(0 if row.passed else 1)


if __name__ == "__main__":
    main()
