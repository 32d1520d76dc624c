"""The list of runs, and the page while none of them is open: in a real browser, on real runs."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import JOB_PATIENCE_MS, PATIENCE_MS, OpenWindow
from tests.browser.pages import make_run, state
from tests.conftest import RunningServer, Serve


@pytest.fixture(scope="module")
def text(corpus_file: Path) -> str:
    return corpus_file.read_text()


@pytest.fixture
def page(empty_server: RunningServer, open_window: OpenWindow, text: str) -> Page:
    """A page of the second of two runs, which have done a few steps each."""
    server = empty_server
    page = open_window(server.url).page
    for seed in (1, 2):
        make_run(page, server.url, text, seed=seed)
        post(page, "/train-step", {"steps": 6})
        post(page, "/train/pause", {})
    page.reload()
    expect(state(page)).to_have_text("paused")
    return page


def origin(page: Page) -> str:
    return "http://" + urlsplit(page.url).netloc


def post(page: Page, path: str, body: dict[str, Any]) -> Any:
    answer = page.request.post(origin(page) + path, data=body, timeout=PATIENCE_MS)
    assert answer.ok, answer.text()
    return answer.json()


def get(page: Page, path: str) -> Any:
    return page.request.get(origin(page) + path, timeout=PATIENCE_MS).json()


def run_ids(page: Page) -> list[str]:
    """Return the runs' ids, the oldest first."""
    return [run["run_id"] for run in get(page, "/runs")["runs"]][::-1]


def dialog(page: Page) -> Locator:
    return page.locator("[data-runs-dialog]")


def open_runs(page: Page) -> None:
    page.locator('.masthead [data-action="runs"]').click()
    expect(dialog(page).locator("[data-runs] tr").first).to_be_visible()


def beside(page: Page, run_id: str) -> Locator:
    return page.get_by_label(f"Draw run {run_id} beside the live one")


def test_with_no_run_open_the_page_says_how_many_there_are_and_opens_their_list(page: Page) -> None:
    first, second = run_ids(page)
    open_runs(page)
    beside(page, first).check()
    expect(page.locator("[data-overlays]")).to_contain_text(first)
    dialog(page).get_by_role("button", name=f"Delete run {second}").click()
    expect(state(page)).to_have_text("none open")
    page.keyboard.press("Escape")
    welcome = page.locator("[data-welcome]")
    expect(welcome).to_contain_text("No run is open")
    expect(welcome).to_contain_text("1 run is in the list")
    expect(welcome).not_to_contain_text("Nothing has been trained yet", use_inner_text=True)
    expect(page.locator('[data-figure="run"]')).to_have_text("1 run")
    expect(page.locator("[data-overlays]")).to_be_hidden()
    expect(page.locator(".chart-difference")).to_be_hidden()
    page.reload()
    expect(welcome).to_contain_text("No run is open")
    expect(state(page)).to_have_text("none open")
    welcome.get_by_role("button", name="Open …").click()
    dialog(page).get_by_role("button", name=f"Open run {first}").click()
    expect(state(page)).to_have_text("paused")
    expect(dialog(page)).to_be_hidden()
    expect(welcome).to_be_hidden()


def test_runs_that_are_all_archived_are_said_to_be_so(page: Page) -> None:
    for run_id in run_ids(page):
        address = f"{origin(page)}/runs/{run_id}"
        assert page.request.patch(address, data={"archived": True}, timeout=PATIENCE_MS).ok
    page.locator('.masthead [data-action="runs"]').click()
    expect(dialog(page)).to_contain_text("All 2 are archived: tick “archived as well”.")


def test_a_deleted_run_that_is_taken_back_is_beside_the_live_one_again(page: Page) -> None:
    first, _ = run_ids(page)
    open_runs(page)
    beside(page, first).check()
    expect(page.locator("[data-overlays]")).to_contain_text(first)
    dialog(page).get_by_role("button", name=f"Delete run {first}").click()
    expect(page.locator("[data-overlays]")).to_be_hidden()
    dialog(page).get_by_role("button", name="Undo").click()
    expect(page.locator("[data-overlays]")).to_contain_text(first)
    expect(beside(page, first)).to_be_checked()
    expect(page.locator(".chart-difference")).to_be_visible()


def test_archiving_is_said_and_taken_back(page: Page) -> None:
    first, _ = run_ids(page)
    open_runs(page)
    dialog(page).get_by_role("button", name=f"Archive run {first}").click()
    expect(page.locator(f'[data-run="{first}"]')).to_have_count(0)
    expect(dialog(page).locator(".toast")).to_contain_text(f"Archived {first}")
    dialog(page).get_by_role("button", name="Undo").click()
    expect(dialog(page).get_by_role("button", name=f"Archive run {first}")).to_be_visible()
    assert get(page, f"/runs/{first}")["archived"] is False


