"""Does a run of a million steps stay quick to look at? Prints a table and writes it to benchmarks/results/.

The run begins with real steps of the tiny size. The metrics of all further steps are made up (a noisy decay,
with validation, C and S at their usual intervals) and go through the store's own `add_metrics`; so do the
events that so long a run has. Nobody trains a million steps for this: a checkpoint of the last step is saved
with the weights of the real ones, and the service takes the run up there, with nothing to compute again.
Then the real server is asked over HTTP, and its page opened in Chromium with an empty cache each time, while
the run is paused and while it trains on. `python -m benchmarks.million_points`
"""

import argparse
import json
import math
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.record import RESULTS, keep
from benchmarks.service_latency import Row, Service, row, seconds_of, wait_until
from bitlm.data import Corpus
from bitlm.session import RunStore, Session, StepEvent
from bitlm.session.durability import unobserved
from bitlm.session.presets import preset
from bitlm.training import TrainingConfig

METRICS_BAR_S = 0.05
PAGE_BAR_S = 3.0
MAX_POINTS = 1000

REAL_STEPS = 20
STEPS_AT_ONCE = 10_000
STEP_S = 0.05
ALERT_INTERVAL = 50_000
OTHER_RUNS, OTHER_STEPS = 49, 200
"""Runs beside the long one, and the steps of each."""

NEWEST_STEPS = 500
START_DEADLINE_S = 120.0
CHROMIUM = "/usr/bin/chromium-headless-shell"
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DRAWN = """(step) => {
    const chart = document.querySelector('[data-chart="loss"].js-plotly-plot');
    const isDrawn = chart?.querySelector(".scatterlayer path.js-line")?.getAttribute("d");
    return Boolean(isDrawn && chart.data[0].x.at(-1) >= step);
}"""


@dataclass(frozen=True)
class Typical(Row):
    """Times whose median is held to the bar: few openings, or requests that share the cores with training."""

    @property
    def passed(self) -> bool:
        """Whether the bar was kept."""
        return self.bar_ms is None or self.p50_ms < self.bar_ms


@dataclass(frozen=True)
class LongRun:
    """What is known of the run from making it.

    Attributes:
        steps: How many it has.
        row_us: Microseconds that `add_metrics` took for a row, writing included.
        single_row_s: Seconds that one row took that was written by itself, of many such.
        least: Of all its bits per byte.
        greatest: The same.
        database_bytes: Size of the store's file, other runs included.
    """

    run_id: str
    steps: int
    row_us: float
    single_row_s: list[float]
    least: float
    greatest: float
    database_bytes: int


def step_events(first: int, training: TrainingConfig, began_at: float) -> Iterator[StepEvent]:
    """Yield what the steps from `first` on could have measured."""
    draw = random.Random(first)  # noqa: S311 - noise for a curve
    for step in range(first, sys.maxsize):
        trend = 1.8 + 4.5 * math.exp(-step / 2e4) + 1.2 * math.exp(-step / 3e5)
        value = trend + draw.gauss(0, 0.12)
        is_validated, is_probed = (
            step % training.validation_interval == 0,
            step % training.probe_interval == 0,
        )
        yield StepEvent(
            step=step,
            at=began_at + step * STEP_S,
            elapsed_s=step * STEP_S,
            bytes_seen=512 * step,
            loss=value * math.log(2) / 8,
            bits_per_byte=value,
            validation_bits_per_byte=trend + 0.1 + draw.gauss(0, 0.02) if is_validated else None,
            K=1 - trend / 8 + draw.gauss(0, 0.01),
            C=0.7 + draw.gauss(0, 0.05) if is_probed else None,
            S=0.8 + draw.gauss(0, 0.03) if is_probed else None,
            gradient_norm=0.4 + abs(draw.gauss(0, 0.1)),
            learning_rate=training.learning_rate,
            bytes_per_s=512 / STEP_S * draw.uniform(0.9, 1.1),
        )


def begin_run(store: RunStore) -> tuple[Session, list[StepEvent]]:
    """Make a run of the tiny size and do its real steps; the session is closed."""
    model, training = preset("tiny")
    session = Session.create(store, model=model, training=training, corpus=Corpus.embedded())
    real = [session.step() for _ in range(REAL_STEPS)]
    session.checkpoint()
    session.close()
    return session, real


def make_folder(folder: Path, points: int) -> LongRun:
    """Fill a data folder with some short runs and a last one of `points` steps."""
    store = RunStore(folder)
    session, real = begin_run(store)
    training = session.config.training
    _add_other_runs(store, session)
    spent, values = 0.0, [event.bits_per_byte for event in real]
    made = islice(step_events(REAL_STEPS + 1, training, real[-1].at), points - REAL_STEPS)
    while events := list(islice(made, STEPS_AT_ONCE)):
        began = time.perf_counter()
        for event in events:
            store.add_metrics(session.run_id, event)
        store.flush()
        spent += time.perf_counter() - began
        values += [event.bits_per_byte for event in events]
    add_events(store, session, points)
    store.close()
    return LongRun(
        run_id=session.run_id,
        steps=points,
        row_us=1e6 * spent / (points - REAL_STEPS),
        single_row_s=_single_rows(folder, training),
        least=min(values),
        greatest=max(values),
        database_bytes=(folder / RunStore.FILE_NAME).stat().st_size,
    )


