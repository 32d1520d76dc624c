"""What can be done with a run's past on the page: undo, twin, fork, compare, keep, delete, hand over."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from bitlm.model_file import load_model
from tests.bitlm.cli.program import answer_of
from tests.browser.conftest import JOB_PATIENCE_MS, OpenWindow
from tests.browser.pages import set_exactly, start_tiny_run, state, train_tiny_run
from tests.conftest import TINY, RunningServer, Serve

STEP = '[data-figure="step"]'


def bitlm(server: RunningServer, *arguments: str) -> dict[str, Any]:
    """Run the command line on the server's data folder and return its one JSON object."""
    said: dict[str, Any] = answer_of(*arguments, "--data-dir", str(server.data_dir))
    return said


def ask(page: Page, path: str) -> dict[str, Any]:
    """Return what the service answers to the page."""
    answer: dict[str, Any] = page.evaluate("async (path) => (await fetch(path)).json()", path)
    return answer


def live_run(page: Page) -> str:
    return str(ask(page, "/status")["run_id"])


def losses(page: Page, run_id: str) -> dict[int, float]:
    """Return the loss by step, of as many steps as the service tells at once."""
    columns = ask(page, f"/runs/{run_id}/metrics?max_points=3000")["columns"]
    return dict(zip(columns["step"], columns["loss"], strict=True))


def train_on(page: Page, steps: int = 25) -> None:
    """Wait until training has done some more steps."""
    step = int(page.locator(STEP).inner_text().replace(",", ""))
    page.wait_for_function(
        "([place, step]) => Number(document.querySelector(place).textContent.replaceAll(',', '')) >= step",
        arg=[STEP, step + steps],
    )


def pause(page: Page) -> None:
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")


def run_row(page: Page, run_id: str) -> Locator:
    return page.locator(f'[data-run="{run_id}"]')


def open_runs(page: Page) -> None:
    page.locator('[data-action="runs"]').click()
    expect(page.locator("[data-runs-dialog]")).to_be_visible()


def argue_with(page: Page, what: str) -> None:
    """Open the menu of a change from the list of events."""
    page.get_by_role("button", name=f"What if not: {what}").click()


