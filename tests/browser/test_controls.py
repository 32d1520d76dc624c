"""What acts on a run from the page: the panels beside the charts, the form of a new run, the list of runs."""

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import set_exactly, start_tiny_run, state
from tests.conftest import RunningServer

PLACES = """() => [...document.querySelectorAll(".steering *, .run *, .generation *")]
    .filter((one) => one.checkVisibility() && !one.closest("[data-refusal], [data-row-state]"))
    .map((one) => one.getBoundingClientRect()).map(({ x, y, width, height }) => [x, y, width, height])"""


def figure(page: Page, name: str) -> Locator:
    return page.locator(f'[data-figure="{name}"]')


def make_run(page: Page, url: str, **settings: Any) -> str:
    """Make a run over REST, for tests that are not about the form; return its id."""
    tiny = {"size": "tiny", "max_seq_len": 256, "text": Path(__file__).read_text() * 2}
    answer = page.request.post(f"{url}/init", data={**tiny, **settings})
    assert answer.ok, answer.text()
    return str(answer.json()["run_id"])


def test_step_does_so_many_steps_and_no_more(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    button = page.get_by_role("button", name="Step", exact=True)
    expect(button).to_have_attribute("title", re.compile("There is no run yet"))
    start_tiny_run(page, corpus_file)
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "Training is running: pause it first")
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")
    done = int(figure(page, "step").inner_text().replace(",", ""))
    button.click()
    expect(figure(page, "step")).to_have_text(f"{done + 1:,}")
    expect(state(page)).to_have_text("paused")
    page.get_by_label("Steps to do").fill("3")
    page.get_by_label("Steps to do").press("Enter")
    expect(figure(page, "step")).to_have_text(f"{done + 4:,}")
    expect(state(page)).to_have_text("paused")


def test_beside_the_charts_everything_fits_and_nothing_moves_when_a_setting_is_told_or_refused(
    server: RunningServer, open_window: OpenWindow
) -> None:
    page = open_window(server.url).page
    make_run(page, server.url)
    expect(state(page)).to_have_text("ready")
    expect(page.locator('[data-setting="s_floor"] [data-note]')).to_have_text(re.compile("rejects"))
    assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
    places = page.evaluate(PLACES)

    set_exactly(page, "λ C", "0.2")
    row = page.locator('[data-setting="lambda_C"]')
    expect(row).to_contain_text("applied at step 0")
    told = row.locator("[data-row-state]")
    expect(told).to_have_attribute("title", re.compile("^Applied at step 0 · page · "))
    assert page.evaluate(PLACES) == places
    set_exactly(page, "λ C", "7")
    expect(row.get_by_role("alert")).to_have_text("λC is a number from 0 to 1.")
    assert page.evaluate(PLACES) == places
    for setting in page.locator(".steering [data-setting]").all():
        boxes = [setting.locator(part).bounding_box() for part in ("label", "[type=range]", "[type=number]")]
        middles = [box["y"] + box["height"] / 2 for box in boxes if box is not None]
        assert max(middles) - min(middles) < 4
