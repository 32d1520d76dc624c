"""What several browser tests do on the page."""

from pathlib import Path

from playwright.sync_api import Locator, Page, expect


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


def set_exactly(page: Page, name: str, value: str) -> None:
    field = page.get_by_label(f"{name}, exact value")
    field.fill(value)
    field.press("Enter")