def test_while_a_run_trains_another_is_opened_or_made_once_it_is_paused(page: Page, text: str) -> None:
    first, second = run_ids(page)
    page.locator('.run [data-action="train"]').click()
    expect(state(page)).to_have_text("training")
    open_runs(page)
    dialog(page).get_by_role("button", name=f"Pause and open run {first}").click()
    expect(dialog(page)).to_be_hidden()
    expect(page.locator('[data-figure="run"]')).to_have_text(first)
    expect(state(page)).to_have_text("paused")

    page.locator('.run [data-action="train"]').click()
    expect(state(page)).to_have_text("training")
    page.keyboard.press("n")
    form = page.locator("[data-setup]")
    form.get_by_role("radio", name="tiny").check()
    form.get_by_role("radio", name="File or folder").check()
    form.get_by_label("Path of a text file or a folder").fill("/no/such/book.txt")
    with page.expect_request("**/init") as asked:
        form.get_by_role("button", name="Pause and make it").click()
        form.get_by_role("radio", name="Pasted").check()  # while the run is being paused
        form.get_by_label("Text; the last tenth is held out").fill(text)
    assert (asked.value.post_data_json or {}).get("corpus") == "/no/such/book.txt"
    expect(form.locator("form")).not_to_have_attribute("aria-busy", "true")
    expect(form.locator("[data-problem]")).to_contain_text("no/such/book.txt")
    expect(state(page)).to_have_text("training")  # what is refused costs nothing
    form.get_by_role("button", name="Pause and make it").click()
    expect(form).to_be_hidden()
    expect(state(page)).to_have_text("ready")
    assert len(run_ids(page)) == 3
    assert second in run_ids(page)


def test_a_replay_that_a_restart_ended_is_said_to_be_lost_begun_again_and_cancelled(
    serve: Serve, open_window: OpenWindow, text: str
) -> None:
    server = serve()
    page = open_window(server.url).page
    run_id = make_run(page, server.url, text)
    post(page, "/train-step", {"steps": 6})
    page.reload()
    open_runs(page)
    dialog(page).get_by_role("button", name=f"Replay run {run_id}").click()
    expect(dialog(page).locator('[data-job="replays"]')).to_contain_text("replaying")
    server.kill()
    expect(state(page)).to_have_text("disconnected")
    serve(server.data_dir, BITLM_PORT=str(urlsplit(server.url).port))
    lost = dialog(page).locator(".toast-problem", has_text="The replay was lost when the service restarted")
    lost.get_by_role("button", name="Replay again").click()
    expect(lost).to_be_hidden()
    expect(dialog(page).locator(".toast-problem")).to_have_text([])

    page.reload()  # another page of the same service: it sees the replay, too
    open_runs(page)
    dialog(page).get_by_role("button", name=f"Cancel the replay of run {run_id}").click()
    expect(dialog(page).locator('[data-job="replays"]')).to_contain_text("cancelled")
    dialog(page).get_by_role("button", name=f"Replay run {run_id}").click()
    outcome = dialog(page).locator('[data-job="replays"]')
    expect(outcome).to_contain_text("same to the last bit", timeout=JOB_PATIENCE_MS)


def test_a_run_is_distilled_by_keys_cancelled_refused_and_its_receipt_shown(page: Page) -> None:
    first, _ = run_ids(page)
    open_runs(page)
    opener = dialog(page).get_by_role("button", name=f"Distil run {first}")
    panel = page.get_by_role("dialog", name=f"Distil {first}")
    outcome = dialog(page).locator(f'[data-run="{first}"] [data-job="distillations"]')
    opener.press("Enter")
    share = panel.get_by_label("Of the parameters, at most")
    expect(share).to_be_focused()
    share.fill("0.01")
    share.press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("share=0.01: use at least")
    share.fill("0.8")
    panel.get_by_label("Rounds, at most").fill("1")
    panel.get_by_label("Least S of its texts").fill("1")
    steps = panel.get_by_label("Updates of a round")
    steps.fill("1000000")
    steps.press("Enter")
    cancel = panel.get_by_role("button", name="Cancel the distillation")
    expect(cancel).to_be_focused()
    bar = panel.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", re.compile(r"^0\.0"), timeout=JOB_PATIENCE_MS)
    expect(panel).to_contain_text("of at most 1,000,000 updates: student 1 of at most 1")
    cancel.press("Enter")
    expect(outcome).to_contain_text("cancelled after")
    expect(share).to_be_focused()
    panel.get_by_label("Heads a layer keeps").fill("1")
    steps.fill("2")
    steps.press("Enter")
    rows = panel.get_by_role("row")
    missed = rows.filter(has_text="S of its texts")
    expect(missed).to_contain_text("at least 1.00: missed", timeout=JOB_PATIENCE_MS)
    expect(rows.filter(has_text="parameters")).to_contain_text("%")
    expect(rows.filter(has_text="heads a layer").get_by_role("cell")).to_have_text(["2", "1", ""])
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(outcome).to_contain_text("misses a floor")
    expect(dialog(page).locator("[data-runs] tr")).to_have_count(3)
    expect(dialog(page)).to_contain_text(f"student of {first} at 6")
    student = get(page, f"/runs/{first}/distil")["student"]
    assert get(page, f"/runs/{student}/events")["events"][0]["source"] == "ui"
    page.reload()  # another page of the same service has the receipt, too
    open_runs(page)
    opener.press("Enter")
    panel.get_by_role("button", name="Open the student").press("Enter")
    expect(dialog(page)).to_be_hidden()
    expect(page.locator('[data-figure="run"]')).to_contain_text("distilled to")


