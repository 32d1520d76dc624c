"""Filling in a gap on the page, the steps it took, and freezing what is to stay of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, EvaluateModule, OpenWindow
from tests.browser.pages import make_run, state
from tests.conftest import RunningServer


@pytest.fixture
def page(server: RunningServer, open_window: OpenWindow, corpus_file: Any) -> Page:
    """A page of a run that learns to denoise, after a few steps."""
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text(), objective="mixed")
    server.ask("POST", "/train-step", {"steps": 5})
    page.reload()
    expect(state(page)).to_have_text("ready")
    return page


def denoise(page: Page, *, length: int = 12, seed: str = "") -> None:
    """Ask for a gap to be filled in, in six steps, and wait for the text."""
    page.locator("label", has_text="diffusion").first.click()
    page.get_by_label("Prompt").fill("The ")
    page.get_by_label("Text after the gap").fill(" end.")
    page.get_by_label("Steps", exact=True).fill("6")
    page.get_by_label("Bytes", exact=True).fill(str(length))
    page.locator(".generation").get_by_label("Seed").fill(seed)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("[data-output]")).to_have_attribute("data-output", "sample")


def test_a_gap_is_filled_in_and_its_steps_can_be_gone_through(page: Page) -> None:
    fields = page.locator("[data-denoising]")
    expect(fields).to_be_hidden()
    expect(page.locator("[data-freezing]")).to_be_hidden()
    denoise(page)
    expect(fields).to_be_visible()
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
    page.wait_for_function("() => document.documentElement.scrollHeight <= innerHeight")

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
    told = server.ask("GET", "/config/telemetry")
    assert told["causal_share"] == 0.25
    page.wait_for_function("() => document.documentElement.scrollHeight <= innerHeight")
    make_run(page, server.url, corpus_file.read_text())
    expect(row).to_be_hidden()


def test_retries_come_in_the_other_mode_and_a_run_that_does_not_denoise_takes_the_choice_back(
    page: Page, server: RunningServer, corpus_file: Any
) -> None:
    switching = page.get_by_label("Every other retry in the other mode")
    page.locator("[data-switching]").click()
    expect(switching).to_be_checked()
    page.locator("label", has_text="diffusion").first.click()
    page.get_by_label("Bytes", exact=True).fill("12")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.get_by_role("button", name="4 attempts").click()
    changes = page.get_by_role("dialog", name="Attempts").locator(".attempt")
    expect(changes.nth(1)).to_contain_text("With writing from left to right")
    expect(changes.nth(2)).to_contain_text("With denoising")
    page.keyboard.press("Escape")
    expect(page.locator("[data-frames]")).to_be_hidden()  # none of the last attempt, which was written

    make_run(page, server.url, corpus_file.read_text())
    expect(switching).to_be_hidden()
    expect(switching).not_to_be_checked()
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


def characters(page: Page) -> list[str]:
    """Return what stands between prompt and suffix."""
    shown: list[str] = page.locator("[data-characters=character] > *").evaluate_all(
        "(all) => all.map((one) => one.textContent)"
    )
    return shown


def frozen(page: Page) -> list[int]:
    """Return the places of the characters that are marked, to be seen and to be heard."""
    places = "(all) => all.map((one) => Number(one.dataset.index))"
    marked = page.locator("[data-characters=character] > .frozen").evaluate_all(places)
    heard = page.locator('[data-characters=character] > [aria-selected="true"]').evaluate_all(places)
    assert marked == heard
    return [int(place) for place in marked]


def readable(page: Page) -> list[int]:
    """Return the places of what is UTF-8."""
    return [place for place, text in enumerate(characters(page)) if text != "\ufffd"]


def visible(page: Page) -> list[int]:
    """Return the places of what a pointer can be on."""
    return [place for place, text in enumerate(characters(page)) if "!" <= text <= "~"]


def again(page: Page) -> Locator:
    return page.get_by_role("button", name="Denoise the rest again")


def says(page: Page) -> Locator:
    return page.locator("[data-freezing-says]")


def drag(page: Page, first: int, last: int) -> None:
    """Press on one character and let go on another."""
    boxes = [page.locator(f"#character-{place}").bounding_box() for place in (first, last)]
    for box, act in zip(boxes, (page.mouse.down, page.mouse.up), strict=True):
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
        act()


def denoise_again(page: Page, act: Callable[[], object]) -> tuple[dict[str, Any], bytes]:
    """Do what denoises the rest again; return what was asked and, by asking the same, the bytes that came."""
    with page.expect_request("**/infer") as asked:
        act()
    expect(page.locator("[data-output]")).to_have_attribute("data-output", "sample")
    seed = page.locator("[data-facts]").inner_text().partition("seed ")[2]
    request = json.loads(asked.value.post_data or "")
    same = request | {"seed": int(seed)}
    lines = page.request.post(asked.value.url, data=same, timeout=PATIENCE_MS).text().splitlines()
    *_, answer = map(json.loads, lines)
    texts = [attempt["text"] for attempt in answer["answer"]["gate"]["log"]]
    chosen = texts.index(answer["answer"]["text"]) + 1
    frames = [line for line in map(json.loads, lines) if line["kind"] == "frame"]
    return request, bytes(next(one["values"] for one in reversed(frames) if one["attempt"] == chosen))


def assert_kept(template: list[str | int], whole: bytes) -> list[bytes]:
    """See every text of the template in its place; return what came in its gaps."""
    gaps, place = [], 0
    for part in template:
        length = part if isinstance(part, int) else len(part.encode())
        found = whole[place : place + length]
        if isinstance(part, int):
            gaps.append(found)
        else:
            assert found == part.encode()
        place += length
    assert place == len(whole)
    return gaps


def test_what_is_frozen_by_mouse_stays_and_the_rest_is_filled_in_again(page: Page) -> None:
    denoise(page, length=40, seed="4")
    expect(again(page)).to_be_disabled()
    expect(says(page)).to_have_text("Freeze what is to stay: click, drag or Space")
    before = characters(page)
    one, *_, first, _, last = visible(page)
    page.locator(f"#character-{one}").click()
    assert frozen(page) == [one]
    drag(page, last, first)
    kept = [one, *(place for place in readable(page) if first <= place <= last)]
    assert frozen(page) == kept
    expect(says(page)).to_have_text(f"{len(kept)} of {len(before)} characters frozen")
    expect(page.get_by_role("group", name="Inside the character")).to_be_hidden()

    page.locator(".generation").get_by_label("Seed").fill("")
    request, whole = denoise_again(page, again(page).click)
    template = request["template"]
    assert (template[0], template[-1]) == ("The ", " end.")
    assert "".join(part for part in template[1:-1] if isinstance(part, str)) == "".join(
        before[place] for place in kept
    )
    assert {name: request[name] for name in ("mode", "steps", "sampler", "noise_schedule")} == {
        "mode": "diffusion", "steps": 6, "sampler": "ancestral", "noise_schedule": "cosine",
    }  # fmt: skip
    assert not {"seed", "prompt", "suffix", "max_new_bytes"} & set(request)
    assert assert_kept(template, whole) != [], "something was filled in"
    after = characters(page)
    assert after != before
    assert [after[place] for place in frozen(page)] == [before[place] for place in kept]
    shown = page.locator("#text-panel .sample").evaluate("(place) => place.textContent")
    assert shown == whole[:4].decode() + "".join(after) + " end."
    assert page.locator("[data-whole]").evaluate("(place) => place.textContent") == "".join(after)
    page.wait_for_function("() => document.documentElement.scrollHeight <= innerHeight")

    expect(again(page)).to_be_enabled()
    slider = page.get_by_label("Step of denoising")
    slider.press("Home")
    masked = characters(page)
    assert "".join(text for text in masked if text != "░") == "".join(before[place] for place in kept)
    expect(again(page)).to_be_disabled()
    expect(says(page)).to_have_text("Go to the last step to freeze characters")
    slider.press("End")
    assert characters(page) == after

    page.reload()
    expect(says(page)).to_have_text(f"{len(kept)} of {len(after)} characters frozen")
    assert characters(page) == after
    page.get_by_role("button", name="Unfreeze all").click()
    assert frozen(page) == []
    expect(page.get_by_role("button", name="Unfreeze all")).to_be_hidden()
    expect(again(page)).to_be_disabled()


def test_characters_are_frozen_and_the_rest_filled_in_again_by_keys_alone(page: Page) -> None:
    denoise(page, length=40, seed="5")
    inside = page.get_by_role("group", name="Inside the character")
    text = page.get_by_role("listbox", name="The model's text, character by character")
    expect(text).to_have_attribute("aria-multiselectable", "true")
    places, count = readable(page), len(characters(page))
    text.focus()
    page.keyboard.press("Home")
    expect(inside).to_be_visible()
    assert frozen(page) == []
    for _ in range(places[0]):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert frozen(page) == [places[0]]
    expect(text).to_have_attribute("aria-activedescendant", f"character-{places[0]}")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert frozen(page) == [place for place in places if place <= places[0] + 2]
    page.keyboard.press("Shift+End")
    assert frozen(page) == places
    page.keyboard.press("Home")
    for _ in range(places[0]):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    kept = [place for place in places if place > places[0] + 1]
    assert frozen(page) == kept
    expect(says(page)).to_have_text(f"{len(kept)} of {count} characters frozen")
    page.keyboard.press("Enter")
    expect(inside).to_be_visible()
    for _ in range(3):  # the slider, and what unfreezes
        page.keyboard.press("Tab")
    expect(again(page)).to_be_focused()
    request, whole = denoise_again(page, lambda: page.keyboard.press("Enter"))
    assert request["seed"] == 5
    assert_kept(request["template"], whole)
    expect(again(page)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert frozen(page) == []
    expect(text).to_be_focused()


def test_where_all_is_frozen_nothing_can_be_asked_for(page: Page) -> None:
    template = {"mode": "diffusion", "template": ["The ", 1, "é end", "."]}
    likeliest = {"temperature": 0, "c_floor": 0, "s_floor": 0}
    assert page.request.post(f"{page.url}infer", data=template | likeliest, timeout=PATIENCE_MS).ok
    expect(says(page)).to_have_text("5 of 6 characters frozen")
    expect(page.locator("[data-suffix]")).to_have_text(".")
    page.locator("#character-0").dblclick()
    expect(page.get_by_role("group", name="Inside the character")).to_contain_text("generate again")
    expect(says(page)).to_have_text("5 of 6 characters frozen")
    page.locator("#character-0").click()
    expect(page.get_by_role("group", name="Inside the character")).to_be_hidden()
    expect(says(page)).to_have_text("All is frozen: nothing is left to denoise")
    expect(again(page)).to_be_disabled()
    expect(again(page)).to_have_attribute("title", "All is frozen: nothing is left to denoise")


def test_who_does_not_wait_for_the_rest_has_the_text_before_with_what_was_frozen(page: Page) -> None:
    denoise(page, length=40, seed="6")
    before, place = characters(page), visible(page)[0]
    page.locator(f"#character-{place}").click()
    page.route(
        "**/infer", lambda _: None
    )  # the answer takes its time: one that had come to its end would be shown
    page.evaluate("""() => {
        document.querySelector("[data-again]").click();
        document.querySelector("[data-stop]").click();
    }""")
    expect(page.locator("[data-verdict-word]")).to_have_text("Gate failed")
    assert characters(page) == before
    assert frozen(page) == [place]
    expect(again(page)).to_be_enabled()
    expect(page.locator("[data-facts]")).to_contain_text("seed 6")
