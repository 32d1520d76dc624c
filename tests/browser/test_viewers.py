"""A page that only watches, in a real browser, and one that steers a training in a terminal."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import state
from tests.conftest import DEADLINE_S, TINY, RunningServer, WaitUntil, serving, training

LAST_STEP = "() => document.querySelector('[data-chart=loss]').data?.[0].x.at(-1) ?? 0"
SAVED_BY_HAND = """() => [...document.querySelectorAll("[data-checkpoints] input")].some(
    (name) => name.value === "saved by hand")"""


@pytest.fixture(scope="module")
def viewer(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One that watches the folder of the server, and may steer what that does not own."""
    with serving(tmp_path_factory.mktemp("viewer")) as serve:
        yield serve(server.data_dir, BITLM_VIEWER="true", BITLM_STEER="true")


@pytest.fixture
def terminal(viewer: RunningServer, corpus_file: Path) -> Iterator[subprocess.Popen[str]]:
    with training(viewer.data_dir, corpus_file) as begun:
        yield begun


def test_a_page_that_only_watches_draws_the_run_of_another_service_and_offers_nothing(
    server: RunningServer,
    viewer: RunningServer,
    open_window: OpenWindow,
    corpus_file: Path,
    wait_until: WaitUntil,
) -> None:
    server.ask("POST", "/init", TINY | {"corpus": str(corpus_file)})
    window = open_window(viewer.url)
    page = window.page
    expect(state(page)).to_have_text("ready")
    server.ask("POST", "/train/start", {})
    expect(state(page)).to_have_text("training")
    drawn = wait_until(lambda: page.evaluate(LAST_STEP))
    wait_until(lambda: page.evaluate(LAST_STEP) > drawn)
    paused = server.ask("POST", "/train/pause", {})
    expect(state(page)).to_have_text("paused")
    expect(page.locator('[data-figure="step"]')).to_have_text(f"{paused['step']:,}")
    expect(page.locator("[data-banner]")).to_contain_text("Watching only: app (process ")
    for name in ("Resume", "Step", "Pause", "Stop", "Generate", "Calibrate", "Save now"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "This page only watches")
    page.get_by_role("button", name="All runs").click()
    row = page.get_by_role("dialog").locator(f'tr[data-run="{paused["run_id"]}"]')
    expect(row.get_by_role("link", name="CSV")).to_be_visible()
    for name in ("Archive", "Delete", "Distil", "Replay"):
        expect(row.get_by_role("button", name=name)).to_have_count(0)
    assert window.console_errors == []


def test_a_page_that_watches_a_training_in_a_terminal_steers_and_stops_it(
    terminal: subprocess.Popen[str], viewer: RunningServer, open_window: OpenWindow
) -> None:
    window = open_window(viewer.url)
    page = window.page
    expect(page.locator("[data-banner]")).to_contain_text("bitlm train (process ")
    expect(page.locator("[data-banner]")).to_contain_text("Stop reach it from here.")
    for name in ("Pause", "Generate", "Calibrate"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "This page only watches and steers")
    row = page.locator('[data-setting="lambda_K"]')
    row.get_by_label("exact value").fill("0.25")
    row.get_by_label("exact value").press("Enter")
    expect(row).to_contain_text("applied at step")
    expect(row.get_by_label("exact value")).to_have_value("0.25")
    page.get_by_role("button", name="Save now").click()
    page.wait_for_function(SAVED_BY_HAND)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(state(page)).to_have_text("stopped")
    expect(page.locator("[data-banner]")).to_contain_text("Watching only: ")
    terminal.communicate(timeout=DEADLINE_S)
    assert terminal.returncode == 0
    expect(page.locator("[data-banner]")).to_contain_text("nobody writes this run now")
    expect(row.get_by_label("exact value")).to_be_disabled()
    assert window.console_errors == []
