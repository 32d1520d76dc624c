"""The page by axe-core's rules, in every state, both themes, on a phone; and its main job by keys alone."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import open_form, set_exactly, start_tiny_run, state
from tests.conftest import RunningServer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
"""As the package brings it; evaluated by the browser's debugger, which the page's policy does not bind."""

GRAVE = """async () => (await axe.run({ exclude: [".main-svg"] }, { resultTypes: ["violations"] })).violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary: why }) => `${id} ${target}: ${why}`))"""

"""What axe finds, the charts' drawings left out: it judges no lines, and there are thousands of them."""

LOOKS: tuple[tuple[Literal["light", "dark"], ViewportSize], ...] = (
    ("light", ViewportSize(width=1280, height=800)),
    ("dark", ViewportSize(width=1280, height=800)),
    ("dark", ViewportSize(width=390, height=844)),
)


def assert_accessible(page: Page) -> None:
    """Find nothing serious or critical, in either theme and on a phone."""
    found: dict[str, str] = {}
    for theme, viewport in LOOKS:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size(viewport)
        found |= {grave: f"{theme}, {viewport['width']} px: {grave}" for grave in page.evaluate(GRAVE)}
    page.set_viewport_size(LOOKS[0][1])
    assert not found, "\n".join(found.values())


@pytest.fixture
def page(server: RunningServer, open_window: OpenWindow) -> Page:
    window = open_window(server.url)
    window.page.evaluate(AXE)
    return window.page


def test_an_empty_page(page: Page) -> None:
    expect(state(page)).to_have_text("empty")
    assert_accessible(page)


def test_a_run_in_training(page: Page, corpus_file: Path) -> None:
    start_tiny_run(page, corpus_file)
    expect(page.locator('[data-reading="validation"]')).to_contain_text(".")
    page.locator(".anatomy summary").click()
    assert_accessible(page)


def test_a_run_that_is_paused_with_a_sample(page: Page) -> None:
    open_form(page)
    page.keyboard.press("Escape")
    page.get_by_label("Bytes", exact=True).fill("64")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("[data-verdict-word]")).to_contain_text("Gate")
    set_exactly(page, "λ S", "4")
    expect(page.locator('[data-setting="lambda_S"]').get_by_role("alert")).to_be_visible()
    page.get_by_role("tab", name="Checkpoints").click()
    assert_accessible(page)


def test_what_can_be_opened_over_the_page(page: Page) -> None:
    expect(state(page)).to_have_text("paused")
    set_exactly(page, "λ K", "0.3")
    for opener in (
        page.locator('.run [data-action="setup"]'),
        page.locator('.masthead [data-action="runs"]'),
        page.get_by_role("button", name="What is λ K?"),
        page.get_by_role("button", name="What if not: λK").first,
    ):
        opener.click()
        assert_accessible(page)
        page.keyboard.press("Escape")