def _add_other_runs(store: RunStore, session: Session) -> None:
    for number in range(OTHER_RUNS):
        run_id = f"other-{number}"
        store.add_run(
            run_id, created_at=float(number), parameters=session.model.parameter_count, config=session.config
        )
        for event in islice(step_events(1, session.config.training, 0.0), OTHER_STEPS):
            store.add_metrics(run_id, event)
        store.flush()


def add_events(store: RunStore, session: Session, points: int) -> None:
    """Add what so long a run tells of itself: its checkpoints, all but the last pruned, and some alerts."""
    began_at, interval = (
        session.last_step.at if session.last_step else 0.0,
        session.config.training.checkpoint_interval,
    )
    for step in range(interval, points, interval):
        at = began_at + step * STEP_S
        said = {"path": f"runs/{session.run_id}/checkpoints/{step:010d}", "weights_sha256": "0" * 64}
        store.add_event(
            session.run_id, step=step, at=at, kind="checkpoint_saved", source="session", payload=said
        )
        if step % ALERT_INTERVAL == 0:
            drift = {"metric": "K", "before": 0.5, "after": 0.6}
            store.add_event(
                session.run_id, step=step, at=at, kind="drift_alert", source="session", payload=drift
            )
    newest = store.checkpoints.load(store.checkpoints.at(session.run_id, REAL_STEPS))
    state = {"step": points, "bytes_seen": 512 * points, "elapsed_s": STEP_S * points}
    store.checkpoints.save(
        session.run_id,
        replace(newest, state={**newest.state, **state}),
        at=began_at + points * STEP_S,
        source="session",
        reached=unobserved,
    )


def _single_rows(folder: Path, training: TrainingConfig) -> list[float]:
    """Return how long rows took that were each written by themselves, to a run that is deleted again."""
    store = RunStore(folder)
    config = store.run("other-0").config
    store.add_run("short-lived", created_at=0.0, parameters=0, config=config)
    seconds = []
    for event in islice(step_events(1, training, 0.0), OTHER_STEPS):
        began = time.perf_counter()
        store.add_metrics("short-lived", event)
        store.flush()
        seconds.append(time.perf_counter() - began)
    store.delete_run("short-lived")
    store.close()
    return seconds


class LoadedService(Service):
    """A running server and the process it is."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        super().__init__(url)
        self._process = process

    def fetch(self, path: str) -> bytes:
        """GET `path` and return the answer as it came."""
        with urllib.request.urlopen(self.url + path, timeout=300) as answer:  # noqa: S310 - our own server
            content: bytes = answer.read()
        return content

    def peak_bytes(self) -> int | None:
        """Return the most memory that its process with the model has held, where the system tells it."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if not children.exists():
            return None
        status = Path(f"/proc/{children.read_text().split()[0]}/status").read_text()
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@contextmanager
def service_on(folder: Path) -> Iterator[LoadedService]:
    """Start `python -m app` on that data folder and a free port; stop it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"BITLM_PORT": str(port), "BITLM_DATA_DIR": str(folder), "BITLM_LOG_LEVEL": "error"}
    process = subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | settings)
    try:
        service = LoadedService(f"http://127.0.0.1:{port}", process)
        wait_until(service.is_up, START_DEADLINE_S)
        yield service
    finally:
        process.terminate()
        process.wait(START_DEADLINE_S)


def seconds_to_open(browser: Browser, service: Service, run: LongRun) -> float:
    """Return how long a new visitor waits until the loss chart is drawn, up to the last step."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(service.url, wait_until="commit")
    page.wait_for_function(DRAWN, arg=run.steps, timeout=120_000)
    seconds = time.perf_counter() - began
    context.close()
    return seconds


def checks(service: LoadedService, run: LongRun) -> dict[str, bool]:
    """Return what the answers must be, and whether they are, while nothing changes."""
    path = f"/runs/{run.run_id}/metrics?max_points={MAX_POINTS}"
    answer, again = service.fetch(path), service.fetch(path)
    columns = json.loads(answer)["columns"]
    since = run.steps - NEWEST_STEPS
    newest = json.loads(service.fetch(f"{path}&since={since}"))["columns"]["step"]
    nothing = json.loads(service.fetch(f"{path}&since={run.steps}"))["columns"]["step"]
    return {
        f"at most {MAX_POINTS} points": len(columns["step"]) <= MAX_POINTS,
        "two answers are the same": answer == again,
        "the first and the last step": (columns["step"][0], columns["step"][-1]) == (1, run.steps),
        "the least bits per byte": min(columns["bits_per_byte"]) == run.least,
        "the greatest bits per byte": max(columns["bits_per_byte"]) == run.greatest,
        "the newest steps are all there": newest == list(range(since + 1, run.steps + 1)),
        "after the last step comes nothing": nothing == [],
    }


