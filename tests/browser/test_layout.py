"""Where things are on the page: nothing runs out of its place, under a scrollbar or over its neighbour."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import CHROMIUM, FLAGS, PATIENCE_MS, slowed
from tests.browser.pages import make_run, set_exactly
from tests.conftest import RunningServer

STEPS = 80
CAPTION_FAULTS = """() => {
    const caption = document.querySelector(".chart-loss figcaption");
    const box = caption.getBoundingClientRect();
    const names = ["h2", ".help-button", ".reading", ".chart-tools button", ".chart-tools select"];
    const parts = [...caption.querySelectorAll(names)]
        .filter((one) => one.offsetParent)
        .map((one) => [one.textContent.trim().slice(0, 20) || one.className, one.getBoundingClientRect()]);
    const isOut = ([, { left, right }]) => left < box.left - 1 || right > box.right + 1;
    const touch = ([, one], [, other]) => one.left < other.right - 1 && other.left < one.right - 1
        && one.top < other.bottom - 1 && other.top < one.bottom - 1;
    return [
        ...parts.filter(isOut).map(([name]) => `${name} is out of the chart`),
        ...parts.flatMap((one, index) => parts.slice(index + 1).filter((other) => touch(one, other))
            .map((other) => `${one[0]} is over ${other[0]}`)),
    ];
}"""
PLACES = """() => ["[data-y-scale=loss]", "[data-save-chart=loss]", "[data-x-axis]", "[data-chart=loss]"]
    .map((place) => document.querySelector(place).getBoundingClientRect())
    .map(({ left, top, height }) => [left, top, height])"""


@pytest.fixture(scope="module")
def page(server: RunningServer, browser: Browser, corpus_file: Path) -> Iterator[Page]:
    """A page of a run that has passed a baseline, in a Chromium whose scrollbars take room as on a desk."""
    chromium = browser.browser_type.launch(
        executable_path=str(CHROMIUM), args=list(FLAGS), ignore_default_args=["--hide-scrollbars"]
    )
    page = slowed(chromium.new_page(viewport={"width": 1280, "height": 800}))
    page.set_default_timeout(PATIENCE_MS)
    make_run(page, server.url, corpus_file.read_text(), validation_interval=5)
    server.ask("POST", "/train-step", {"steps": STEPS})
    page.goto(server.url)
    yield page
    chromium.close()


@pytest.mark.parametrize("width", [360, 390, 640, 820, 930, 1024, 1100, 1180, 1280, 1440, 1620, 1680])
def test_reset_zoom_pushes_nothing_out_of_the_chart_and_moves_nothing(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("[data-milestone]")).not_to_have_text("–")
    page.evaluate("() => (location.hash = 'x=step')")
    expect(page.locator("[data-reset-zoom]")).to_be_hidden()
    assert page.evaluate(CAPTION_FAULTS) == []
    before = page.evaluate(PLACES)
    page.evaluate("() => (location.hash = 'zoom=x:10..60')")
    expect(page.locator("[data-reset-zoom]")).to_be_visible()
    assert page.evaluate(CAPTION_FAULTS) == []
    if width > 560:  # on a phone there is a row for it
        assert page.evaluate(PLACES) == before


@pytest.mark.parametrize("viewport", [(1280, 800), (390, 844)])
def test_a_refusal_stands_in_its_own_row_and_covers_no_other(page: Page, viewport: tuple[int, int]) -> None:
    page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
    places = """() => [...document.querySelectorAll(".setting :is(.setting-name, .setting-number)")]
        .map((one) => one.getBoundingClientRect()).map(({ top, left, right }) => [top, left, right])"""
    page.evaluate("() => scrollTo(0, 0)")
    before = page.evaluate(places)
    set_exactly(page, "λ C", "4")
    refusal = page.locator('[data-setting="lambda_C"] [data-refusal]')
    expect(refusal).to_be_visible()
    expect(refusal).to_have_text("λC is a number from 0 to 1.")
    page.evaluate("() => scrollTo(0, 0)")
    assert page.evaluate(places) == before
    box = refusal.bounding_box()
    row = page.locator('[data-setting="lambda_C"]').bounding_box()
    assert box
    assert row
    assert row["y"] <= box["y"] + 1
    assert box["y"] + box["height"] <= row["y"] + row["height"] + 1
    assert refusal.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    page.locator("#lambda_C-slider").press("ArrowRight")  # the slider is there for who goes to it
    expect(refusal).to_be_hidden()


def test_a_popover_keeps_clear_of_the_scrollbar(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    room = page.evaluate("() => document.documentElement.clientWidth")
    assert room < 390, "there is a scrollbar"
    for name in ("K", "λ C", "throughput"):
        opener = page.get_by_role("button", name=f"What is {name}?")
        opener.click()
        expect(opener).to_have_attribute("aria-expanded", "true")  # said when it is put in its place
        right = page.evaluate("() => document.querySelector(':popover-open').getBoundingClientRect().right")
        assert right <= room
        page.keyboard.press("Escape")
