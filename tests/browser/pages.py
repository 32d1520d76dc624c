"""What several browser tests do on the page."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import PATIENCE_MS

DRAWN = """() => [...document.querySelectorAll(".charts [data-chart]")].every((one) =>
    one.layout || !one.offsetParent || one.getBoundingClientRect().top > window.innerHeight)"""


def state(page: Page) -> Locator:
    return page.locator("[data-state]").first


def open_form(page: Page) -> None:
    """Open the form of a new run; a run that an earlier test left training is paused first."""
    if state(page).inner_text() == "training":
        page.get_by_role("button", name="Pause").click()
    page.locator('.run [data-action="setup"]').click()


def start_tiny_run(page: Page, corpus: Path) -> None:
    """Fill in the form for a run whose steps take milliseconds, and train it."""
    open_form(page)
    page.get_by_role("radio", name="tiny").check()
    page.get_by_role("radio", name="File or folder").check()
    page.get_by_label("Path of a text file or a folder").fill(str(corpus))
    page.get_by_text("Every setting").click()
    sizes = {"d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_seq_len": 256, "batch_size": 2}
    for field, value in sizes.items():
        page.locator(f'[data-setup] input[name="{field}"]').fill(str(value))
    page.get_by_role("button", name="Make it and train").click()
    expect(state(page)).to_have_text("training")


def train_tiny_run(page: Page, corpus: Path) -> None:
    """Have a run trained as `start_tiny_run` does, asked for over REST: where the form is not the point."""
    url = page.evaluate("() => location.origin")
    if state(page).inner_text() == "training":
        assert page.request.post(f"{url}/train/pause", data={}, timeout=PATIENCE_MS).ok
    run_id = make_run(page, url, corpus.read_text())
    expect(page.locator('[data-figure="run"]')).to_have_text(run_id)
    assert page.request.post(f"{url}/train/start", data={}, timeout=PATIENCE_MS).ok
    expect(state(page)).to_have_text("training")


def make_run(page: Page, url: str, text: str | None, **settings: Any) -> str:
    """Make a run over REST whose steps take milliseconds; return its id."""
    small = {"size": "tiny", "d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_seq_len": 256}
    body = {**small, "batch_size": 2, "text": text, **settings}
    answer = page.request.post(f"{url}/init", data=body, timeout=PATIENCE_MS)
    assert answer.ok, answer.text()
    return str(answer.json()["run_id"])


def wait_until_drawn(page: Page) -> None:
    """Wait until every chart in sight has been drawn, with what was measured."""
    page.wait_for_function(DRAWN)
    page.wait_for_function("() => document.querySelector('[data-chart=loss]').data?.[0].x.length > 0")


def choose_range(page: Page, chart: str, start: float, end: float) -> None:
    """Drag over a chart, from one share of its plot's width to another."""
    box = page.locator(f'[data-chart="{chart}"] .nsewdrag').first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], middle, steps=4)
    page.mouse.up()


def set_exactly(page: Page, name: str, value: str) -> None:
    field = page.get_by_label(f"{name}, exact value")
    field.fill(value)
    field.press("Enter")


def hold(page: Page, *addresses: str) -> list[Route]:
    """Leave requests to these addresses unanswered; return where they wait, to be continued."""
    held: list[Route] = []

    def keep(route: Route) -> None:  # list.append itself will not do: Playwright marks what it is given
        held.append(route)

    for address in addresses:
        page.route(address, keep)
    return held
