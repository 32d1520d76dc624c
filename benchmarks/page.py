"""Is the page quick, and does it stay so? Prints a table and writes it to benchmarks/results/.

Opens, in Chromium and with an empty cache each time, the page of a paused run of 100,000 steps with figures
in every column that charts are drawn from; made up, as `benchmarks.million_points` says. Then lets it train
with the page open: what JavaScript takes for an update, the longest time the page was busy at once, and what
the page holds in memory after each minute, rubbish collected. `python -m benchmarks.page --minutes 20`
"""

import argparse
import os
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Request, sync_playwright

from benchmarks.million_points import (
    CHROMIUM,
    FLAGS,
    REAL_STEPS,
    START_DEADLINE_S,
    LoadedService,
    add_events,
    begin_run,
    service_on,
    step_events,
)
from benchmarks.record import RESULTS, keep
from benchmarks.service_latency import wait_until
from bitlm.session import RunStore, StepEvent
from bitlm.training import TrainingConfig

STEPS_AT_ONCE = 10_000
UPDATES_A_SECOND = 4
SETTLING_S = 60
"""What Plotly and the browser keep after the first minute is theirs; growth counts from there."""

PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
INTERACTIVE = """(step) => {
    const charts = [...document.querySelectorAll("[data-chart]")].filter((one) => one.checkVisibility()
        && one.getBoundingClientRect().top < innerHeight);
    const train = document.querySelector('[data-action="train"]');
    const drawn = charts.every((one) => one.querySelector(".scatterlayer path.js-line")?.getAttribute("d"));
    const isDone = train?.disabled === false && drawn && charts[0].data[0].x.at(-1) >= step;
    return isDone && performance.now();
}"""
WATCH_TASKS = """() => {
    window.longestTask = 0;
    new PerformanceObserver((list) => {
        const durations = list.getEntries().map(({ duration }) => duration);
        window.longestTask = Math.max(window.longestTask, ...durations);
    }).observe({ type: "longtask" });
}"""


@dataclass(frozen=True)
class Figure:
    """One thing measured, and the bar it is held to; None where there is none."""

    what: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the bar was kept; true where there is none."""
        return self.bar is None or self.value <= self.bar


@dataclass(frozen=True)
class Opening:
    """How one visitor with an empty cache fared.

    Attributes:
        painted_s: Until the browser painted anything of the page.
        interactive_s: Until all charts in view were drawn up to the last step, and Train could be pressed.
        transferred_bytes: As they came over the wire, headers included.
        foreign_requests: To any other host.
    """

    painted_s: float
    interactive_s: float
    transferred_bytes: float
    foreign_requests: int


def whole_events(first: int, training: TrainingConfig, began_at: float) -> Iterator[StepEvent]:
    """Yield `step_events` with figures in the columns that these leave empty."""
    draw = random.Random(first)  # noqa: S311 - noise for a curve
    for event in step_events(first, training, began_at):
        more: dict[str, Any] = {"resident_bytes": 4 * 10**8 + event.step, "telemetry_share": 0.015}
        if event.C is not None:
            more |= {"symbiosis_kl": 0.1 + draw.gauss(0, 0.01), "utf8_validity": 1.0}
        if event.validation_bits_per_byte is not None:
            share = event.validation_bits_per_byte / 8
            more["validation_bits_per_bit"] = tuple(share * draw.uniform(0.5, 1.5) for _ in range(8))
        if event.step % training.diagnostics_interval == 0:
            heads = tuple(tuple(draw.uniform(2, 7) for _ in range(2)) for _ in range(2))
            layers = tuple(statistics.fmean(layer) for layer in heads)
            more |= {"attention_entropy_heads": heads, "attention_entropy_layers": layers}
            more |= {"attention_entropy": statistics.fmean(layers), "inversion_error": 0.0}
            more |= {"gradient_norm_blocks": tuple(draw.uniform(0.05, 0.3) for _ in range(5))}
        yield event.model_copy(update=more)


def make_run(folder: Path, points: int) -> str:
    """Fill a data folder with one run of so many steps and return its name."""
    store = RunStore(folder)
    session, real = begin_run(store)
    made = islice(whole_events(REAL_STEPS + 1, session.config.training, real[-1].at), points - REAL_STEPS)
    while events := list(islice(made, STEPS_AT_ONCE)):
        for event in events:
            store.add_metrics(session.run_id, event)
        store.flush()
    add_events(store, session, points)
    store.close()
    return session.run_id


def open_page(browser: Browser, service: LoadedService, points: int) -> tuple[BrowserContext, Page, Opening]:
    """Open the page with an empty cache and wait until one can work with it."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    hosts: list[str] = []
    page.on("request", lambda request: hosts.append(_host(request)))
    wire = context.new_cdp_session(page)
    transferred: list[float] = []
    wire.on("Network.loadingFinished", lambda told: transferred.append(told["encodedDataLength"]))
    wire.send("Network.enable")
    page.goto(service.url, wait_until="commit")
    interactive_ms = page.wait_for_function(INTERACTIVE, arg=points, timeout=120_000).json_value()
    ours = {urlsplit(service.url).netloc, ""}  # none: data and blob addresses, which ask nobody
    foreign = sum(host not in ours for host in hosts)
    opening = Opening(page.evaluate(PAINTED) / 1000, interactive_ms / 1000, sum(transferred), foreign)
    return context, page, opening


