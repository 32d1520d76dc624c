"""What is chosen for the charts, read off them and saved of them, in a real browser on a real run."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, SLOWDOWN, OpenWindow, slowed
from tests.browser.pages import choose_range, wait_until_drawn
from tests.conftest import RunningServer

STEPS = 60
SMALL = {
    "d_model": 16,
    "nhead": 2,
    "dim_feedforward": 32,
    "max_seq_len": 256,
    "batch_size": 2,
    "validation_interval": 10,
}
IN_SIGHT = """[...document.querySelectorAll("[data-chart]")]
    .filter((one) => one.layout && one.checkVisibility())
    .filter((one) => one.getBoundingClientRect().top < innerHeight)"""
ALL_FIGURES = f"""() => Object.fromEntries({IN_SIGHT}.map(({{ dataset, data, layout }}) => [dataset.chart, {{
    range: layout.xaxis.range, ticks: layout.xaxis.ticktext, yType: layout.yaxis.type,
    markers: data.filter(({{ yaxis }}) => yaxis === "y2").flatMap(({{ x }}) => x),
}}]))"""
SCROLLS = "(scrolls) => (document.documentElement.scrollHeight > window.innerHeight) === scrolls"


@pytest.fixture(scope="module")
def run_ids(server: RunningServer, corpus_file: Path) -> tuple[str, str]:
    """A run that was steered once, and its branch, which is live and a little longer."""
    made = server.ask("POST", "/init", {"size": "tiny", "text": corpus_file.read_text()} | SMALL)
    original = made["run_id"]
    server.ask("POST", "/train-step", {"steps": STEPS // 2})
    server.ask("POST", "/config/telemetry", {"lambda_K": 0.25})
    server.ask("POST", "/train-step", {"steps": STEPS // 2})
    branch = {"step": STEPS, "settings": {"learning_rate": 0.001}}
    forked = server.ask("POST", f"/runs/{original}/fork", branch)
    server.ask("POST", "/train-step", {"steps": 5})
    return original, forked["run_id"]


@pytest.fixture(scope="module")
def open_page(server: RunningServer, run_ids: tuple[str, str], browser: Browser) -> Iterator[Page]:
    """One page for most of the tests: the first drawing takes longer than each of them."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = slowed(context.new_page())
    page.goto(server.url)
    yield drawn(page)
    context.close()


@pytest.fixture
def page(open_page: Page) -> Page:
    """The page as it is without a choice."""
    open_page.set_viewport_size({"width": 1280, "height": 800})
    open_page.evaluate("() => (location.hash = 'x=step')")
    expect(open_page.locator("[data-reset-zoom]")).to_be_hidden()
    open_page.wait_for_function("() => location.hash === ''")
    wait_for_axes(open_page, f"xaxis.type === 'linear' && xaxis.range[0] === 0 && xaxis.range[1] > {STEPS}")
    return open_page


def drawn(page: Page) -> Page:
    """Wait until every chart in sight has been drawn, with what was measured, of the run beside as well."""
    wait_until_drawn(page)
    page.wait_for_function("() => document.querySelector('[data-chart=difference]').data?.[2]?.x.length > 0")
    return page


def wait_for_axes(page: Page, condition: str) -> None:
    """Wait until the x axis of every chart in sight is so: they are drawn in turn."""
    page.wait_for_function(f"() => {IN_SIGHT}.every(({{ layout: {{ xaxis }} }}) => {condition})")


def step_of(page: Page) -> int:
    return int(page.locator('[data-figure="step"]').inner_text())


