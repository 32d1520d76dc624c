"""What does the page look like in each state? Photographs all of them from a real run, to be looked at.

Starts the real server on an empty folder and goes through what a reader can meet: no run, the form, training,
a sample and what is inside it, refusals, alerts, other runs, a run that halted, a lost connection. Each is
photographed wide in both themes, on a large screen, and on a phone in both themes.
`python -m benchmarks.album --folder .bitlm/album`
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from benchmarks.screenshots import CHROMIUM, FLAGS, open_page, set_exactly, start, train_until
from benchmarks.service_latency import Service, running_service, wait_until

Look = tuple[str, ViewportSize, Literal["light", "dark"]]

LOOKS: tuple[Look, ...] = (
    ("1280-light", ViewportSize(width=1280, height=800), "light"),
    ("1280-dark", ViewportSize(width=1280, height=800), "dark"),
    ("1680-light", ViewportSize(width=1680, height=1000), "light"),
    ("390-light", ViewportSize(width=390, height=844), "light"),
    ("390-dark", ViewportSize(width=390, height=844), "dark"),
)
SETTLING_MS = 700
"""Charts are drawn four times a second, and a popover takes 0.2 s to appear."""

RUINOUS = 1.0
"""A learning rate so large that the run halts after some steps."""


class Album:
    """Takes the pictures."""

    def __init__(self, folder: Path, looks: tuple[Look, ...]) -> None:
        self._folder = folder
        self._looks = looks
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, page: Page, state: str, prepare: Callable[[], object] = lambda: None) -> None:
        """Photograph what is shown now, a phone's page whole; `prepare` opens again what a resize closes."""
        for name, viewport, theme in self._looks:
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size(viewport)
            prepare()
            if self._is_whole(page, viewport):
                height = page.evaluate("() => document.documentElement.scrollHeight")
                page.set_viewport_size({"width": viewport["width"], "height": height})
            page.wait_for_timeout(SETTLING_MS)
            page.screenshot(path=self._folder / f"{state}-{name}.png")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(LOOKS[0][1])
        print(f"photographed: {state}")

    def add_printed(self, page: Page) -> None:
        """Photograph what a printer is given."""
        page.emulate_media(media="print", color_scheme="light")
        page.wait_for_timeout(SETTLING_MS)
        page.screenshot(path=self._folder / "printed.png", full_page=True)
        page.emulate_media(media="screen")
        print("photographed: printed")

    @staticmethod
    def _is_whole(page: Page, viewport: ViewportSize) -> bool:
        opened = page.locator("dialog[open], [popover]:popover-open").count()
        return viewport["width"] < 600 and not opened


def begin(page: Page, album: Album) -> None:
    """What there is before a run, and the making of one."""
    album.add(page, "empty-with-tour")
    page.keyboard.press("Escape")
    album.add(page, "empty")
    page.get_by_role("button", name="Keys and tour").click()
    album.add(page, "keys")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Choose size, text and seed …").click()
    page.locator("[data-basis]").get_by_text("tried just now").wait_for()
    album.add(page, "form")
    page.get_by_text("Every setting").click()
    page.locator('[data-setup] input[name="d_model"]').fill("7")
    page.locator('[data-setup] [aria-invalid="true"]').wait_for()
    album.add(page, "form-refused")
    page.reload()


def train(page: Page, album: Album, service: Service, seconds: float) -> None:
    """A run that is steered, sampled along training, and paused."""
    start(page, "small")
    train_until(service, 3)
    album.add(page, "training-first-seconds")
    page.get_by_role("tab", name="Along training").click()
    page.get_by_label("Steps between two samples").fill("200")
    page.get_by_role("switch", name="Draw a text every").check()
    train_until(service, seconds / 3)
    set_exactly(page, "λ K", "0.1")
    train_until(service, seconds * 2 / 3)
    set_exactly(page, "C floor", "0.35")
    train_until(service, seconds)
    album.add(page, "training-samples-along")
    page.get_by_role("tab", name="Text").click()
    page.locator(".anatomy summary").click()
    page.locator(".anatomy").scroll_into_view_if_needed()
    album.add(page, "training-anatomy")
    page.locator(".anatomy summary").click()
    page.evaluate("() => scrollTo(0, 0)")
    page.get_by_role("button", name="Pause").click()
    page.locator('[data-state="paused"]').wait_for()
    album.add(page, "paused")


