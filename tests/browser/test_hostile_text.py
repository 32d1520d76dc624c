"""Markup in everything that people and models write: it is shown as it is written, and nothing of it runs."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, OpenWindow
from tests.browser.pages import make_run, state
from tests.conftest import RunningServer

IMAGE = "<img src=x onerror='window.ran=1'>"
SCRIPT = "</script><script>window.ran=1</script>"
REMEMBER = """() => {
  window.refused = [];
  const note = ({ effectiveDirective }) => window.refused.push(effectiveDirective);
  document.addEventListener("securitypolicyviolation", note);
}"""


def post(page: Page, url: str, body: dict[str, Any], method: str = "POST") -> None:
    answer = page.request.fetch(url, method=method, data=body, timeout=PATIENCE_MS)
    assert answer.ok, answer.text()


def test_hostile_text_is_shown_as_text_and_never_runs_and_would_be_refused_if_it_did(
    empty_server: RunningServer, open_window: OpenWindow
) -> None:
    url = empty_server.url
    page = open_window(url).page
    run_id = make_run(page, url, (IMAGE + SCRIPT) * 60, text_name=IMAGE)
    post(page, f"{url}/runs/{run_id}", {"name": SCRIPT, "tags": [IMAGE]}, "PATCH")
    post(page, f"{url}/runs/{run_id}/checkpoints", {"name": IMAGE})
    schedule = {"every": 1, "prompt": IMAGE, "max_new_bytes": 16}
    post(page, f"{url}/config/samples", {"schedule": schedule})
    post(page, f"{url}/train-step", {"steps": 2})
    post(page, f"{url}/infer", {"prompt": SCRIPT, "max_new_bytes": 32})
    page.reload()
    page.evaluate(REMEMBER)

    expect(page.locator('[data-figure="run"]')).to_have_text(SCRIPT)
    page.locator('.masthead [data-action="runs"]').click()
    row = page.locator("[data-runs-dialog] [data-runs] tr").first
    expect(row.get_by_label("Name of run")).to_have_value(SCRIPT)
    expect(row.get_by_label("Tags of run")).to_have_value(IMAGE)
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Checkpoints").click()
    expect(page.get_by_label("Name of the checkpoint of step 0")).to_have_value(IMAGE)
    page.get_by_role("tab", name="Along training").click()
    expect(page.locator("#along-panel .prompt")).to_have_text(IMAGE)
    assert page.evaluate("window.ran") is None
    assert page.evaluate("window.refused") == [], "nothing of it became an element in the first place"

    report = page.request.get(f"{url}/runs/{run_id}/export/report", timeout=PATIENCE_MS).text()
    assert "&lt;script&gt;" in report
    assert not any(markup in report for markup in (IMAGE, SCRIPT))

    page.evaluate("(markup) => document.body.insertAdjacentHTML('beforeend', markup)", IMAGE)
    page.wait_for_function("() => window.refused.length > 0")
    assert page.evaluate("window.refused") == ["script-src-attr"]
    assert page.evaluate("window.ran") is None
    expect(state(page)).to_be_visible()
