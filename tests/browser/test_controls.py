"""What acts on a run from the page: the panels beside the charts, the form of a new run, the list of runs."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import JOB_PATIENCE_MS, EvaluateModule, OpenWindow
from tests.browser.pages import hold, make_run, open_form, set_exactly, state, train_tiny_run
from tests.conftest import RunningServer, Serve

PLACES = """() => [...document.querySelectorAll(".steering *, .run *, .generation *")]
    .filter((one) => one.checkVisibility() && !one.closest("[data-refusal], [data-row-state]"))
    .map((one) => one.getBoundingClientRect()).map(({ x, y, width, height }) => [x, y, width, height])"""


def figure(page: Page, name: str) -> Locator:
    return page.locator(f'[data-figure="{name}"]')


def test_step_does_so_many_steps_and_no_more(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    button = page.get_by_role("button", name="Step", exact=True)
    expect(button).to_have_attribute("title", re.compile("There is no run yet"))
    train_tiny_run(page, corpus_file)
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "Training is running: pause it first")
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("paused")
    done = int(figure(page, "step").inner_text().replace(",", ""))
    button.click()
    expect(figure(page, "step")).to_have_text(f"{done + 1:,}")
    expect(state(page)).to_have_text("paused")
    page.get_by_label("Steps to do").fill("3")
    page.get_by_label("Steps to do").press("Enter")
    expect(figure(page, "step")).to_have_text(f"{done + 4:,}")
    expect(state(page)).to_have_text("paused")


def test_beside_the_charts_everything_fits_and_nothing_moves_when_a_setting_is_told_or_refused(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text())
    expect(state(page)).to_have_text("ready")
    expect(page.locator('[data-setting="s_floor"] [data-note]')).to_have_text(re.compile("refuses"))
    page.wait_for_function("() => document.documentElement.scrollHeight <= innerHeight")
    places = page.evaluate(PLACES)

    set_exactly(page, "λ C", "0.2")
    row = page.locator('[data-setting="lambda_C"]')
    expect(row).to_contain_text("applied at step 0")
    told = row.locator("[data-row-state]")
    expect(told).to_have_attribute("title", re.compile("^Applied at step 0 · page · "))
    assert page.evaluate(PLACES) == places
    set_exactly(page, "λ C", "7")
    expect(row.get_by_role("alert")).to_have_text("λC is a number from 0 to 1.")
    assert page.evaluate(PLACES) == places
    for setting in page.locator(".steering [data-setting]:visible").all():
        boxes = [setting.locator(part).bounding_box() for part in ("label", "[type=range]", "[type=number]")]
        middles = [box["y"] + box["height"] / 2 for box in boxes if box is not None]
        assert max(middles) - min(middles) < 4


def test_the_form_says_while_one_types_what_is_wrong_and_what_the_run_would_take(
    server: RunningServer, open_window: OpenWindow
) -> None:
    page = open_window(server.url).page
    open_form(page)
    form = page.locator("[data-setup]")
    form.get_by_role("radio", name="tiny").check()
    parameters = form.locator('[data-foresight="parameters"]')
    expect(parameters).to_have_text("310 k")
    expect(form.locator('[data-foresight="bytes_per_s"]')).to_have_text(re.compile(r"^≈ [\d.]+ k?B/s$"))
    expect(form.locator('[data-foresight="training_bytes"]')).to_have_text(re.compile(r"^≈ [\d.]+ MB$"))
    expect(form.locator("[data-basis]")).to_have_text("tried just now on this machine, memory store")
    form.get_by_text("Every setting").click()
    page.wait_for_function("(form) => form.scrollWidth <= form.clientWidth", arg=form.element_handle())
    heads = form.locator('input[name="nhead"]')
    heads.press_sequentially("3")
    complaint = form.locator("[data-problem]")
    expect(complaint).to_contain_text("nhead=3: use a number that divides d_model=32")
    expect(heads).to_have_attribute("aria-invalid", "true")
    expect(heads).to_be_focused()
    heads.fill("4")
    expect(complaint).to_be_hidden()
    expect(heads).not_to_have_attribute("aria-invalid", "true")
    expect(parameters).to_be_visible()
    causal_alone = parameters.inner_text()
    objective = form.locator('select[name="objective"]')
    expect(objective.locator("option").first).to_have_text("the size's own: causal")
    objective.select_option("diffusion")
    expect(parameters).not_to_have_text(causal_alone)
    expect(complaint).to_be_hidden()
    expect(form.locator("select[disabled]")).to_have_count(0)


def test_a_file_is_taken_up_by_picking_or_dropping_it_and_refused_with_the_limit(
    serve: Serve, open_window: OpenWindow, corpus_file: Path
) -> None:
    url = serve(BITLM_MAX_BODY_BYTES="30000").url
    page = open_window(url).page
    open_form(page)
    form = page.locator("[data-setup]")
    form.get_by_role("radio", name="tiny").check()
    form.get_by_role("radio", name="Upload").check()
    said = form.locator("[data-uploaded]")
    form.locator("[name=uploaded]").set_input_files(
        {"name": "long.txt", "mimeType": "text/plain", "buffer": b"x" * 40_000}
    )
    expect(said).to_contain_text("long.txt has 40.0 kB; a request holds 30.0 kB (BITLM_MAX_BODY_BYTES).")
    drop(page, "latin.txt", [0xE9] * 2000)
    expect(said).to_contain_text("latin.txt is not UTF-8 text.")
    form.get_by_role("radio", name="Embedded").check()
    drop(page, "notes.txt", list(corpus_file.read_bytes()))
    expect(said).to_have_text("notes.txt, 20.0 kB")
    expect(form.get_by_role("radio", name="Upload")).to_be_checked()
    page.get_by_role("button", name="Make the run").click()
    expect(state(page)).to_have_text("ready")
    expect(figure(page, "summary")).to_contain_text("notes.txt, 20.0 kB")


def drop(page: Page, name: str, content: list[int]) -> None:
    """Drop a file on the form, as the browser would tell the page of it."""
    transfer = page.evaluate_handle(
        """([name, content]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], name));
            return transfer;
        }""",
        [name, content],
    )
    page.locator("[data-setup]").dispatch_event("drop", {"dataTransfer": transfer})


def test_runs_are_found_sorted_thrown_away_and_taken_back_after_a_reload(
    empty_server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    url = empty_server.url
    page = open_window(url).page
    text = corpus_file.read_text()
    first, second, third = (
        make_run(page, url, text, seed=seed, text_name=f"text-{seed}") for seed in range(3)
    )
    empty_server.ask("POST", "/train-step", {"steps": 2})
    empty_server.ask("PATCH", f"/runs/{first}", {"name": "Long one", "tags": ["alpha"]})
    page.locator('.masthead [data-action="runs"]').click()
    expect(page.locator("[data-runs] tr")).to_have_count(3)
    search = page.get_by_role("searchbox", name="Search the runs")
    for query, found in (("long", [first]), ("ALPHA", [first]), ("text-1", [second]), (third[-4:], [third])):
        search.fill(query)
        assert shown_runs(page) == found
    search.fill("nowhere")
    expect(page.locator("[data-no-runs]")).to_have_text(re.compile("None of 3 has “nowhere”"))
    search.fill("")
    assert shown_runs(page) == [third, second, first]
    page.get_by_role("button", name="run", exact=True).click()
    assert shown_runs(page) == [first, second, third]
    page.get_by_role("button", name="step", exact=True).click()
    assert shown_runs(page)[0] == third
    page.get_by_role("button", name="tags", exact=True).click()
    assert shown_runs(page)[0] == first
    expect(page.locator("th", has_text="tags")).to_have_attribute("aria-sort", "ascending")

    page.get_by_role("button", name=f"Delete run {second}").click()
    expect(page.locator(f'[data-run="{second}"]')).to_have_count(0)
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.reload()
    late = hold(page, "**/runs")
    page.locator('.masthead [data-action="runs"]').click()
    page.get_by_role("button", name="Trash").click()
    restore = page.get_by_role("button", name=f"Restore run {second}")
    expect(restore).to_be_visible()
    with page.expect_response("**/runs"):  # to what was asked before
        late[0].continue_()
    page.unroute("**/runs")
    expect(page.get_by_role("button", name=f"Delete run {first}", exact=True)).to_have_count(0)
    restore.click()
    expect(page.locator("[data-no-runs]")).to_have_text("The trash is empty.")
    page.get_by_role("button", name="Trash").click()
    expect(page.locator("[data-runs] tr")).to_have_count(3)

    page.get_by_role("button", name=f"Replay run {third}").click()
    expect(page.get_by_role("button", name=f"Replay run {first}")).to_be_disabled()
    outcome = page.locator(f'[data-run="{third}"] [data-job="replays"]')
    expect(outcome).to_contain_text("same to the last bit", timeout=JOB_PATIENCE_MS)


def shown_runs(page: Page) -> list[str]:
    return [str(row.get_attribute("data-run")) for row in page.locator("[data-runs] tr").all()]


def test_two_people_see_what_the_other_does(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    mine, theirs = open_window(server.url).page, open_window(server.url).page
    train_tiny_run(mine, corpus_file)
    expect(state(theirs)).to_have_text("training")
    expect(figure(theirs, "step")).to_have_text(re.compile(r"^[1-9]"))
    slider = theirs.get_by_role("slider", name="λC")
    slider.focus()
    slider.press("ArrowRight")
    expect(mine.get_by_label("λ C, exact value")).to_have_value("0.01")
    row = mine.locator('[data-setting="lambda_C"]')
    expect(row).to_contain_text(re.compile(r"applied at step \d"))
    told = row.locator("[data-row-state]")
    expect(told).to_have_attribute("title", re.compile(r"^Applied at step [\d,]+ · page · \d"))
    expect(mine.get_by_role("list", name="Events")).to_contain_text("λC 0 → 0.01")
    theirs.get_by_role("button", name="Pause").click()
    expect(state(mine)).to_have_text("paused")
    mine.get_by_label("Prompt").fill("The ")
    mine.get_by_label("Bytes", exact=True).fill("32")
    mine.get_by_role("button", name="Generate", exact=True).click()
    expect(mine.locator("[data-verdict-word]")).to_contain_text("Gate")
    expect(theirs.locator("[data-text] .prompt")).to_have_text("The ")
    assert theirs.locator("[data-text]").inner_text() == mine.locator("[data-text]").inner_text()


def test_one_key_does_what_is_done_most_but_not_while_one_types(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    make_run(page, server.url, corpus_file.read_text())
    expect(state(page)).to_have_text("ready")
    page.keyboard.press("s")
    expect(figure(page, "step")).to_have_text("1")
    expect(state(page)).to_have_text("ready")
    page.keyboard.press("t")
    expect(state(page)).to_have_text("training")
    expect(page.get_by_role("button", name="Pause")).to_be_enabled()
    page.keyboard.press("t")
    expect(state(page)).to_have_text("paused")
    page.get_by_label("Prompt").press_sequentially("rst?/")
    expect(page.get_by_label("Prompt")).to_have_value("rst?/")
    expect(state(page)).to_have_text("paused")
    page.get_by_role("slider", name="λK").focus()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("train or pause")
    page.keyboard.press("t")
    expect(state(page)).to_have_text("paused")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search the runs")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Runs")).to_be_hidden()


def test_the_tour_is_taken_once_and_again_when_asked_for(
    empty_server: RunningServer, open_window: OpenWindow
) -> None:
    page = open_window(empty_server.url).page
    page.set_viewport_size({"width": 390, "height": 844})
    tour = page.get_by_role("complementary", name="Tour")
    for place in ("1 of 3", "2 of 3", "3 of 3"):
        expect(tour).to_contain_text(place)
        expect(page.locator(".toured")).to_be_in_viewport()
        expect(tour).to_be_in_viewport(ratio=1)
        tour.get_by_role("button", name=re.compile("Next|Done")).click()
    expect(tour).to_be_hidden()
    page.reload()
    expect(state(page)).to_have_text("empty")
    expect(tour).to_be_hidden()
    page.get_by_role("button", name="Keys and tour").click()
    page.get_by_role("button", name="Show me around again").click()
    expect(tour).to_contain_text("1 of 3")
    page.keyboard.press("Escape")
    expect(tour).to_be_hidden()
    expect(page.locator(".toured")).to_have_count(0)


TOLD = [
    # id, name, tags, step, text, held-out bits per byte; the first was made first
    ("a-1", None, ["zeta"], 7, "kjv.txt", None),
    ("b-2", "Long", [], 9, "embedded", 1.5),
    ("c-3", None, ["alpha"], 7, "embedded", 1.9),
]
RUNS = [
    {
        "run_id": run_id,
        "created_at": made,
        "name": name,
        "tags": tags,
        "step": step,
        "config": {"corpus": text},
        "validation_bits_per_byte": bits,
    }
    for made, (run_id, name, tags, step, text, bits) in enumerate(TOLD)
]


@pytest.mark.parametrize(
    ("column", "direction", "order"),
    [
        ("run", "descending", ["c-3", "b-2", "a-1"]),
        ("step", "ascending", ["a-1", "c-3", "b-2"]),
        ("tags", "ascending", ["c-3", "a-1", "b-2"]),
        ("quality", "ascending", ["b-2", "c-3", "a-1"]),
        ("quality", "descending", ["c-3", "b-2", "a-1"]),
    ],
)
def test_runs_are_sorted_with_those_last_that_lack_the_figure(
    evaluate_module: EvaluateModule, column: str, direction: str, order: list[str]
) -> None:
    call = "(module, [runs, order]) => module.sorted(runs, order).map((run) => run.run_id)"
    asked = {"column": column, "isDescending": direction == "descending"}
    assert evaluate_module("run_table.js", call, [RUNS, asked]) == order


@pytest.mark.parametrize(
    ("query", "found"),
    [("", 3), ("embedded", 2), ("EMBEDDED alpha", 1), ("long", 1), ("zeta kjv a-1", 1), ("zeta embedded", 0)],
)
def test_a_run_is_found_by_every_word_of_the_query(
    evaluate_module: EvaluateModule, query: str, found: int
) -> None:
    call = "(module, [runs, query]) => runs.filter((run) => module.matches(run, query)).length"
    assert evaluate_module("run_table.js", call, [RUNS, query]) == found


def test_a_run_that_is_let_grow_goes_on_as_a_larger_one_and_the_page_tells_of_it_and_follows(
    server: RunningServer, open_window: OpenWindow, corpus_file: Path
) -> None:
    page = open_window(server.url).page
    run_id = make_run(page, server.url, corpus_file.read_text(), validation_interval=1)
    expect(state(page)).to_have_text("ready")
    page.evaluate("""() => {
        window.told = [];
        new MutationObserver(() => window.told.push(document.querySelector("[data-toasts]").textContent))
            .observe(document.querySelector("[data-toasts]"), { childList: true });
    }""")
    switch, events = page.get_by_role("switch", name="Grow"), page.locator("[data-events]")
    page.get_by_label("Grow where an estimate gains").fill("9")
    switch.check()
    expect(events).to_contain_text("Grows when an estimate gains less than 9 bpb, up to 64 MB")
    switch.uncheck()
    expect(events).to_contain_text("Grows no more")
    switch.check()
    page.wait_for_function("() => fetch('/status').then((one) => one.json()).then((one) => one.growth_rule)")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_function("() => window.told.some((text) => text.includes('a layer more'))")
    server.ask("POST", "/config/growth", {"rule": None})
    server.ask("POST", "/train/pause", {})
    expect(state(page)).to_have_text("paused")
    expect(switch).not_to_be_checked()
    expect(events).to_contain_text(f"Branched off {run_id} at step 5, a layer more")
    expect(figure(page, "run")).not_to_have_text(run_id)