def _host(request: Request) -> str:
    return urlsplit(request.url).netloc


def opened(service: LoadedService, browser: Browser, options: argparse.Namespace) -> list[Figure]:
    """Open the page several times."""
    openings = []
    for _ in range(options.visits):
        context, _, opening = open_page(browser, service, options.points)
        openings.append(opening)
        context.close()
    middle = {name: statistics.median(asdict(one)[name] for one in openings) for name in asdict(openings[0])}
    return [
        Figure("first paint", middle["painted_s"], "s", 1.0),
        Figure("charts drawn, Train can be pressed", middle["interactive_s"], "s", 3.0),
        Figure("transferred at first", middle["transferred_bytes"] / 1e6, "MB", 2.0),
        Figure("requests to other hosts", max(one.foreign_requests for one in openings), "", 0),
    ]


def streamed(service: LoadedService, browser: Browser, options: argparse.Namespace) -> list[Figure]:
    """Let the run train with its page open, and look at the page each minute."""
    context, page, _ = open_page(browser, service, options.points)
    wire = context.new_cdp_session(page)
    wire.send("Performance.enable")
    service.call("/train/start", {})
    page.locator('[data-state="training"]').wait_for()
    page.wait_for_timeout(1000 * SETTLING_S)
    page.evaluate(WATCH_TASKS)
    begin, held = _told(wire), [_held_bytes(wire)]
    for _ in range(options.minutes):
        page.wait_for_timeout(60_000)
        held.append(_held_bytes(wire))
    end = _told(wire)
    updates = UPDATES_A_SECOND * (end["Timestamp"] - begin["Timestamp"])
    longest_ms = page.evaluate("() => window.longestTask")
    service.call("/train/pause", {})
    context.close()
    scripting_ms = 1000 * (end["ScriptDuration"] - begin["ScriptDuration"]) / updates
    return [
        Figure("scripting for an update, 4 a second", scripting_ms, "ms", 50.0),
        Figure("longest time busy at once", longest_ms, "ms"),
        Figure(f"memory grown in {options.minutes} minutes", (max(held) - held[0]) / 1e6, "MB", 20.0),
        Figure("memory held at the end", held[-1] / 1e6, "MB"),
    ]


def _told(wire: CDPSession) -> dict[str, float]:
    return {one["name"]: one["value"] for one in wire.send("Performance.getMetrics")["metrics"]}


def _held_bytes(wire: CDPSession) -> float:
    wire.send("HeapProfiler.collectGarbage")
    return _told(wire)["JSHeapUsedSize"]


def main() -> None:
    """Make, measure, print, write; the exit code says whether the bars were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000, help="steps of the run")
    parser.add_argument("--visits", type=int, default=7, help="openings, each with an empty cache")
    parser.add_argument("--minutes", type=int, default=20, help="of training with the page open")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()[0]

    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        run_id = make_run(Path(folder), options.points)
        with service_on(Path(folder)) as service:
            wait_until(lambda: service.call("/status")["baselines"] is not None, START_DEADLINE_S)
            assert service.call("/status")["run_id"] == run_id, "the service takes up the last run"
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            figures = [*opened(service, browser, options), *streamed(service, browser, options)]
            browser.close()
    print(f"{'':42}{'':>9}{'bar':>14}")
    for one in figures:
        bar = "" if one.bar is None else f"{one.bar:10g}  {'kept' if one.passed else 'MISSED'}"
        print(f"{one.what:42}{one.value:9.2f} {one.unit:3}{bar}")
    settings = {name: getattr(options, name) for name in ("points", "visits", "minutes")}
    told = [asdict(one) | {"passed": one.passed} for one in figures]
    keep(options.output, "page", by=__file__, settings=settings, load_before=load, figures=told)
    sys.exit(0 if all(one.passed for one in figures) else 1)


if __name__ == "__main__":
    main()