def figures(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(ALL_FIGURES)
    return found


def expect_fragment(page: Page, pattern: str) -> None:
    """Expect what is after "#" in the address."""
    expect(page).to_have_url(re.compile(f"#{pattern}$"))


def x_axis(page: Page) -> Locator:
    return page.get_by_label("Against, the x axis of all charts")


def save(page: Page, chart: str, kind: str) -> tuple[str, bytes]:
    """Save a chart and return the file's name and what is in it."""
    page.get_by_role("button", name=f"Save the chart {chart}", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("dialog", name="Save this chart").get_by_role("button", name=kind).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_all_charts_follow_the_x_axis_with_their_markers_and_runs_beside(page: Page) -> None:
    choose_range(page, "telemetry", 0.2, 0.6)
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    expect_fragment(page, r"zoom=x:\d.*")
    x_axis(page).select_option("time")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_hidden()
    expect_fragment(page, "x=time")
    wait_for_axes(page, "xaxis.ticktext.join().includes('s')")
    by_time = figures(page)
    assert len({str(one["range"]) for one in by_time.values()}) == 1
    x_axis(page).select_option("bytes log")
    wait_for_axes(page, "xaxis.type === 'log'")
    by_bytes = figures(page)
    assert {"loss", "difference", "telemetry", "attention", "throughput", "cost", "memory"} <= by_bytes.keys()
    for chart in by_bytes.values():
        assert all(re.fullmatch(r"\d+ k?B", text) for text in chart["ticks"])
    marks = [{x for x in chart["markers"] if x is not None} for chart in by_bytes.values()]
    assert all(one == marks[0] for one in marks)
    assert STEPS // 2 * SMALL["batch_size"] * SMALL["max_seq_len"] // 8 in marks[0]


def test_a_logarithmic_y_axis_is_offered_where_it_helps_and_survives_updates(
    server: RunningServer, page: Page
) -> None:
    page.locator(".anatomy summary").click()
    expect(page.locator("[data-y-scale]")).to_have_count(2)
    page.get_by_role("button", name="log y axis of Bits per byte").click()
    page.get_by_role("button", name="log y axis of Gradient norm").click()
    page.wait_for_function(
        "() => document.querySelector('[data-chart=gradient]').layout?.yaxis.type === 'linear'"
    )
    expect_fragment(page, "yscale=loss:log,gradient:linear&open=anatomy")
    page.evaluate("() => scrollTo(0, 0)")
    before = step_of(page)
    server.ask("POST", "/train-step", {"steps": 1})
    page.wait_for_function(
        "(step) => document.querySelector('[data-chart=loss]').data[0].x.at(-1) > step", arg=before
    )
    for button, isOn in (("Bits per byte", "true"), ("Gradient norm", "false")):
        toggle = page.get_by_role("button", name=f"log y axis of {button}")
        expect(toggle).to_have_attribute("aria-pressed", isOn)
    assert figures(page)["loss"]["yType"] == "log"


def test_a_page_to_which_nothing_happens_draws_nothing(server: RunningServer, page: Page) -> None:
    page.evaluate(
        """() => {
            window.drawings = 0;
            for (const one of document.querySelectorAll("[data-chart]"))
                one.on?.("plotly_afterplot", () => (window.drawings += 1));
        }"""
    )
    slowed(page, 8)  # a frame has not room for all charts
    try:
        server.ask("POST", "/train-step", {"steps": 1})
        page.wait_for_function("() => window.drawings > 0")
        drawings = [0]
        while page.evaluate("() => window.drawings") != drawings[-1]:
            assert len(drawings) < 12, f"it never comes to rest: {drawings}"
            drawings.append(page.evaluate("() => window.drawings"))
            page.wait_for_timeout(5000)  # more than a frame and the rest after it
    finally:
        slowed(page, SLOWDOWN)


def test_one_cursor_runs_over_all_charts(page: Page) -> None:
    box = page.locator('[data-chart="telemetry"]').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    shown = page.locator(".charts .chart-cursor:visible")
    expect(shown).to_have_count(7)
    expect(page.locator(".chart-telemetry .chart-cursor-label")).to_contain_text(
        re.compile(r"step \d+K 0\.\d{3}")
    )
    expect(page.locator(".chart-loss .chart-cursor-label")).to_contain_text(
        re.compile(r"^training \d\.\d{3}")
    )
    page.wait_for_function(  # charts are drawn in turn; each shows the cursor where it shows that step
        """() => new Set(["loss", "telemetry", "difference"].map((name) => document.querySelector(
            `.chart-${name} .chart-cursor`).getBoundingClientRect().left)).size === 1"""
    )
    page.mouse.move(2, 2)
    expect(shown).to_have_count(0)


def test_the_cursor_is_moved_and_read_with_the_keyboard(page: Page) -> None:
    chart = page.get_by_role("application", name="Bits per byte")
    chart.focus()
    read = page.locator("[data-cursor-status]")
    chart.press("End")
    last = step_of(page)
    expect(read).to_have_text(re.compile(rf"^step {last}: training \d\.\d+"))
    chart.press("ArrowLeft")
    expect(read).to_contain_text(f"step {last - 1}: ")
    chart.press("Shift+ArrowLeft")
    expect(read).to_contain_text(f"step {last - 11}: ")
    chart.press("Home")
    expect(read).to_contain_text("step 1: ")
    expect(page.locator(".charts .chart-cursor:visible")).to_have_count(7)
    chart.press("Escape")
    expect(page.locator(".chart-cursor:visible")).to_have_count(0)


def test_events_are_reached_and_asked_about_with_the_keyboard(page: Page) -> None:
    page.evaluate("() => (location.hash = 'beside=')")
    chart = page.get_by_role("application", name="Bits per byte")
    chart.focus()
    read = page.locator("[data-cursor-status]")
    menu = page.get_by_role("dialog", name="What if not?")
    chart.press("Home")
    chart.press("Enter")
    expect(read).to_have_text("No event here.")
    chart.press("PageUp")
    expect(read).to_have_text(re.compile(rf"^step {STEPS // 2}: .*λK 0 → 0\.25"))
    chart.press("PageUp")
    expect(read).to_have_text(re.compile(rf"^step {STEPS}: "))
    chart.press("PageDown")
    expect(read).to_contain_text("λK 0 → 0.25")
    chart.press("Enter")
    expect(menu).to_contain_text("λK 0 → 0.25")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(chart).to_be_focused()
    chart.press("ArrowLeft")
    expect(read).to_contain_text(f"step {STEPS // 2 - 1}: ")
    chart.press("PageDown")
    expect(read).to_have_text("No earlier event in view.")


def test_charts_are_zoomed_about_the_cursor_with_the_keyboard(page: Page) -> None:
    page.evaluate("() => (location.hash = 'beside=')")
    chart = page.get_by_role("application", name="Telemetry", exact=True)
    chart.focus()
    chart.press("Home")
    for _ in range(19):
        chart.press("ArrowRight")
    shown = "() => document.querySelector('[data-chart=memory]').layout.xaxis.range"
    page.wait_for_function(f"() => ({shown})()[0] === 0")
    low, high = page.evaluate(shown)
    for _ in range(2):  # the second before the first is drawn
        chart.press("+")
    page.wait_for_function(f"() => ({shown})()[0] > 14")
    assert page.evaluate(shown) == pytest.approx([20 - 20 / 4, 20 + (high - 20) / 4])
    expect_fragment(page, r"zoom=x:15\.\..*&beside=")
    expect(page.locator("[data-cursor-status]")).to_have_text(re.compile(r"^Shown: step 15 to step \d\d\.$"))
    expect(page.locator(".chart-telemetry .chart-cursor-label")).to_contain_text("step 20")
    chart.press("-")
    page.wait_for_function(f"() => ({shown})()[0] < 14")
    assert page.evaluate(shown) == pytest.approx([20 - 20 / 2, 20 + (high - 20) / 2])
    chart.press("-")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_hidden()
    expect(page.locator("[data-cursor-status]")).to_have_text("All is shown.")
    wait_for_axes(page, "xaxis.range[0] === 0")
    choose_range(page, "loss", 0.2, 0.6)
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    chart.press("0")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_hidden()
    assert low == 0


def test_a_chart_is_saved_as_picture_and_as_figures(
    server: RunningServer, run_ids: tuple[str, str], open_window: OpenWindow
) -> None:
    original, branch = run_ids
    window = open_window(f"{server.url}/#x=time", color_scheme="dark")
    page = drawn(window.page)
    last = step_of(page)
    name, picture = save(page, "Bits per byte", "PNG")
    run = f"{original[-4:]}-lr-0.001-{branch}"
    assert name == f"{run}-bits-per-byte-step-{last}.png"
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) == 2 * 960
    name, drawing = save(page, "Telemetry", "SVG")
    surface = page.evaluate("() => getComputedStyle(document.querySelector('.charts')).backgroundColor")
    assert name == f"{run}-telemetry-step-{last}.svg"
    for part in (surface, branch, "time trained", "S floor 0.5"):
        assert part in drawing.decode()
    name, table = save(page, "Bits per byte", "CSV")
    rows = list(csv.DictReader(table.decode().splitlines()))
    assert list(rows[0]) == [
        "run_id",
        "step",
        "elapsed_s",
        "bytes_seen",
        "bits_per_byte",
        "validation_bits_per_byte",
        "validation_bound_bits_per_byte",
        "compressed_bits_per_byte",
    ]
    assert [(row["run_id"], int(row["step"])) for row in rows] == [
        *((branch, step) for step in range(1, last + 1)),
        *((original, step) for step in range(1, STEPS + 1)),
    ]
    _, table = save(page, "Difference", "CSV")
    assert table.startswith(b"step,mean,low,high,validation\n")
    assert window.console_errors == []
    assert {f"http://{host}" for host in window.hosts} == {server.url}


def test_figures_are_saved_of_what_is_in_view(page: Page) -> None:
    page.evaluate("() => (location.hash = 'zoom=x:10..20&beside=')")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    _, table = save(page, "Memory", "CSV")
    assert [row["step"] for row in csv.DictReader(table.decode().splitlines())] == [
        str(step) for step in range(10, 21)
    ]


def test_smoothing_keeps_the_raw_trace_and_is_remembered(server: RunningServer, page: Page) -> None:
    raw = """() => document.querySelector("[data-chart=loss]").data
        .filter(({ name }) => name === "training").length"""
    page.get_by_label("Smoothing").select_option("none")
    page.wait_for_function(f"() => ({raw})() === 1")
    page.get_by_label("Smoothing").select_option("strong")
    page.wait_for_function(f"() => ({raw})() === 2")
    expect_fragment(page, "smoothing=strong")
    again = page.context.new_page()
    again.goto(server.url)
    expect(again.get_by_label("Smoothing")).to_have_value("strong")
    expect_fragment(again, "smoothing=strong")
    again.close()


def test_a_shared_address_shows_the_same(
    server: RunningServer, run_ids: tuple[str, str], open_window: OpenWindow
) -> None:
    original, _ = run_ids
    address = (
        f"x=time&yscale=loss:log&smoothing=none&zoom=x:0.5..1.5,loss:2..6&open=anatomy&beside={original}"
    )
    page = drawn(open_window(f"{server.url}/#{address}").page)
    expect(page.locator("[data-overlays]")).to_contain_text(original)
    expect(page.locator(".anatomy")).to_have_attribute("open", "")
    shown = figures(page)
    assert {str(chart["range"]) for chart in shown.values()} == {"[0.5, 1.5]"}
    assert shown["loss"]["yType"] == "log"
    expect_fragment(page, re.escape(address))
    page.get_by_role("button", name="Reset zoom").click()
    expect(page).not_to_have_url(re.compile("zoom"))
    page.evaluate("() => (location.hash = 'x=bytes')")
    expect(x_axis(page)).to_have_value("bytes")
    expect(page.locator(".anatomy")).not_to_have_attribute("open", "")


def test_what_the_address_cannot_mean_is_named(page: Page) -> None:
    page.evaluate("() => (location.hash = 'x=week&smoothing=strong&beside=no-such-run')")
    toasts = page.locator("[data-toasts]")
    expect(toasts).to_contain_text("x=week: it takes step, time or bytes.")
    expect(toasts).to_contain_text("There is no run no-such-run here")
    expect(page.get_by_label("Smoothing")).to_have_value("strong")
    page.wait_for_function("() => location.hash === '#smoothing=strong&beside='")
    for _ in range(2):
        toasts.get_by_role("button").first.click()
    expect(toasts.locator("> *")).to_have_count(0)


@pytest.mark.parametrize(("width", "height", "columns"), [(1680, 1050, 2), (1280, 800, 1), (390, 844, 1)])
def test_charts_have_one_screen_and_two_columns_where_there_is_room(
    page: Page, width: int, height: int, columns: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("() => (location.hash = 'beside=')")
    expect(page.locator(".chart-difference")).to_be_hidden()
    left = "(name) => document.querySelector(`[data-chart=${name}]`).getBoundingClientRect().left"
    assert len({round(page.evaluate(left, name)) for name in ("loss", "attention")}) == columns
    assert page.evaluate(left, "cost") == page.evaluate(left, "attention")
    page.wait_for_function(SCROLLS, arg=width < 1000)  # the charts follow their boxes a frame later
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    small = page.locator('[data-chart="memory"]').bounding_box()
    assert small is not None
    assert small["height"] > 60