def test_a_comparison_follows_a_new_name_gives_way_to_the_trash_and_warns_of_other_texts(
    page: Page, text: str
) -> None:
    first, _ = run_ids(page)
    post(page, f"/runs/{first}/open", {})
    post(page, "/config/telemetry", {"lambda_K": 0.2})
    post(page, "/train-step", {"steps": 4})
    post(page, "/config/telemetry", {"lambda_K": 0.3})
    post(page, "/train-step", {"steps": 1})
    make_run(page, origin(page), text, seed=3)
    post(page, "/train-step", {"steps": 8})
    open_runs(page)
    beside(page, first).check()
    comparison = dialog(page).locator("[data-comparison]")
    expect(comparison).to_contain_text("Of 8 shared steps")
    expect(comparison).to_contain_text("before step 8")
    expect(comparison).to_contain_text("λK 0 → 0.2")
    expect(comparison).not_to_contain_text("0.3")  # told once the last of those steps was done
    name = page.get_by_label(f"Name of run {first}")
    name.fill("plain")
    name.press("Enter")
    expect(comparison.locator("thead").first).to_contain_text("plain")
    expect(page.locator("[data-overlays]")).to_contain_text("plain")
    dialog(page).get_by_role("button", name="Trash").click()
    expect(comparison).to_be_hidden()
    dialog(page).get_by_role("button", name="Trash").click()
    expect(comparison).to_be_visible()
    expect(comparison).not_to_contain_text("Their texts differ")

    other = make_run(page, origin(page), text[:12_000])
    expect(page.locator('[data-figure="run"]')).to_have_text(other)
    expect(beside(page, first)).not_to_be_checked()
    beside(page, first).check()
    expect(comparison).to_contain_text("Their texts differ")
    fingerprints = comparison.get_by_role("row", name="corpus_fingerprint").get_by_role("cell")
    expect(fingerprints).to_have_text([re.compile(r"^\S{12}$")] * 2)


def test_runs_beside_have_a_colour_each_and_keep_it(page: Page, text: str) -> None:
    first, second = run_ids(page)
    make_run(page, origin(page), text, seed=3)
    page.goto(f"{origin(page)}/#beside={first},{second}")
    page.reload()
    chips = page.locator("[data-overlays] .chip")
    expect(chips).to_have_count(2)
    drawn = """(labels) => labels.map((label) => document.querySelector("[data-chart=loss]").data
        ?.find(({ name }) => name === label)?.line.color)"""
    page.wait_for_function(f"(labels) => ({drawn})(labels).every(Boolean)", arg=[first, second])
    strokes = "(chips) => chips.map((chip) => getComputedStyle(chip.querySelector('svg')).stroke)"
    colours = chips.evaluate_all(strokes)
    assert len(set(colours)) == 2
    assert page.evaluate(drawn, [first, second]) == colours
    page.get_by_role("button", name=f"Take run {first} off the charts").click()
    expect(chips).to_have_count(1)
    assert chips.evaluate_all(strokes) == colours[1:]


def test_a_branch_has_a_name_and_an_id_on_a_phone_the_part_that_tells_it_apart(page: Page) -> None:
    _, second = run_ids(page)
    page.set_viewport_size({"width": 390, "height": 844})
    shown = page.locator('[data-figure="run"]')
    expect(shown).to_have_text(second)
    assert shown.inner_text() == second[9:]
    assert shown.evaluate("(one) => one.scrollWidth <= one.clientWidth")
    post(page, f"/runs/{second}/fork", {"settings": {"learning_rate": 0.001}})
    expect(shown).to_have_text(f"{second[-4:]} · lr 0.001")
