"""Asking for text on the page, watching it come, looking into it, and following one prompt along training."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import PATIENCE_MS, EvaluateModule, OpenWindow
from tests.browser.pages import hold, set_exactly, start_tiny_run, state
from tests.conftest import RunningServer, WaitUntil

TWO_BYTES = {
    "value": 0b01000001,
    "probabilities": [0.5, 0.25, 1, 1, 1, 1, 1, 0.125],
    "alternatives": [[32, 0.5], [65, 0.015625]],
}


SLOW = {"offline": False, "latency": 0, "downloadThroughput": 20_000, "uploadThroughput": -1}
"""Two megabytes, the details of 4,096 bytes, take minutes: such a text is stopped on its way."""


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 3, 20], list(range(40))])
def test_lines_are_read_wherever_they_are_cut(evaluate_module: EvaluateModule, cuts: list[int]) -> None:
    read = """async (module, [text, cuts]) => {
        const bytes = new TextEncoder().encode(text);
        const places = [0, ...cuts, bytes.length].filter((place) => place <= bytes.length);
        const pieces = places.slice(1).map((end, index) => bytes.slice(places[index], end));
        const stream = new ReadableStream({
            start(controller) {
                for (const piece of pieces) controller.enqueue(piece);
                controller.close();
            },
        });
        const lines = [];
        for await (const line of module.jsonLines(stream)) lines.push(line);
        return lines;
    }"""
    text = '{"text": "aä€"}\n\n{"kind": "answer"}\n{"last": 1}'
    program = f"({read})(module, argument)"
    lines = evaluate_module("json_lines.js", f"(module, argument) => {program}", [text, cuts])
    assert lines == [{"text": "aä€"}, {"kind": "answer"}, {"last": 1}]


@pytest.mark.parametrize(
    ("module", "call", "expected"),
    [
        ("inside_character.js", "byteName(32)", "space"),
        ("inside_character.js", "byteName(65)", "A"),
        ("inside_character.js", "byteName(0xe2)", "0xe2"),
        ("inside_character.js", "byteName(7)", "0x07"),
        ("inside_character.js", "characterName('\\n')", "line break"),
        ("format.js", "percentage(0.99999)", "100 %"),
        ("format.js", "percentage(0.123456)", "12.3 %"),
        ("format.js", "percentage(0.0042)", "0.42 %"),
        ("format.js", "percentage(1e-9)", "<0.01 %"),
        ("attempts.js", "outcome({passed: true, stopped_at: null})", "passed"),
        ("attempts.js", "outcome({passed: false, stopped_at: null})", "refused"),
        ("attempts.js", "outcome({passed: false, stopped_at: 1})", "refused after 1 byte"),
        (
            "sample_view.js",
            "shortReason('S 0.3 is below the floor 0.5: the text is unlike it')",
            "S 0.3 is below the floor 0.5",
        ),
        ("surprise_text.js", "goal('ArrowRight', 4, 5, null)", 4),
        ("surprise_text.js", "goal('ArrowLeft', -1, 5, null)", 0),
        ("surprise_text.js", "goal('End', 0, 5, null)", 4),
        ("surprise_text.js", "goal('ArrowDown', 1, 5, (index, way) => index + 2 * way)", 3),
        ("surprise_text.js", "goal('x', 1, 5, null)", None),
        ("surprise_text.js", "goal('Home', 1, 0, null)", None),
        ("surprise_text.js", "surpriseLevel(7.9)", 4),
        ("sample_history.js", "indexAfter(-1, 0, 3)", 2),
        ("sample_history.js", "indexAfter(2, 3, 4)", 3),
        ("sample_history.js", "indexAfter(1, 3, 4)", 1),
        ("sample_history.js", "indexAfter(5, 6, 0)", -1),
    ],
)
def test_what_the_panel_says(evaluate_module: EvaluateModule, module: str, call: str, expected: Any) -> None:
    assert evaluate_module(module, f"(module) => module.{call}") == expected


def test_the_bits_of_a_byte_have_the_surprise_of_what_was_emitted(evaluate_module: EvaluateModule) -> None:
    bits = evaluate_module("inside_character.js", "(module, byte) => module.bitsOf(byte)", TWO_BYTES)
    assert [bit["name"] for bit in bits] == [f"b{place}" for place in range(7, -1, -1)]
    assert [bit["bit"] for bit in bits] == [0, 1, 0, 0, 0, 0, 0, 1]
    assert [bit["surprise"] for bit in bits] == [1, 2, 0, 0, 0, 0, 0, 3]


def test_the_emitted_byte_is_among_the_alternatives_even_where_it_was_not_likely(
    evaluate_module: EvaluateModule,
) -> None:
    call = "(module, byte) => module.alternativesOf(byte)"
    listed = evaluate_module("inside_character.js", call, TWO_BYTES)
    assert [(one["name"], one["isEmitted"]) for one in listed] == [("space", False), ("A", True)]
    unlikely = TWO_BYTES | {"alternatives": [[32, 0.5], [66, 0.25]]}
    (*_, own) = evaluate_module("inside_character.js", call, unlikely)
    assert own == {"name": "A", "probability": 0.5 * 0.25 * 0.125, "isEmitted": True}


def test_what_a_retry_changed_is_said(evaluate_module: EvaluateModule) -> None:
    first = {"seed": 1, "temperature": 0.8, "top_p": 1}
    call = "(module, [before, after]) => module.changes(before, after)"
    retry = first | {"seed": 99, "temperature": 0.72}
    assert evaluate_module("attempts.js", call, [first, retry]) == "another seed, temperature 0.8 → 0.72"
    other = evaluate_module("attempts.js", call, [first | {"mode": "causal"}, first | {"mode": "diffusion"}])
    assert other == "denoising"


def test_the_command_for_a_shell_repeats_the_request(evaluate_module: EvaluateModule) -> None:
    request = {"prompt": "it's", "max_new_bytes": 8, "stream": True, "details": True, "c_floor": None}
    command = evaluate_module(
        "sample_view.js", "(module, request) => module.curlCommand('http://here', request, 7)", request
    )
    head, body = command.split(" -d ")
    assert head == "curl -sS -X POST http://here/infer -H 'Content-Type: application/json'"
    assert json.loads(body.strip("'").replace("'\\''", "'")) == {
        "prompt": "it's",
        "max_new_bytes": 8,
        "seed": 7,
    }


def test_the_schedule_is_what_the_form_asks_with_a_seed_that_stays(evaluate_module: EvaluateModule) -> None:
    asked = {"prompt": "The ", "max_new_bytes": 4096, "temperature": 0.5, "top_p": 0.9, "strict": False}
    schedule = evaluate_module("sample_history.js", "(module, asked) => module.scheduleOf(asked, 50)", asked)
    assert schedule == {
        "every": 50, "prompt": "The ", "max_new_bytes": 1024, "temperature": 0.5, "top_p": 0.9, "seed": 0,
    }  # fmt: skip


def panel(page: Page) -> Locator:
    return page.locator(".generation")


def ask(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        panel(page).get_by_label(label, exact=True).fill(value)
    panel(page).get_by_role("button", name="Generate", exact=True).click()


def page_with_a_sample(server: RunningServer, open_window: OpenWindow) -> Page:
    """The page of the paused run, showing the text of seed 4."""
    page = open_window(server.url).page
    expect(state(page)).to_have_text("paused")
    ask(page, Bytes="48", Seed="4")
    expect(page.locator("[data-facts]")).to_have_text(re.compile("seed 4"))
    return page


class Pushes:
    """What the server tells a page by its socket, once the page is loaded again: it can be held back."""

    def __init__(self, page: Page) -> None:
        self._held: list[str | bytes] | None = None
        page.route_web_socket("**/socket.io/**", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.connect_to_server().on_message(self._pass_on)

    def _pass_on(self, message: str | bytes) -> None:
        if self._held is None:
            self._socket.send(message)
        else:
            self._held.append(message)

    def hold(self) -> None:
        """Let nothing through."""
        self._held = []

    def release(self) -> None:
        """Let through what was held, and what comes."""
        held, self._held = self._held or [], None
        for message in held:
            self._socket.send(message)


def test_attempts_are_told_with_reasons_and_the_answer_can_be_copied(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    window = open_window(server.url, permissions=["clipboard-read", "clipboard-write"])
    page = window.page
    start_tiny_run(page, corpus_file)
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")
    set_exactly(page, "S floor", "1")
    expect(page.locator('[data-setting="s_floor"]')).to_contain_text("applied at step")
    ask(page, Prompt="The ", Bytes="48", Seed="3")
    expect(page.locator("[data-verdict-word]")).to_have_text("Gate failed")
    expect(page.locator("[data-reasons]")).to_contain_text(re.compile(r"S 0\.\d\d is below the floor 1"))
    expect(page.locator("[data-facts]")).to_have_text(re.compile(r"step [\d,]+ · seed 3"))
    page.get_by_role("button", name="4 attempts").click()
    attempts = page.get_by_role("dialog", name="Attempts").locator(".attempt")
    expect(attempts).to_have_count(4)
    expect(attempts.first).to_contain_text("At temperature 0.8")
    expect(attempts.nth(1)).to_contain_text("With another seed, temperature 0.8 → ")
    expect(attempts.filter(has_text="is below the floor")).to_have_count(4)
    page.keyboard.press("Escape")
    expect(attempts.first).to_be_hidden()
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("The text is copied")).to_be_visible()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == "The " + page.locator("[data-whole]").evaluate("(place) => place.textContent")
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_text("The command is copied")).to_be_visible()
    assert '"seed":3' in page.evaluate("() => navigator.clipboard.readText()")
    expect(page.get_by_role("radio", name="diffusion")).to_be_disabled()
    expect(page.locator("label", has_text="diffusion").first).to_have_attribute(
        "title", re.compile("objective mixed")
    )
    assert window.console_errors == []


def test_keys_move_through_the_text_and_show_the_bits_of_each_character(
    server: RunningServer, open_window: OpenWindow
) -> None:
    page = page_with_a_sample(server, open_window)
    inside = page.get_by_role("group", name="Inside the character")
    characters = page.get_by_role("listbox", name="The model's text, character by character")
    characters.focus()
    expect(inside).to_be_hidden()
    for key, index in (("ArrowRight", 0), ("ArrowRight", 1), ("End", 0), ("Home", 0)):
        characters.press(key)
        chosen = characters.locator('[aria-selected="true"]')
        expect(chosen).to_have_count(1)
        if key != "End":
            expect(chosen).to_have_attribute("data-index", str(index))
    expect(inside).to_be_visible()
    expect(characters).to_have_attribute("aria-activedescendant", "character-0")
    rows = inside.get_by_role("table", name="Bits").locator("tbody tr")
    told = [float(row.locator("td").last.inner_text()) for row in rows.all()]
    assert len(told) % 8 == 0
    surprise = re.search(r"surprise ([\d.]+) bits", inside.inner_text())
    assert surprise is not None
    assert sum(told) == pytest.approx(float(surprise.group(1)), abs=0.005 * len(told) + 0.005)
    expect(
        inside.get_by_role("table", name="Likeliest bytes").locator('[data-emitted="true"]').first
    ).to_be_visible()
    characters.press("Escape")
    expect(inside).to_be_hidden()
    characters.locator("[data-index]").nth(2).click()
    expect(inside).to_be_visible()
    page.get_by_label("Prompt").focus()
    expect(inside).to_be_hidden()
    page.reload()
    page.locator("#character-1").click()
    expect(inside).to_contain_text("generate again")


def test_a_text_that_is_stopped_keeps_what_came(server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(server.url).page
    server.ask("POST", "/config/telemetry", {"c_floor": 0, "s_floor": 0})
    page.get_by_role("button", name="Resume").click()
    expect(state(page)).to_have_text("training")
    network = page.context.new_cdp_session(page)
    network.send("Network.emulateNetworkConditions", SLOW)
    ask(page, Bytes="4096")
    page.locator("#character-20").wait_for(state="attached")  # a line break is there, and not to be seen
    page.get_by_role("button", name="Stop generating").click()
    network.detach()
    expect(page.locator("[data-verdict-word]")).to_have_text("Stopped")
    expect(panel(page).get_by_role("button", name="Generate", exact=True)).to_be_enabled()
    assert 20 < page.locator("#text-panel [data-index]").count() < 4096
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")


def test_what_was_stopped_stays_whatever_is_told_late_until_somebody_asks_anew(
    server: RunningServer, open_window: OpenWindow, wait_until: WaitUntil
) -> None:
    page = open_window(server.url).page
    pushes = Pushes(page)
    page.reload()
    samples = page.get_by_role("list", name="Events").get_by_text(re.compile("^Sample (passed|failed)"))
    run = server.ask("GET", "/status")["run_id"]
    events = server.ask("GET", f"/runs/{run}/events")["events"]
    before = sum(event["kind"] == "sample" for event in events)
    expect(samples).to_have_count(before)
    expect(page.locator("[data-connection]")).to_have_attribute("data-connection", "connected")

    pushes.hold()
    late = hold(page, "**/events?since=*")
    ask(page, Bytes="48", Seed="4")
    facts, verdict = page.locator("[data-facts]"), page.locator("[data-verdict-word]")
    expect(facts).to_have_text(re.compile("seed 4"))
    somebody = {"max_new_bytes": 48, "seed": 5}
    server.ask("POST", "/infer", somebody)
    hold(page, "**/infer")
    with page.expect_request("**/infer") as asked:
        ask(page, Seed="6")
    page.get_by_role("button", name="Stop generating").click()
    page.unroute("**/events?since=*")
    for route in late:
        route.continue_()
    pushes.release()
    expect(samples).to_have_count(before + 2)
    expect(verdict).to_have_text("Stopped")

    (body, headers) = (asked.value.post_data_json, {"X-Request-Id": asked.value.headers["x-request-id"]})
    whole = page.request.post(asked.value.url, data=body, headers=headers, timeout=PATIENCE_MS)
    assert '"kind":"answer"' in whole.text(), "the service came to its end all the same"
    expect(samples).to_have_count(before + 3)
    expect(verdict).to_have_text("Stopped")
    expect(facts).to_have_text("")
    assert page.locator("#text-panel [data-index]").count() == 0

    def is_shown() -> bool:
        server.ask("POST", "/infer", somebody)
        return "seed 5" in facts.inner_text()

    wait_until(is_shown)


def test_a_sample_stays_where_the_next_cannot_be_asked_for(
    server: RunningServer, open_window: OpenWindow
) -> None:
    page = page_with_a_sample(server, open_window)
    verdict, text = page.locator("[data-verdict-word]"), page.locator("#text-panel .sample")
    before = (verdict.inner_text(), text.inner_text())
    page.context.set_offline(True)
    ask(page, Seed="5")
    expect(page.get_by_role("alert").first).to_be_visible()
    expect(page.locator("[data-facts]")).to_have_text(re.compile("seed 4"))
    assert (verdict.inner_text(), text.inner_text()) == before


def test_one_prompt_is_followed_along_training(server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(server.url).page
    expect(state(page)).to_have_text("paused")
    panel(page).get_by_label("Prompt").fill("The ")
    panel(page).get_by_label("Bytes", exact=True).fill("32")
    page.get_by_role("tab", name="Along training").click()
    page.get_by_label("Steps between two samples").fill("4")
    page.get_by_role("switch", name="Draw a text every").check()
    expect(page.get_by_role("list", name="Events")).to_contain_text("Samples along training: every 4 steps")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-along-count]")).to_have_text(re.compile(r"^[2-9]|\d\d"))
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")
    expect(page.get_by_role("button", name="Newer sample")).to_be_disabled()
    newest = f"step {server.ask('GET', '/status')['samples_cursor']:,}"
    expect(page.locator("[data-sample-step]")).to_have_text(newest)
    page.get_by_role("slider", name="Sample along training").press("ArrowLeft")
    expect(page.locator("[data-sample-step]")).not_to_have_text(newest)
    expect(page.locator("#along-panel .prompt")).to_have_text("The ")
    assert page.locator("#along-panel [data-bits]").count() > 8
    expect(page.locator("[data-figures]").last).to_have_text(re.compile(r"bits per byte · K .* · C .* · S "))
    page.get_by_role("button", name="Newer sample").click()
    expect(page.locator("[data-sample-step]")).to_have_text(newest)
    again = page.get_by_role("button", name="Use this prompt")
    expect(again).to_be_hidden()
    panel(page).get_by_label("Prompt").fill("A ")
    again.click()
    expect(again).to_be_hidden()
    page.get_by_role("switch", name="Draw a text every").uncheck()
    expect(page.get_by_role("list", name="Events")).to_contain_text("Samples along training: none")
    page.reload()
    page.get_by_role("tab", name="Along training").click()
    expect(page.locator("[data-sample-step]")).to_have_text(newest)