def test_a_recorded_session_is_replayed_bit_for_bit_and_its_twin_differs_from_the_missing_move_on(
    empty_server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    """Five slider moves, a pause, an anneal and a fork, all by hand on the page."""
    server = empty_server
    window = open_window(server.url)
    page = window.page
    start_tiny_run(page, corpus_file)
    original = steer_by_hand(page)
    fork = fork_by_hand(page, original)
    for run_id, entries in ((original, 6), (fork, 0)):
        journal = bitlm(server, "journal", run_id)["entries"]
        by_itself = [entry for entry in journal if entry["source"] != "ui"]
        assert [entry["payload"].get("reason") for entry in by_itself] == (
            ["the learning rate has fallen to its end"] if run_id == original else []
        )
        changes = {"telemetry_changed", "anneal_started"}
        assert sum(entry["kind"] in changes for entry in journal) == entries
        assert bitlm(server, "replay", run_id)["same"] is True

    open_runs(page)
    run_row(page, original).get_by_role("button", name=f"Open run {original}").click()
    page.keyboard.press("Escape")
    expect(page.locator("[data-overlays]")).to_be_hidden()
    page.get_by_role("tab", name="Events").click()
    argue_with(page, "λK 0.3 → 0.2")
    page.get_by_role("button", name="Twin without it").click()
    expect(page.locator("[data-overlays]")).to_contain_text(original)
    expect(page.get_by_role("list", name="Events")).to_contain_text("has caught up with its original")
    twin = live_run(page)
    ours, theirs = losses(page, original), losses(page, twin)
    moved = next(
        event["step"]
        for event in bitlm(server, "journal", original)["entries"]
        if event["payload"].get("changes") == [{"field": "lambda_K", "old": 0.3, "new": 0.2}]
    )
    shared = ours.keys() & theirs.keys()
    assert {step for step in shared if ours[step] != theirs[step]} == {
        step for step in shared if step > moved + 1
    }, "the first step after the move starts from the same weights"
    assert bitlm(server, "replay", twin)["same"] is True
    assert_difference_shows(page, original, moved)
    assert window.console_errors == []


def steer_by_hand(page: Page) -> str:
    """Move λ five times, pause, go on, anneal and pause; return the run's id."""
    for value in ("0.1", "0.3", "0.2", "0.45", "0.05"):
        train_on(page)
        set_exactly(page, "λ K", value)
        expect(page.locator('[data-setting="lambda_K"]')).to_contain_text("applied at step")
    train_on(page)
    pause(page)
    page.locator('.run [data-action="train"]').click()
    train_on(page)
    page.get_by_label("Anneal over").fill("30")
    page.get_by_role("button", name="Anneal", exact=True).click()
    expect(state(page)).to_have_text("paused")
    expect(page.locator("[data-banner]")).to_contain_text("The learning rate has fallen")
    return live_run(page)


def fork_by_hand(page: Page, original: str) -> str:
    """Fork the newest checkpoint at another learning rate, train it on, and return its id."""
    page.get_by_role("tab", name="Checkpoints").click()
    page.locator("[data-checkpoints]").get_by_role("button", name="Fork at step").first.click()
    page.locator('[data-fork] input[name="learning_rate"]').fill("0.001")
    page.get_by_role("button", name="Fork and train").click()
    expect(page.locator("[data-overlays]")).to_contain_text(original)
    train_on(page)
    pause(page)
    return live_run(page)


def assert_difference_shows(page: Page, other: str, moved: int) -> None:
    figure = page.locator(".chart-difference")
    expect(figure).to_contain_text(other)
    expect(figure.locator('[data-reading="difference"]')).to_have_text(re.compile(r"^[+−]0\.\d{3}$"))
    page.wait_for_function(
        """(moved) => (({ x, y }) => x.some((step, index) => step > moved && y[index] !== 0))(
            document.querySelector('[data-chart=difference]').data?.[2] ?? { x: [] })""",
        arg=moved,
    )
    trace = page.evaluate(
        "() => (({ x, y }) => ({ x, y }))(document.querySelector('[data-chart=difference]').data[2])"
    )
    apart = dict(zip(trace["x"], trace["y"], strict=True))
    assert all(value == 0 for step, value in apart.items() if step <= moved)
    label = figure.locator(".annotation-text").filter(has_text="not λK 0.2")
    expect(label).to_have_count(1)


def wait_until_all_is_drawn(page: Page) -> None:
    """Wait for the last step to be in the chart: until then the ones before it move."""
    page.wait_for_function(
        "(last) => document.querySelector('[data-chart=loss]').data?.[0].x.at(-1) === last",
        arg=ask(page, "/status")["step"],
    )


@pytest.fixture
def page(server: RunningServer, open_window: OpenWindow, corpus_file: Path) -> Page:
    """A page with a paused run that was steered once."""
    server.ask("POST", "/init", {"size": "tiny", **TINY, "text": corpus_file.read_text()})
    server.ask("POST", "/train-step", {"steps": 10})
    server.ask("POST", "/config/telemetry", {"lambda_K": 0.4})
    server.ask("POST", "/train-step", {"steps": 10})
    server.ask("POST", "/train/pause", {})
    page = open_window(server.url).page
    expect(state(page)).to_have_text("paused")
    return page


def test_a_change_is_undone_from_its_marker_on_a_chart(page: Page) -> None:
    original = live_run(page)
    wait_until_all_is_drawn(page)
    at = page.evaluate(
        """() => {
            const chart = document.querySelector('[data-chart="loss"]');
            const { left, top, height } = chart.getBoundingClientRect();
            const { xaxis, margin } = chart._fullLayout;
            const step = chart.data.find(({ yaxis, x }) => yaxis === "y2" && x.length).x[0];
            return [left + margin.l + xaxis.l2p(step), top + height / 2];
        }"""
    )
    page.mouse.move(at[0] + 5, at[1], steps=4)
    expect(page.locator('[data-chart="loss"]')).to_have_attribute("title", re.compile("λK 0 → 0.4"))
    expect(page.locator(".chart-loss .chart-cursor-label")).to_contain_text("λK 0 → 0.4")
    page.mouse.click(at[0] + 5, at[1])
    menu = page.get_by_role("dialog", name="What if not?")
    expect(menu).to_contain_text("λK 0 → 0.4")
    menu.get_by_role("button", name="Undo it").click()
    expect(page.locator("[data-overlays]")).to_contain_text(original)
    expect(page.locator('[data-setting="lambda_K"]').get_by_label("exact value")).to_have_value("0")
    expect(state(page)).to_have_text("paused")
    change = ask(page, f"/runs/{live_run(page)}")["origin"]["change"]
    assert ask(page, "/status")["step"] == change["step"]
    assert len(ask(page, f"/runs/{original}/journal")["entries"]) > 0, "the past is not rewritten"


def test_while_training_the_menu_says_why_nothing_can_be_undone(page: Page) -> None:
    page.locator('.run [data-action="train"]').click()
    expect(state(page)).to_have_text("training")
    argue_with(page, "λK 0 → 0.4")
    menu = page.get_by_role("dialog", name="What if not?")
    expect(menu).to_contain_text("pause it first")
    expect(menu.get_by_role("button", name="Twin without it")).to_be_disabled()
    page.keyboard.press("Escape")
    pause(page)


def test_checkpoints_are_saved_named_and_deleted(page: Page) -> None:
    run_id = live_run(page)
    page.get_by_role("tab", name="Checkpoints").click()
    rows = page.locator("[data-checkpoints] li")
    expect(rows).to_have_count(2)
    step = ask(page, "/status")["step"]
    page.get_by_role("button", name="Save now").click()
    name = page.get_by_label(f"Name of the checkpoint of step {step}")
    name.fill("before the anneal")
    name.press("Enter")
    with page.expect_download() as download:
        page.get_by_role("link", name="Model of the checkpoint of step 0").click()
    provenance = load_model(Path(download.value.path())).provenance
    assert provenance is not None
    assert (provenance.run_id, provenance.step) == (run_id, 0)
    page.wait_for_function(
        "async (path) => (await (await fetch(path)).json()).checkpoints[0].name === 'before the anneal'",
        arg=f"/runs/{run_id}/checkpoints",
    )
    page.get_by_role("button", name="Delete the checkpoint of step 0").click()
    expect(page.locator("[data-confirmation]")).to_contain_text("Delete the checkpoint of step 0?")
    page.get_by_role("button", name="Delete for good").click()
    expect(rows).to_have_count(1)
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("list", name="Events")).to_contain_text("Checkpoint of step 0 deleted")


