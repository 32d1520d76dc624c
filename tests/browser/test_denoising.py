"""Filling in a gap on the page, and the steps it took."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import EvaluateModule, OpenWindow
from tests.browser.pages import make_run, state
from tests.conftest import RunningServer


@pytest.fixture
def page(server: RunningServer, open_window: OpenWindow, corpus_file: Any) -> Page:
    """A page of a run that learns to denoise, after a few steps."""
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text(), objective="mixed")
    assert page.request.post(f"{server.url}/train-step", data={"steps": 5}).ok
    page.reload()
    expect(state(page)).to_have_text("ready")
    return page


def test_a_gap_is_filled_in_and_its_steps_can_be_gone_through(page: Page) -> None:
    fields = page.locator("[data-denoising]")
    expect(fields).to_be_hidden()
    page.locator("label", has_text="diffusion").first.click()
    expect(fields).to_be_visible()
    page.get_by_label("Prompt").fill("The ")
    page.get_by_label("Text after the gap").fill(" end.")
    page.get_by_label("Steps", exact=True).fill("6")
    page.get_by_label("Bytes").fill("12")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("[data-verdict-word]")).to_have_text("Gate failed")
    slider, label = page.get_by_label("Step of denoising"), page.locator("[data-frames] strong")
    expect(label).to_have_text("step 6 of 6")
    text = page.locator("[data-characters=character]")
    whole = page.locator("[data-whole]").evaluate("(place) => place.textContent")
    shown = "(place) => place.textContent"
    assert text.evaluate(shown) == whole
    expect(page.locator("[data-suffix]")).to_have_text(" end.")

    slider.focus()
    page.keyboard.press("Home")
    expect(label).to_have_text("step 0 of 6")
    assert text.evaluate(shown) == "░" * 12
    masked = []
    for step in range(1, 7):
        page.keyboard.press("ArrowRight")
        expect(label).to_have_text(f"step {step} of 6")
        masked.append(text.evaluate(shown).count("░"))
    assert masked == sorted(masked, reverse=True)
    assert masked[-1] == 0
    assert text.evaluate(shown) == whole
    assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")

    page.reload()
    expect(page.locator("[data-suffix]")).to_have_text(" end.")
    expect(page.locator("[data-frames]")).to_be_hidden()


def test_how_much_is_causal_is_a_slider_of_such_a_run_alone(
    page: Page, server: RunningServer, corpus_file: Any
) -> None:
    row = page.locator('[data-setting="causal_share"]')
    expect(row).to_be_visible()
    row.get_by_label("Causal share, exact value").fill("0.25")
    row.get_by_label("Causal share, exact value").press("Enter")
    expect(row.locator("[data-row-state]")).to_have_text("applied at step 5")
    told = page.request.get(f"{server.url}/config/telemetry").json()
    assert told["causal_share"] == 0.25
    assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight")
    make_run(page, server.url, corpus_file.read_text())
    expect(row).to_be_hidden()


def test_a_run_that_does_not_denoise_takes_the_choice_back(
    page: Page, server: RunningServer, corpus_file: Any
) -> None:
    page.locator("label", has_text="diffusion").first.click()
    make_run(page, server.url, corpus_file.read_text())
    expect(page.get_by_role("radio", name="causal")).to_be_checked()
    expect(page.get_by_role("radio", name="diffusion")).to_be_disabled()
    expect(page.locator("[data-denoising]")).to_be_hidden()


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([84, 104, None], ["T", "h", "░"]),
        ([0xC3, 0xA9, 33], ["é", "!"]),
        ([0xC3, None, 33], ["�", "░", "!"]),
        ([0xE2, 0x82], ["�", "�"]),
        ([0xFF, 0x41], ["�", "A"]),
        ([], []),
    ],
)
def test_a_frame_has_the_characters_that_are_known(
    evaluate_module: EvaluateModule, values: list[int | None], texts: list[str]
) -> None:
    confidence = [None if value is None else 0.5 for value in values]
    call = "(module, [values, confidence]) => module.frameCharacters(values, confidence)"
    found = evaluate_module("frames.js", call, [values, confidence])
    assert [character["text"] for character in found] == texts
    for character in found:
        expected = 0 if character["text"] == "░" else 2 if character["text"] == "é" else 1
        assert character["surprise_bits"] == expected
