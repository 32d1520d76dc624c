"""Real Chromium: Debian's package, because the page is tested as people on the target system see it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.conftest import JOB_DEADLINE_S, RunningServer, serving

CHROMIUM = Path("/usr/bin/chromium-headless-shell")
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 120_000
JOB_PATIENCE_MS = 1000 * JOB_DEADLINE_S
SLOWDOWN = float(os.environ.get("SLOWDOWN", "1"))
"""How many times as slow as it is a page shall be: what is read once and comes later is then not there."""
VIEWPORT = ViewportSize(width=1280, height=800)
MODULES = Path(__file__).parents[2] / "static" / "js"
MODULES_ORIGIN = "http://page.test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of the page a second chance, which the summary tells with why the first was lost.

    Chromium, the service and the tests share two cores with whatever else is there: one test of three
    hundred meets a moment that none of a hundred runs before had. Three a run, by pyproject.toml, not more.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass
class Window:
    """A page and what it did behind the scenes.

    Attributes:
        console_errors: What it complained about, uncaught exceptions included.
        hosts: Every host it asked for anything, sockets included.
    """

    page: Page
    console_errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self) -> None:
        """Begin to write down."""
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        self.page.on("request", self._note_request)
        self.page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.console_errors.append(message.text)

    def _note_request(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in {"data", "blob"}:
            self.hosts.add(urlsplit(request.url).netloc)


class OpenWindow(Protocol):
    def __call__(self, url: str, **context: Any) -> Window: ...


class EvaluateModule(Protocol):
    def __call__(self, module: str, expression: str, argument: Any = None) -> Any: ...


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Chromium with a profile on the disk: unlike one in memory it keeps what it compiled of the scripts."""
    if not CHROMIUM.exists():
        pytest.fail(
            f"{CHROMIUM} is missing: install Debian's package of that name (apt-get install {CHROMIUM.name})."
        )
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=str(CHROMIUM),
            args=list(FLAGS),
            viewport=VIEWPORT,
        )
        yield context
        context.close()


@pytest.fixture(scope="session")
def browser(profile: BrowserContext) -> Browser:
    assert profile.browser is not None
    return profile.browser


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty kilobytes of real text, read without the library: importing torch takes longer than a test."""
    path = tmp_path_factory.mktemp("corpus") / "topics.txt"
    path.write_text("\n".join(topics.values())[:20_000])
    return path


@pytest.fixture(scope="session")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all files: to start one, and all that it does a first time, takes longer than a test."""
    with serving(tmp_path_factory.mktemp("server")) as serve:
        yield serve()


@pytest.fixture(scope="module")
def server(lasting_server: RunningServer) -> RunningServer:
    """The server, without any run at the beginning of a file of tests."""
    return without_runs(lasting_server)


@pytest.fixture
def empty_server(server: RunningServer) -> RunningServer:
    """The server, without any run."""
    return without_runs(server)


def without_runs(server: RunningServer) -> RunningServer:
    """Delete every run of a server for good."""
    if server.ask("GET", "/status")["state"] == "training":
        server.ask("POST", "/train/pause", {})
    for trashed in ("false", "true"):
        for run in server.ask("GET", f"/runs?trashed={trashed}")["runs"]:
            server.ask("DELETE", f"/runs/{run['run_id']}", {"confirm": run["run_id"]})
    return server


@pytest.fixture
def open_window(profile: BrowserContext, browser: Browser) -> Iterator[OpenWindow]:
    """Open a page that remembers nothing; keyword arguments are Playwright's for a context.

    The first that needs no such arguments is in the browser's own profile, where it loads in half the time.
    """
    contexts: list[BrowserContext] = []

    def open_at(url: str, **context: Any) -> Window:
        if context or profile in contexts:
            made = browser.new_context(**{"viewport": VIEWPORT} | context)
        else:
            made = profile
            forget(made, url)
        contexts.append(made)
        made.set_default_timeout(PATIENCE_MS)
        window = Window(slowed(made.new_page()))
        window.watch()
        window.page.goto(url)
        return window

    yield open_at
    for context in contexts:
        if context is profile:
            close_pages(profile)
        else:
            context.close()


def slowed(page: Page, times: float | None = None) -> Page:
    """Have a page compute as on a machine that is so many times as slow; by default as SLOWDOWN says."""
    if times is not None or SLOWDOWN > 1:
        session = page.context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": times or SLOWDOWN})
    return page


def forget(profile: BrowserContext, url: str) -> None:
    """Let an address find the profile as if it had never been there, but for what is compiled and cached."""
    address = urlsplit(url)
    session = profile.new_cdp_session(profile.pages[0])
    origin = f"{address.scheme}://{address.netloc}"
    session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    session.detach()


def close_pages(profile: BrowserContext) -> None:
    """Close every page but the one it began with, without which it would end."""
    profile.set_offline(offline=False)
    for page in profile.pages[1:]:
        page.close()


@pytest.fixture(scope="session")
def evaluate_module(browser: Browser) -> Iterator[EvaluateModule]:
    """Evaluate `(module, argument) => …` with one of the page's modules, without a server."""
    context = browser.new_context()
    context.route(f"{MODULES_ORIGIN}/**", _serve_module)
    page = context.new_page()
    page.goto(f"{MODULES_ORIGIN}/")

    def evaluate(module: str, expression: str, argument: Any = None) -> Any:
        program = f"async (argument) => ({expression})(await import('/{module}'), argument)"
        return page.evaluate(program, argument)

    yield evaluate
    context.close()


def _serve_module(route: Route) -> None:
    name = urlsplit(route.request.url).path.removeprefix("/")
    if name:
        route.fulfill(path=MODULES / name, content_type="text/javascript")
    else:
        route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")
