"""What a researcher does on the page, in a real browser, with a real server and real training."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import (
    choose_range,
    open_form,
    set_exactly,
    start_tiny_run,
    state,
    train_tiny_run,
    wait_until_drawn,
)
from tests.conftest import RunningServer

CHARTS = ("loss", "telemetry", "attention", "throughput", "cost", "memory")
FOLDED_CHARTS = ("bits", "heads", "gradient", "sample")
SHOWN_STEPS = """() => [...document.querySelectorAll('[data-chart]')]
    .filter(({ layout }) => layout).map(({ layout }) => layout.xaxis.range)"""
COUNT_DRAWINGS = """() => {
    window.drawings = 0;
    document.querySelector('[data-chart="loss"]').on("plotly_afterplot", () => (window.drawings += 1));
}"""


def chart_texts(page: Page, chart: str) -> Locator:
    return page.locator(f'[data-chart="{chart}"] .annotation-text')


def test_one_click_trains_on_the_embedded_text(empty_server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(empty_server.url).page
    expect(state(page)).to_have_text("empty")
    page.get_by_role("button", name="Train on the embedded text").click()
    expect(state(page)).to_have_text("training")
    expect(page.locator('[data-figure="step"]')).to_have_text(re.compile(r"^[1-9]"))
    expect(page.locator('[data-figure="summary"]')).to_contain_text("466 kB")


def test_a_run_is_steered_sampled_and_still_there_after_a_reload(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    window = open_window(server.url)
    page = window.page
    start_tiny_run(page, corpus_file)
    expect(page.locator('[data-reading="validation"]')).to_have_text(re.compile(r"\d\.\d\d"))
    for baseline in ("gzip", "bzip2", "xz", *(f"order-{order}" for order in range(2, 6))):
        expect(chart_texts(page, "loss").filter(has_text=baseline)).to_have_count(1)

    slider = page.get_by_role("slider", name="λK")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.locator('[data-setting="lambda_K"]')).to_contain_text(re.compile(r"applied at step \d"))
    set_exactly(page, "C floor", "0.05")
    expect(page.locator('[data-setting="c_floor"]')).to_contain_text(re.compile(r"applied at step \d"))
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")

    page.get_by_label("Prompt").fill("The ")
    page.get_by_label("Prompt").press("Control+Enter")
    page.get_by_label("Bytes", exact=True).fill("64")
    expect(page.locator("[data-verdict-word]")).to_have_text(re.compile("Gate (passed|failed)"))

    assert_everything_shows(page)
    shown = page.locator("[data-text]").inner_text()
    page.reload()
    expect(state(page)).to_have_text("paused")
    assert_everything_shows(page)
    assert page.locator("[data-text]").inner_text() == shown
    assert window.console_errors == []
    assert {f"http://{host}" for host in window.hosts} == {server.url}


def assert_everything_shows(page: Page) -> None:
    """The markers on every chart, the floors, the coloured sample, its verdict and the events."""
    for chart in CHARTS:
        expect(chart_texts(page, chart).filter(has_text="C floor 0.05").first).to_be_visible()
        page.wait_for_function(  # markers come with the events, floors with the settings: either may be first
            """(chart) => document.querySelector(`[data-chart="${chart}"]`).data
                .filter((trace) => trace.yaxis === "y2").flatMap((trace) => trace.text)
                .join().includes("λK 0 → 0.01 · page")""",
            arg=chart,
        )
    expect(chart_texts(page, "telemetry").filter(has_text="S floor 0.5")).to_have_count(1)
    expect(chart_texts(page, "cost").filter(has_text="budget 2 %")).to_have_count(1)
    for reading, figure in (
        ("attention", r"\d bits"),
        ("inverse", "exact"),
        ("cost", r"\d %"),
        ("memory", "MB"),
    ):
        expect(page.locator(f'[data-reading="{reading}"]')).to_have_text(re.compile(figure))
    expect(page.locator("[data-text] .prompt")).to_have_text("The ")
    assert page.locator("[data-text] [data-bits]").count() > 10
    assert page.locator("[data-text] [class^=surprise-]:not(.surprise-0)").count() > 0
    for figure in ("K", "C", "S"):
        expect(page.locator(f'[data-gate="{figure}"]')).to_have_text(re.compile(r"\d\.\d\d"))
    events = page.get_by_role("list", name="Events")
    expect(events).to_contain_text("λK 0 → 0.01")
    expect(events).to_contain_text("Training paused")


def test_a_refused_setting_says_why_and_goes_back(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    train_tiny_run(page, corpus_file)
    set_exactly(page, "λ S", "4")
    row = page.locator('[data-setting="lambda_S"]')
    expect(row.get_by_role("alert")).to_have_text("λS is a number from 0 to 1.")
    expect(row.get_by_label("exact value")).to_have_value("0")
    expect(page.get_by_role("slider", name="λS")).to_have_value("0")


def test_a_wrong_setting_is_explained_in_the_form(server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(server.url).page
    open_form(page)
    page.get_by_text("Every setting").click()
    page.locator('[data-setup] input[name="d_model"]').fill("33")
    page.get_by_role("button", name="Make the run").click()
    expect(page.locator("[data-setup] [data-problem]")).to_contain_text("divides d_model=33")
    expect(page.locator('[data-setup] input[name="nhead"]')).to_have_attribute("aria-invalid", "true")


def test_zoom_is_shared_by_all_charts_and_survives_live_updates(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    train_tiny_run(page, corpus_file)
    expect(page.locator('[data-reading="validation"]')).to_have_text(re.compile(r"\d"))
    wait_until_drawn(page)
    choose_range(page, "telemetry", 0.2, 0.6)
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    page.wait_for_function(f"() => new Set(({SHOWN_STEPS})().map(String)).size === 1")
    ranges = page.evaluate(SHOWN_STEPS)
    page.evaluate(COUNT_DRAWINGS)
    page.wait_for_function("() => window.drawings >= 2")
    assert page.evaluate(SHOWN_STEPS) == ranges
    page.get_by_role("button", name="Reset zoom").click()
    page.wait_for_function(f"() => ({SHOWN_STEPS})()[0][0] === 0")


def test_the_socket_comes_back_after_it_was_cut(server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(server.url).page
    told = page.evaluate(
        """async () => {
            const { SocketClient } = await import("/static/js/socket_client.js");
            const client = new SocketClient(location.origin);
            const told = [];
            await new Promise((done) => {
                client.on("connect", () => {
                    told.push("connect");
                    if (told.length === 1) client.socket.close();
                    else done();
                });
                client.on("disconnect", () => told.push("disconnect"));
                client.open();
            });
            client.close();
            return told;
        }"""
    )
    assert told == ["connect", "disconnect", "connect"]


def test_a_phone_shows_everything_without_scrolling_sideways(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url, viewport={"width": 390, "height": 844}, color_scheme="dark").page
    train_tiny_run(page, corpus_file)
    page.locator(".anatomy summary").click()
    for chart in CHARTS + FOLDED_CHARTS:
        page.locator(f'[data-chart="{chart}"]').scroll_into_view_if_needed()
        expect(page.locator(f'[data-chart="{chart}"] .main-svg').first).to_be_visible()
    widths = page.evaluate(
        "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] == widths[1]
    rows = page.evaluate(
        """() => [".identity", ".masthead-end"].map((part) => document.querySelector(`.masthead ${part}`))
            .map((part) => part.getBoundingClientRect()).map(({ top, bottom }) => (top + bottom) / 2)"""
    )
    assert abs(rows[0] - rows[1]) < 1


def test_the_chosen_theme_is_remembered(server: RunningServer, open_window: OpenWindow) -> None:
    page = open_window(server.url, color_scheme="light").page
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


def test_how_deep_positions_go_is_charted_where_they_choose(
    empty_server: RunningServer, open_window: OpenWindow
) -> None:
    server = empty_server
    page = open_window(server.url).page
    depth = page.locator(".chart-depth")
    small = {"size": "tiny", "max_seq_len": 256, "text": Path(__file__).read_text() * 4}
    for use_act in (False, True):
        server.ask("POST", "/init", {**small, "use_act": use_act, "ponder_start": 5})
        server.ask("POST", "/train-step", {"steps": 20})
        page.reload()
        expect(page.locator('[data-figure="step"]')).to_have_text("20")
        expect(depth).to_be_visible(visible=use_act)
    expect(page.locator('[data-reading="depth"]')).to_have_text(re.compile(r"^[12]\.\d\d layers$"))
    expect(chart_texts(page, "depth").filter(has_text="all 2")).to_have_count(1)


def test_floors_say_what_they_refuse_and_calibrate_sets_both_at_once(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    window = open_window(server.url)
    page = window.page
    train_tiny_run(page, corpus_file)
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")
    note = page.locator('[data-setting="s_floor"] [data-note]')
    expect(note).to_have_text(re.compile(r"^refuses .* % of real text of 256 bytes$"))
    page.get_by_label("Bytes", exact=True).fill("64")
    set_exactly(page, "S floor", "1")
    expect(note).to_have_text("refuses 100 % of real text of 64 bytes")
    expect(page.locator('[data-setting="s_floor"]')).to_contain_text(re.compile(r"applied at step \d"))

    page.get_by_role("button", name="Calibrate").click()
    expect(page.locator("[data-calibrated]")).to_contain_text("For 64 bytes: C ")
    expect(note).to_have_text(re.compile(r"^refuses (< )?[01]\.\d % of real text of 64 bytes$"))
    told = page.get_by_role("list", name="Events").get_by_text(re.compile("C floor .* S floor 1 → 0"))
    expect(told).to_have_count(1)
    assert window.console_errors == []
