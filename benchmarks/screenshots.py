"""What does the page look like? Trains a real run, steers it, and photographs it for the README.

Starts the real server on an empty folder and works as a reader would: one run from the form, the λK slider
after a third of the time, the C floor after two thirds, a sample, and, while training goes on, the page in
both themes at 1280 px and on a phone. Then it pauses, trains the twin that was never told of λK, and
photographs the two side by side. `python -m benchmarks.screenshots --seconds 300`
"""

import argparse
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from benchmarks.service_latency import Service, running_service, wait_until

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = "/usr/bin/chromium-headless-shell"
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIZES = {"1280": ViewportSize(width=1280, height=800), "390": ViewportSize(width=390, height=844)}
SLOWEST = 20
"""How many times longer than asked the training may take on a busy machine."""


def open_page(context: BrowserContext, url: str) -> Page:
    """Open the page and wait until it is connected and its charts are drawn."""
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    page.locator('[data-connection="connected"]').wait_for()
    page.locator('[data-chart="loss"] .main-svg').first.wait_for()
    return page


def start(page: Page, size: str) -> None:
    """Make a run of that size from the form and train it."""
    page.get_by_role("button", name="Choose size, text and seed …").click()
    page.get_by_role("radio", name=size).check()
    page.get_by_role("button", name="Make it and train").click()
    page.locator('[data-state="training"]').wait_for()


def set_exactly(page: Page, name: str, value: str) -> None:
    """Type a telemetry setting and wait until it is in force."""
    row = page.get_by_role("group", name=name)
    row.get_by_label("exact value").fill(value)
    row.get_by_label("exact value").press("Enter")
    row.get_by_text("applied at step").wait_for()


def generate(page: Page, prompt: str) -> None:
    """Ask for a sample and wait for it."""
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_role("button", name="Generate").click()
    page.locator('[data-output="sample"]').wait_for()
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    page.locator("body").click(position={"x": 2, "y": 2})


def train_until(service: Service, seconds: float) -> None:
    """Wait until the run has trained for so long."""
    wait_until(lambda: service.call("/status")["elapsed_s"] >= seconds, SLOWEST * seconds + 60)


def photograph(browser: Browser, url: str, folder: Path) -> None:
    """Write one picture for each width and theme."""
    for width, viewport in SIZES.items():
        for theme in ("light", "dark"):
            scale = 2 if width == "390" else 1
            context = browser.new_context(viewport=viewport, color_scheme=theme, device_scale_factor=scale)
            page = open_page(context, url)
            page.locator('[data-chart="loss"] .annotation-text').filter(has_text="xz").wait_for()
            page.wait_for_timeout(2_000)
            path = folder / f"dashboard-{width}-{theme}.png"
            page.screenshot(path=path)
            print(f"wrote {path}")
            context.close()


def photograph_twin(browser: Browser, service: Service, folder: Path) -> None:
    """Train the run without its first change of λK, and write a picture of the two."""
    page = open_page(browser.new_context(viewport=SIZES["1280"], color_scheme="light"), service.url)
    page.get_by_role("button", name="Pause").click()
    page.locator('[data-state="paused"]').wait_for()
    page.get_by_role("button", name="What if not: λK").click()
    page.get_by_role("button", name="Twin without it").click()
    page.get_by_role("list", name="Events").get_by_text("has caught up").wait_for(timeout=3_600_000)
    page.locator('[data-chart="difference"] .main-svg').first.wait_for()
    page.wait_for_timeout(5_000)
    path = folder / "twin-1280-light.png"
    page.screenshot(path=path)
    print(f"wrote {path}")
    page.context.close()


def main() -> None:
    """Train, steer, sample, photograph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time before the pictures")
    parser.add_argument(
        "--size", choices=("tiny", "small", "base"), default="small", help="size of the model"
    )
    parser.add_argument("--prompt", default="The function ", help="what the sample begins with")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with running_service() as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = open_page(browser.new_context(viewport=SIZES["1280"]), service.url)
        start(page, options.size)
        train_until(service, options.seconds / 3)
        set_exactly(page, "λ K", "0.1")
        train_until(service, options.seconds * 2 / 3)
        set_exactly(page, "C floor", "0.35")
        train_until(service, options.seconds)
        generate(page, options.prompt)
        page.context.close()
        photograph(browser, service.url, options.folder)
        photograph_twin(browser, service, options.folder)
        browser.close()


if __name__ == "__main__":
    main()