def test_runs_are_named_tagged_compared_archived_and_deleted(page: Page) -> None:
    original = live_run(page)
    argue_with(page, "λK 0 → 0.4")
    page.get_by_role("dialog", name="What if not?").get_by_label("λK instead").fill("0.9")
    page.get_by_role("button", name="Twin with this instead").click()
    expect(page.locator("[data-overlays]")).to_contain_text(original)
    expect(state(page)).to_have_text("paused")
    twin = live_run(page)

    open_runs(page)
    name = page.get_by_label(f"Name of run {original}")
    name.fill("plain")
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):
        name.press("Enter")
    tags = page.get_by_label(f"Tags of run {original}, with commas between")
    tags.fill("lambda, keep")
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):
        tags.press("Enter")
    expect(run_row(page, twin)).to_contain_text("with another value than λK 0 → 0.4")
    comparison = page.locator("[data-comparison]")
    expect(comparison).to_contain_text("are the same to the last bit before it")
    expect(comparison).to_contain_text("λK 0 → 0.9")
    expect(comparison).to_contain_text("gzip")
    summary = ask(page, f"/runs/{original}")
    assert (summary["name"], summary["tags"]) == ("plain", ["lambda", "keep"])

    page.get_by_label(f"Draw run {original} beside the live one").uncheck()
    expect(comparison).to_be_hidden()
    page.get_by_role("button", name=f"Archive run {original}").click()
    expect(run_row(page, original)).to_have_count(0)
    page.get_by_label("archived as well").check()
    expect(run_row(page, original)).to_have_count(1)
    page.get_by_role("button", name=f"Delete run {twin}").click()
    expect(run_row(page, twin)).to_have_count(0)
    expect(state(page)).to_have_text("none open")
    page.get_by_role("button", name="Undo").last.click()
    expect(run_row(page, twin)).to_have_count(1)
    expect(state(page)).to_have_text("paused")

    page.get_by_role("button", name=f"Delete run {twin}").click()
    page.get_by_role("button", name="Trash").click()
    page.get_by_role("button", name=f"Delete run {twin} for good").click()
    page.get_by_role("button", name="Keep it").click()
    expect(run_row(page, twin)).to_have_count(1)
    page.get_by_role("button", name=f"Delete run {twin} for good").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(run_row(page, twin)).to_have_count(0)


