"""What the page says of each state that the service can be in: in a real browser, of real runs."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenWindow
from tests.browser.pages import state
from tests.conftest import RunningServer

WATCH_WELCOME = """() => {
    window.welcomed = [];
    const look = () => {
        const welcome = document.querySelector("[data-welcome]");
        if (welcome) window.welcomed.push(!welcome.hidden);
        requestAnimationFrame(look);
    };
    look();
}"""


def make_run(page: Page, url: str, text: str, **settings: Any) -> str:
    """Make a run over REST whose steps take milliseconds; return its id."""
    small = {"size": "tiny", "d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_seq_len": 256}
    answer = page.request.post(f"{url}/init", data={**small, "batch_size": 2, "text": text, **settings})
    assert answer.ok, answer.text()
    return str(answer.json()["run_id"])


def figure(page: Page, name: str) -> str:
    return page.locator(f'[data-figure="{name}"]').inner_text()


def test_a_page_is_right_before_any_script_and_before_any_answer(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    expect(state(page)).to_have_text("empty")
    without = open_window(server.url, java_script_enabled=False).page
    expect(without.locator("[data-welcome]")).to_be_visible()
    run_id = make_run(page, server.url, corpus_file.read_text())
    assert page.request.post(f"{server.url}/train-step", data={"steps": 3}).ok

    without.reload()
    held: list[Route] = []
    for path in ("status", "runs/**", "calibration**"):
        page.route(f"{server.url}/{path}", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    page.route_web_socket("**/socket.io/**", lambda socket: None)  # noqa: ARG005 - left without an answer
    page.add_init_script(f"({WATCH_WELCOME})()")
    page.reload()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    for one in (without, page):
        expect(state(one)).to_have_text("ready")
        assert (figure(one, "run"), figure(one, "step")) == (run_id, "3")
        assert one.title() == "BitLM: ready"
        expect(one.locator("[data-welcome]")).to_be_hidden()
    expect(page.locator('[data-figure="summary"]')).to_contain_text("2 layers")
    assert held
    expect(page.locator("[data-toasts] > *")).to_have_count(0)

    for route in held:
        route.continue_()
    page.unroute_all()
    expect(page.get_by_role("list", name="Events")).to_contain_text("3 steps")
    page.wait_for_function("() => document.querySelector('[data-chart=loss]').data?.[0].x.join() === '1,2,3'")
    assert set(page.evaluate("() => window.welcomed")) == {False}
