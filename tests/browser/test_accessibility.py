"""The page by axe-core's rules, in every state, both themes, on a phone; and its main job by keys alone."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import make_run, open_form, set_exactly, state, train_tiny_run
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
    ("light", ViewportSize(width=390, height=844)),
)


MOST_TABS = 150
"""Stops of the Tab key that the page is sure not to have."""


def assert_accessible(page: Page) -> None:
    """Find nothing serious or critical, wide and on a phone, light and dark."""
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
    train_tiny_run(page, corpus_file)
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
        page.get_by_role("button", name="Keys and tour"),
        page.get_by_role("button", name="What is λ K?"),
        page.get_by_role("button", name="What if not: λK").first,
    ):
        opener.click()
        assert_accessible(page)
        page.keyboard.press("Escape")


def test_the_main_job_is_done_by_keys_alone(empty_server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(empty_server.url).page
    expect(state(page)).to_have_text("empty")
    press(page, page.get_by_role("button", name="Choose size, text and seed …"))
    tab_to(page, page.get_by_role("radio", name="small"))
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="tiny")).to_be_checked()
    press(page, page.get_by_role("button", name="Make it and train"))
    expect(state(page)).to_have_text("training")

    tab_to(page, page.get_by_role("slider", name="λK"))
    page.keyboard.press("ArrowRight")
    expect(page.locator('[data-setting="lambda_K"]')).to_contain_text("applied at step")
    tab_to(page, page.get_by_label("Prompt"))
    page.keyboard.type("The ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-verdict-word]")).to_contain_text("Gate")
    press(page, page.get_by_role("button", name="What if not: λK"))
    expect(page.get_by_role("dialog", name="What if not?")).to_contain_text("λK 0 → 0.01")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="What if not?")).to_be_hidden()
    press(page, page.get_by_role("button", name="Pause"))
    expect(state(page)).to_have_text("paused")


def press(page: Page, button: Locator) -> None:
    """Go to a button and press it."""
    expect(button).to_be_enabled()
    tab_to(page, button)
    page.keyboard.press("Enter")


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus, which it must have before one is round."""
    for _ in range(MOST_TABS):
        if target.evaluate("(target) => target === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} is not reached by {MOST_TABS} times Tab")


def test_a_gap_that_was_filled_in(page: Page, server: RunningServer, corpus_file: Path) -> None:
    make_run(page, server.url, corpus_file.read_text(), objective="mixed")
    page.locator("label", has_text="diffusion").first.click()
    page.get_by_label("Bytes", exact=True).fill("24")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("[data-frames] strong")).to_have_text("step 16 of 16")
    expect(page.locator("[data-output]")).to_have_attribute("data-output", "sample")
    seen = re.compile("[!-~]")  # a model that has learned nothing also writes what cannot be seen
    page.locator("[data-characters=character] > *").filter(has_text=seen).first.click()
    expect(page.get_by_role("button", name="Denoise the rest again")).to_be_enabled()
    assert_accessible(page)