def sample(page: Page, album: Album) -> None:
    """Texts the gate lets through and does not."""
    page.get_by_label("Prompt").fill("The function ")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator("[data-verdict-word]").get_by_text("Gate").wait_for()
    album.add(page, "sample")
    character = page.locator("#text-panel [data-index]").nth(12)
    album.add(page, "sample-inside-a-character", character.click)
    page.get_by_label("Prompt").focus()
    set_exactly(page, "S floor", "0.99")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator("[data-verdict-word]").get_by_text("Gate failed").wait_for()
    album.add(page, "sample-failed")
    attempts = page.get_by_role("button", name="attempts")
    album.add(page, "sample-attempts", lambda: reopen(attempts))
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Calibrate").click()
    page.locator("[data-calibrated]").get_by_text("For 256 bytes").wait_for()
    album.add(page, "calibrated")


def reopen(button: Locator) -> None:
    """Open what the button opens, where it belongs in the window's present size."""
    if button.get_attribute("aria-expanded") == "true":
        button.page.keyboard.press("Escape")
    button.click()


def look_closer(page: Page, album: Album) -> None:
    """What opens over the page, and charts in another view."""
    page.get_by_role("button", name="What if not: λK").click()
    album.add(page, "what-if-not")
    page.keyboard.press("Escape")
    page.locator(".chart-telemetry .help-button").first.click()
    album.add(page, "help")
    page.keyboard.press("Escape")
    row = page.get_by_role("group", name="λ S").get_by_label("exact value")
    row.fill("4")
    row.press("Enter")
    album.add(page, "setting-refused")
    row.fill("0")
    row.press("Enter")
    page.get_by_role("tab", name="Checkpoints").click()
    album.add(page, "checkpoints")
    page.get_by_role("tab", name="Events").click()
    address = page.url.partition("#")[0]
    page.goto(f"{address}#x=time&yscale=loss:log&smoothing=none")
    chart = page.get_by_role("application", name="Bits per byte")
    chart.focus()
    chart.press("End")
    for _ in range(3):
        chart.press("Shift+ArrowLeft")
    album.add(page, "charts-by-time-log-cursor")
    chart.press("Escape")
    page.evaluate("() => (location.hash = 'x=step')")
    album.add_printed(page)


def other_runs(page: Page, album: Album, service: Service) -> None:
    """A twin beside the run, the list of runs, and the trash."""
    page.get_by_role("button", name="What if not: λK").click()
    page.get_by_role("button", name="Twin without it").click()
    page.get_by_role("list", name="Events").get_by_text("has caught up").wait_for(timeout=3_600_000)
    wait_until(lambda: service.call("/status")["state"] == "paused", 60)
    album.add(page, "twin-beside")
    page.locator('.masthead [data-action="runs"]').click()
    page.locator("[data-comparison] table").first.wait_for()
    album.add(page, "runs-compared")
    page.get_by_role("button", name="Trash").click()
    page.get_by_text("The trash is empty.").wait_for()
    album.add(page, "trash-empty")
    page.keyboard.press("Escape")


def go_wrong(page: Page, album: Album, service: Service) -> None:
    """A run that cannot go on."""
    service.call("/init", {"size": "tiny", "learning_rate": RUINOUS, "matrix_learning_rate": RUINOUS})
    service.call("/train/start", {})
    page.locator('[data-state="halted"]').wait_for()
    album.add(page, "halted")


def main() -> None:
    """Go through all states and photograph each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".bitlm/album"), help="where the pictures go")
    parser.add_argument("--seconds", type=float, default=60.0, help="training time before it is paused")
    parser.add_argument("--looks", nargs="+", choices=[name for name, *_ in LOOKS], help="default: all")
    options = parser.parse_args()
    wanted = options.looks or [name for name, *_ in LOOKS]
    album = Album(options.folder, tuple(look for look in LOOKS if look[0] in wanted))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with running_service() as service:
            page = open_page(browser.new_context(viewport=LOOKS[0][1], color_scheme="light"), service.url)
            steps: tuple[Callable[[], None], ...] = (
                lambda: begin(page, album),
                lambda: train(page, album, service, options.seconds),
                lambda: sample(page, album),
                lambda: look_closer(page, album),
                lambda: other_runs(page, album, service),
                lambda: go_wrong(page, album, service),
            )
            for step in steps:
                step()
        page.locator('[data-state="disconnected"]').wait_for()
        album.add(page, "disconnected")
        browser.close()
    print(f"{len(list(options.folder.glob('*.png')))} pictures in {options.folder}")


if __name__ == "__main__":
    main()