def _fetching(service: LoadedService, path: str) -> Callable[[int], bytes]:
    """Return what `seconds_of` calls with the number of each request."""
    return lambda _: service.fetch(path)


def look(service: LoadedService, run: LongRun, when: str, options: argparse.Namespace) -> list[Row]:
    """Ask for everything that somebody who looks at the run asks for."""
    path = f"/runs/{run.run_id}/metrics?max_points="
    asked: tuple[tuple[str, str, float | None], ...] = (
        (f"metrics, {MAX_POINTS} points", f"{path}{MAX_POINTS}", METRICS_BAR_S),
        (
            f"metrics, newest {NEWEST_STEPS} steps",
            f"{path}{MAX_POINTS}&since={run.steps - NEWEST_STEPS}",
            METRICS_BAR_S,
        ),
        ("metrics, 3000 points", f"{path}3000", None),
        ("status", "/status", None),
        (f"list of {OTHER_RUNS + 1} runs", "/runs", None),
    )
    rows = []
    for what, target, bar_s in asked:
        seconds = seconds_of(_fetching(service, target), options.requests)
        line = row(f"{what}, {when}", seconds, bar_s)
        rows.append(line if when == "paused" else Typical(**asdict(line)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        opened = [seconds_to_open(browser, service, run) for _ in range(options.visits)]
        browser.close()
    return [*rows, Typical(**asdict(row(f"page opened, {when}", opened, PAGE_BAR_S)))]


def measure(
    folder: Path, run: LongRun, options: argparse.Namespace
) -> tuple[list[Row], dict[str, bool], int | None]:
    """Look at the run while it is paused and while it trains; return the rows, the checks, the memory."""
    began = time.perf_counter()
    with service_on(folder) as service:
        wait_until(lambda: service.call("/status")["state"] == "paused", START_DEADLINE_S)
        taken_up = [time.perf_counter() - began]
        wait_until(lambda: service.call("/status")["baselines"] is not None, START_DEADLINE_S)
        assert service.call("/status")["run_id"] == run.run_id, "the long run is the last that was written"
        found = checks(service, run)
        paused = look(service, run, "paused", options)
        service.call("/train/start", {})
        wait_until(lambda: service.call("/status")["step"] >= run.steps + 2 * REAL_STEPS, START_DEADLINE_S)
        training = look(service, run, "training", options)
        service.call("/train/pause", {})
        peak = service.peak_bytes()
    written = row("one row added and written", run.single_row_s)
    return [written, row("service started, run taken up", taken_up), *paused, *training], found, peak


def main() -> None:
    """Make, measure, print, write; the exit code says whether the bars and the checks were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000, help="steps of the run")
    parser.add_argument("--requests", type=int, default=50, help="of each kind")
    parser.add_argument(
        "--visits", type=int, default=7, help="openings of the page, each with an empty cache"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()[0]

    with TemporaryDirectory() as folder:
        run = make_folder(Path(folder), options.points)
        print(f"{run.row_us:.1f} us for each row added; the store is {run.database_bytes / 2**20:.0f} MB")
        rows, found, peak = measure(Path(folder), run, options)
    print(f"{'':40}{'count':>6}{'p50 ms':>9}{'p95 ms':>9}{'most ms':>9}{'bar ms':>9}")
    for line in rows:
        bar = "" if line.bar_ms is None else f"{line.bar_ms:9.0f}  {'kept' if line.passed else 'MISSED'}"
        print(f"{line.what:40}{line.count:6}{line.p50_ms:9.1f}{line.p95_ms:9.1f}{line.most_ms:9.1f}{bar}")
    for what, is_so in found.items():
        print(f"{what:40}{'yes' if is_so else 'NO'}")
    if peak is not None:
        print(f"the service held {peak / 2**20:.0f} MB at most")
    _write(options, run, rows, {"load_before": load, "service_peak_bytes": peak, "checks": found})
    sys.exit(0 if all(line.passed for line in rows) and all(found.values()) else 1)


def _write(options: argparse.Namespace, run: LongRun, rows: Sequence[Row], also: dict[str, Any]) -> None:
    keep(
        options.output,
        "million_points",
        by=__file__,
        settings={name: getattr(options, name) for name in ("points", "requests", "visits")},
        row_us=run.row_us,
        database_bytes=run.database_bytes,
        **also,
        rows=[asdict(line) | {"passed": line.passed} for line in rows],
    )


if __name__ == "__main__":
    main()
