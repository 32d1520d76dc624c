"""A page that only watches, in a real browser."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import state
from tests.conftest import TINY, RunningServer, Serve, WaitUntil

LAST_STEP = "() => document.querySelector('[data-chart=loss]').data?.[0].x.at(-1) ?? 0"


def test_a_page_that_only_watches_draws_the_run_of_another_service_and_offers_nothing(
    server: RunningServer, serve: Serve, open_window: OpenWindow, corpus_file: Path, wait_until: WaitUntil
) -> None:
    server.ask("POST", "/init", TINY | {"corpus": str(corpus_file)})
    window = open_window(serve(server.data_dir, BITLM_VIEWER="true").url)
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
