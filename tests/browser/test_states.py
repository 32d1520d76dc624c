"""What the page says of each state that the service can be in: in a real browser, of real runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import PATIENCE_MS, OpenWindow
from tests.browser.pages import hold, make_run, state, train_tiny_run
from tests.conftest import RunningServer, Serve, WaitUntil

WATCH_WELCOME = """() => {
    window.welcomed = [];
    const look = () => {
        const welcome = document.querySelector("[data-welcome]");
        if (welcome) window.welcomed.push(!welcome.hidden);
        requestAnimationFrame(look);
    };
    look();
}"""

LOSS_STEPS = "() => document.querySelector('[data-chart=loss]').data?.[0].x ?? []"

IS_ABOVE = "([one, other]) => one.getBoundingClientRect().bottom <= other.getBoundingClientRect().top"

PLAIN = "The cat sat on the mat. " * 400
RARE_NOISE = PLAIN + "".join(chr(0x4E00 + 97 * place) for place in range(60)) + PLAIN
"""Text that is learned in a moment, with a passage that no batch holds for a while; then the loss jumps."""


LONG = 400
"""Steps that take seconds to compute again."""


class Line:
    """From a page, once it is loaded again, to the server: its socket can be cut off; REST goes on."""

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url
        self._is_cut = False
        self._sockets: list[WebSocketRoute] = []
        page.route_web_socket("**/socket.io/**", self._connect)

    def _connect(self, socket: WebSocketRoute) -> None:
        self._sockets.append(socket)
        if self._is_cut:
            socket.close()
        else:
            socket.connect_to_server()

    def cut(self) -> None:
        """Close the socket, and every further one."""
        self._is_cut = True
        self._sockets[-1].close()

    def mend(self) -> None:
        """Let the next one through."""
        self._is_cut = False

    def post(self, path: str, body: dict[str, Any] | None = None) -> None:
        """Tell the server something."""
        answer = self._page.request.post(self._url + path, data=body or {}, timeout=PATIENCE_MS)
        assert answer.ok, answer.text()

    def get(self, path: str) -> dict[str, Any]:
        """Ask the server something."""
        answer: dict[str, Any] = self._page.request.get(self._url + path, timeout=PATIENCE_MS).json()
        return answer


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
    server.ask("POST", "/train-step", {"steps": 3})

    without.reload()
    held = hold(page, *(f"{server.url}/{path}" for path in ("status", "runs/**", "calibration**")))
    page.route_web_socket("**/socket.io/**", lambda _: None)  # left without an answer
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


def test_a_page_opened_while_a_run_is_computed_again_counts_the_steps_and_then_shows_it(
    serve: Serve, open_window: OpenWindow, corpus_file: Path
) -> None:
    killed = serve(BITLM_CHECKPOINT_INTERVAL_S="3600")
    page = open_window(killed.url).page
    run_id = make_run(page, killed.url, corpus_file.read_text(), checkpoint_interval=1_000_000)
    killed.ask("POST", "/train-step", {"steps": LONG})
    killed.kill()
    server = serve(killed.data_dir)
    page.goto(server.url)
    expect(state(page)).to_have_text("resuming")
    assert figure(page, "run") == run_id
    banner = page.locator("[data-banner]")
    told = re.compile(rf"^Resuming: step [\d,]+ of {LONG:,} computed again\.$")
    expect(banner).to_have_text(told)
    first = banner.inner_text()
    expect(banner).not_to_have_text(first)
    expect(banner).to_have_text(told)
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    expect(state(page)).to_have_text("paused")
    expect(banner).to_be_hidden()
    assert figure(page, "step") == f"{LONG:,}"
    page.wait_for_function(f"() => ({LOSS_STEPS})().at(-1) === {LONG}")
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_enabled()


def test_the_past_of_a_run_is_asked_for_once(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text())
    server.ask("POST", "/train-step", {"steps": 3})
    page.goto("about:blank")  # the page that saw the run being made asks, too
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/metrics?since=3*"):  # the socket is up: what came since?
        page.goto(server.url)
    assert sum("metrics?since=-1" in url for url in asked) == 1


def test_what_nobody_answered_is_asked_again_without_a_message(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text())
    server.ask("POST", "/train-step", {"steps": 3})
    page.goto("about:blank")
    page.route("**/status", lambda route: route.abort(), times=2)  # once for the page, once for its socket
    with page.expect_request("**/metrics?since=-1*"):
        page.goto(server.url)
    expect(page.locator(".toast-problem")).to_have_text([])


def test_after_the_socket_was_cut_no_step_is_missing_and_no_event(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path, wait_until: WaitUntil
) -> None:
    page = open_window(server.url).page
    line = Line(page, server.url)
    run_id = make_run(page, server.url, corpus_file.read_text())
    page.reload()
    expect(page.locator("[data-connection=connected]")).to_be_attached()
    line.post("/train/start")
    page.wait_for_function("() => Number(document.querySelector('[data-figure=step]').textContent) > 9")
    line.cut()
    expect(state(page)).to_have_text("disconnected")
    banner = page.locator("[data-banner]")
    expect(banner).to_have_text("The connection to BitLM is lost; trying again.")
    assert page.evaluate(IS_ABOVE, [banner.element_handle(), page.locator("#loss-title").element_handle()])
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function("() => document.documentElement.scrollHeight === 800")
    shown = int(figure(page, "step"))
    line.post("/config/telemetry", {"lambda_K": 0.25})
    wait_until(lambda: line.get("/status")["step"] > shown + 20)
    line.post("/train/pause")
    assert int(figure(page, "step")) == shown

    held = hold(page, "**/status")
    line.mend()
    expect(state(page)).not_to_have_text("disconnected")
    line.post("/train-step", {"steps": 5})  # told by the socket before the page knows what it missed
    last = line.get("/status")["step"]
    expect(page.locator('[data-figure="step"]')).to_have_text(str(last))
    assert held
    for route in held:
        route.continue_()
    page.unroute("**/status")
    expect(page.get_by_role("list", name="Events").get_by_text("λK 0 → 0.25")).to_have_count(1)
    page.wait_for_function(f"(last) => ({LOSS_STEPS})().at(-1) === last", arg=last)
    page.wait_for_function(f"(last) => ({LOSS_STEPS})().length === last", arg=last)
    assert page.evaluate(LOSS_STEPS) == list(range(1, last + 1))
    events = line.get(f"/runs/{run_id}/events")["events"]
    expect(page.get_by_role("list", name="Events").get_by_role("listitem")).to_have_count(len(events))


def test_a_run_that_was_stopped_can_go_on(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    train_tiny_run(page, corpus_file)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(state(page)).to_have_text("stopped")
    expect(page.locator("[data-banner]")).to_be_hidden()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_attribute(
        "title", "Training has stopped"
    )
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(state(page)).to_have_text("training")
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")


def test_a_run_whose_text_was_lost_has_failed_and_gives_way_to_another(
    serve: Serve, open_window: OpenWindow, corpus_file: Path
) -> None:
    first = serve()
    page = open_window(first.url).page
    make_run(page, first.url, corpus_file.read_text())
    first.stop()
    for text in first.data_dir.glob("data/*"):
        text.write_text("another text")
    url = serve(first.data_dir).url
    page.goto(url)
    expect(state(page)).to_have_text("failed")
    expect(page.locator("[data-banner]")).to_have_text(re.compile(r"^Failed: .*POST /init makes a new one"))
    expect(page.locator("[data-welcome]")).to_be_hidden()
    train = page.locator('.run [data-action="train"]')
    expect(train).to_have_attribute("title", "Training failed")
    expect(page.get_by_role("button", name="New run …")).to_be_enabled()
    make_run(page, url, corpus_file.read_text())
    expect(state(page)).to_have_text("ready")
    expect(page.locator("[data-banner]")).to_be_hidden()


def test_a_run_that_halted_itself_says_why_and_is_rolled_back(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    far = {"learning_rate": 1, "matrix_learning_rate": 1, "warmup_steps": 0, "gradient_clip": 1e6}
    halted = make_run(page, server.url, corpus_file.read_text(), **far)
    asked = page.request.post(f"{server.url}/train-step", data={"steps": 100}, timeout=PATIENCE_MS)
    assert asked.status == 409
    expect(state(page)).to_have_text("halted")
    expect(page.locator("[data-banner]")).to_have_text(re.compile(r"^Halted: step \d+ failed: .*exact range"))
    train = page.locator('.run [data-action="train"]')
    expect(train).to_have_attribute("title", re.compile("roll it back or start a new run"))
    page.get_by_role("button", name="Roll back").click()
    expect(state(page)).to_have_text("ready")
    expect(page.get_by_role("button", name="Roll back")).to_be_hidden()
    expect(page.locator("[data-banner]")).to_be_hidden()
    expect(page.locator("[data-overlays]")).to_contain_text(halted)
    assert figure(page, "run") != halted


@pytest.mark.parametrize("action", ["pause", "roll back"])
def test_an_alert_leads_to_what_was_chosen_and_says_so(
    server: RunningServer, open_window: OpenWindow, action: str
) -> None:
    page = open_window(server.url).page
    run_id = make_run(page, server.url, RARE_NOISE)
    expect(page.locator('[data-figure="run"]')).to_have_text(run_id)
    with page.expect_response("**/config/alerts"):
        page.get_by_label("On alert").select_option(action)
    with page.expect_response("**/train-step") as answer:
        page.get_by_label("Steps to do").fill("2000")
        page.get_by_label("Steps to do").press("Enter")
    assert answer.value.json()["step"] < 2000
    expect(page.get_by_role("list", name="Events").get_by_text("Spike: loss went from")).to_have_count(1)
    if action == "pause":
        expect(state(page)).to_have_text("paused")
        assert figure(page, "run") == run_id
    else:
        expect(page.locator("[data-overlays]")).to_contain_text(run_id)
        expect(state(page)).to_have_text("ready")
        assert figure(page, "run") != run_id
        expect(page.get_by_role("list", name="Events")).to_contain_text(f"Rolled back from {run_id} to step")


def test_a_text_that_is_not_all_utf8_says_how_much_of_it_is_bytes(
    server: RunningServer, open_window: OpenWindow, tmp_path: Path
) -> None:
    page = open_window(server.url).page
    latin = tmp_path / "latin"
    latin.write_bytes("Grün ist die Wiese. ".encode("latin-1") * 500)
    make_run(page, server.url, None, corpus=str(latin))
    summary, events = page.locator('[data-figure="summary"]'), page.get_by_role("list", name="Events")
    expect(summary).to_have_text("2 layers × 16 · latin, 10.0 kB, 5.0 % no UTF-8")
    expect(events).to_contain_text("parameters on latin, 5.0 % of which is no UTF-8: taken as bytes")
    make_run(page, server.url, PLAIN)
    expect(summary).to_have_text("2 layers × 16 · pasted text, 9.60 kB")
    expect(events).to_contain_text("parameters on pasted text")
    expect(events).not_to_contain_text("UTF-8")