def test_a_run_is_downloaded_and_its_model_by_keys(page: Page) -> None:
    run_id = live_run(page)
    open_runs(page)
    begins = {"CSV": b"step,", "JSONL": b"{", "report": b"<!doctype", "capsule": b"PK"}
    for label, beginning in begins.items():
        with page.expect_download() as download:
            page.get_by_label(f"Export run {run_id} as {label}").click()
        assert run_id in download.value.suggested_filename
        assert Path(download.value.path()).read_bytes().startswith(beginning)

    page.get_by_role("button", name=f"Export the model of run {run_id}").press("Enter")
    menu = page.get_by_role("dialog", name="Model of the newest checkpoint")
    expect(menu.get_by_role("link", name="float32")).to_be_focused()
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == f"{run_id}.int8.safetensors"
    assert load_model(Path(download.value.path())).precision == "int8"
    expect(menu).to_be_hidden()

    page.get_by_role("button", name=f"Export the model of run {run_id}").press("Enter")
    menu.get_by_role("button", name="Measure what fewer bits cost").press("Enter")
    told = menu.get_by_role("status")
    expect(told).to_contain_text("measured what fewer bits cost, at step", timeout=JOB_PATIENCE_MS)
    costs = menu.locator("[data-cost]")
    size, cost = r"[\d,]+ bytes, 0\.\d\d of float32's", r"[\d.]+ → [\d.]+ bpb held out"
    told_of_both = [re.compile(f"^{size}; {cost}, logits move by at most [\\d.e-]+$")] * 2
    expect(costs).to_have_text(told_of_both)


def test_after_a_kill_the_page_says_that_it_resumed_and_shows_what_it_showed(
    serve: Serve, open_window: OpenWindow, corpus_file: Path, tmp_path: Path
) -> None:
    server = serve()
    page = open_window(server.url).page
    train_tiny_run(page, corpus_file)
    train_on(page, 40)
    set_exactly(page, "λ K", "0.4")
    expect(page.locator('[data-setting="lambda_K"]')).to_contain_text("applied at step")
    run_id = live_run(page)
    server.kill()
    expect(state(page)).to_have_text("disconnected")
    serve(server.data_dir, BITLM_PORT=str(urlsplit(server.url).port))
    expect(state(page)).to_have_text("paused")
    expect(page.get_by_role("list", name="Events")).to_contain_text(re.compile(r"Resumed at step \d+: "))
    expect(page.locator('[data-setting="lambda_K"]').get_by_label("exact value")).to_have_value("0.4")
    (moved,) = (e["step"] for e in bitlm(server, "journal", run_id)["entries"] if "changes" in e["payload"])
    assert ask(page, "/status")["step"] >= moved
    steps = page.evaluate(
        "() => document.querySelector('[data-chart=loss]').data[0].x.filter((step) => step !== null).length"
    )
    assert steps > 0
