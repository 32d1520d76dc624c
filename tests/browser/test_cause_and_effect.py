"""Cause and effect on one axis: what is marked, what was before and after it, what was passed."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, EvaluateModule, OpenWindow
from tests.conftest import RunningServer

PIXEL_OF = """([chart, step]) => {
    const element = document.querySelector(`[data-chart="${chart}"]`);
    const { left, top, height } = element.getBoundingClientRect();
    const axis = element._fullLayout.xaxis;
    return [left + axis._offset + axis.l2p(step), top + height / 2];
}"""
MARKS = """(step) => document.querySelector('[data-chart="telemetry"]').data
    .some(({ name, x }) => name === "event" && x.includes(step))"""
MARKED = "(module, [events, checkpoints]) => module.markersOf(events, checkpoints)"
NAMES = ["alert", "change", "branch", "checkpoint"]
OTHERS = [
    "validation_bits_per_byte",
    "bound_bits_per_byte",
    "validation_bound_bits_per_byte",
    "compressed_bits_per_byte",
    "C",
    "S",
]


def event(event_id: int, step: int, kind: str, source: str = "ui", **payload: Any) -> dict[str, Any]:
    return {"event_id": event_id, "step": step, "at": 0, "kind": kind, "source": source, "payload": payload}


def change(event_id: int, step: int) -> dict[str, Any]:
    moved = {"field": "lambda_K", "old": 0, "new": 0.2}
    return event(event_id, step, "telemetry_changed", changes=[moved])


def checkpoint(step: int, **others: Any) -> dict[str, Any]:
    figures = {"at": 0, "name": None, "validation_bits_per_byte": 2.5, "state": "good", "is_best": False}
    return {"step": step, **figures, **others}


def estimate(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def quantity(before: float, after: float, half: float, verdict: str) -> dict[str, Any]:
    sides = [
        {"estimate": estimate(mean, half), "first_step": 1, "last_step": 9, "values": 9}
        for mean in (before, after)
    ]
    moved = estimate(after - before, half)
    return {"before": sides[0], "after": sides[1], "difference": moved, "course": None, "verdict": verdict}


def test_checkpoints_are_marked_that_somebody_asked_for_or_named_and_the_best(
    evaluate_module: EvaluateModule,
) -> None:
    events = [event(1, step, "checkpoint_saved") for step in (10, 40, 50)]
    events += [event(2, step, "checkpoint_saved", "session") for step in (20, 30)]
    kept = [checkpoint(50, state="damaged"), checkpoint(40, name="dear"), checkpoint(30, is_best=True),
            checkpoint(20), checkpoint(10)]  # fmt: skip
    markers = evaluate_module("markers.js", MARKED, [events, kept])
    assert [(one["step"], one["label"], one["look"]) for one in markers] == [
        (10, "saved", "checkpoint"), (30, "best", "checkpoint"), (40, "dear", "checkpoint"),
    ]  # fmt: skip


def test_the_loudest_of_a_step_gives_its_line_the_look(evaluate_module: EvaluateModule) -> None:
    alert = event(2, 7, "spike_alert", "session", metric="loss", before=1, value=9)
    markers = evaluate_module("markers.js", MARKED, [[change(1, 7), alert], [checkpoint(7, name="before")]])
    assert [(one["look"], one["label"], len(one["story"])) for one in markers] == [("alert", "spike loss", 3)]
    assert [one["event_id"] for one in markers[0]["events"]] == [1, 2]
    assert markers[0]["checkpoint"]["step"] == 7


def test_a_twin_is_marked_where_the_change_was_and_every_look_has_its_own_line(
    evaluate_module: EvaluateModule,
) -> None:
    past = {"run_id": "parent", "step": 5, "after_event": 3}
    twin, fork = event(4, 5, "run_forked"), event(5, 12, "run_forked")
    twin["payload"] = past | {"change": change(2, 9)}
    fork["payload"] = past | {"config_changes": {"learning_rate": 0.001}}
    markers = evaluate_module("markers.js", MARKED, [[twin, fork], []])
    assert [(one["step"], one["label"], one["look"]) for one in markers] == [
        (9, "not λK 0.2", "branch"), (12, "fork", "branch"),
    ]  # fmt: skip
    assert "learning_rate 0.001" in markers[1]["story"][0]
    looks = evaluate_module(
        "markers.js",
        "(module) => Object.entries(module.LOOKS).map(([name, { colour, dash }]) => [name, colour + dash])",
    )
    assert [name for name, _ in looks] == NAMES
    assert len({look for _, look in looks}) == len(NAMES)


def test_labels_of_checkpoints_give_way_to_those_of_what_was_done(evaluate_module: EvaluateModule) -> None:
    labels = [
        (100, "λK 0.2", "change"),
        (104, "best", "checkpoint"),
        (105, "the last of its kind", "checkpoint"),
    ]
    markers = [dict(zip(("step", "label", "look"), label, strict=True)) for label in labels]
    placed = evaluate_module(
        "markers.js", "(module, markers) => module.placeLabels(markers, (step) => step, 140)", markers
    )
    assert [one["marker"]["step"] for one in placed] == [100, 104]


@pytest.mark.parametrize(
    ("column", "args", "expected"),
    [
        ("K", (0.311, 0.553, 0.065, "seen"), "K 0.311 → 0.553 (+0.242 ± 0.065)"),
        ("bits_per_byte", (1.8, 1.79, 0.02, "none"),
         "bits per byte 1.800 → 1.790 (−0.010 ± 0.020, no effect seen)"),
        ("gradient_norm", (0.1, 0.09, 0.0123, "course"),
         "gradient norm 0.1 → 0.09 (−0.010 ± 0.012, its course before may explain it)"),
        ("bytes_per_s", (20_000, 22_000, 500, "unknown"),
         "throughput 20.0 kB/s → 22.0 kB/s (too few values to say)"),
    ],
)  # fmt: skip
def test_before_and_after_is_one_line_of_a_hover(
    evaluate_module: EvaluateModule, column: str, args: tuple[float, float, float, str], expected: str
) -> None:
    chart = {
        "K": "telemetry",
        "bits_per_byte": "loss",
        "gradient_norm": "gradient",
        "bytes_per_s": "throughput",
    }[column]
    nothing = {"before": None, "after": None, "difference": None, "course": None, "verdict": "unknown"}
    quantities = dict.fromkeys(OTHERS, nothing) | {column: quantity(*args)}
    expression = "(module, [known, chart]) => module.effectLines(known, chart)"
    known = {"report": {"quantities": quantities}, "askedAt": 9}
    assert evaluate_module("effect_words.js", expression, [known, chart]) == [expected]
    assert evaluate_module("effect_words.js", expression, [None, chart]) == []


@pytest.mark.parametrize(
    ("known", "step", "stale"),
    [
        (None, 5, True),
        ({"report": {"step": 100, "until": None}, "askedAt": 101}, 101, False),
        ({"report": {"step": 100, "until": None}, "askedAt": 200}, 209, False),
        ({"report": {"step": 100, "until": None}, "askedAt": 200}, 210, True),
        ({"report": {"step": 100, "until": 300}, "askedAt": 200}, 900, False),
    ],
)
def test_it_is_asked_again_while_its_window_grows(
    evaluate_module: EvaluateModule, known: dict[str, Any] | None, step: int, *, stale: bool
) -> None:
    expression = "(module, [known, step]) => module.isStale(known, step)"
    assert evaluate_module("effects.js", expression, [known, step]) is stale


def test_the_band_of_real_text_is_read_between_the_known_shares(evaluate_module: EvaluateModule) -> None:
    long = {"length_bytes": 128, "C": [0.2, 0.4, 0.8, 1.0], "S": [0.5, 0.7, 0.9, 0.9]}
    answer = {"shares": [0, 0.1, 0.9, 1], "lengths": [{"length_bytes": 64}, long]}
    bands = evaluate_module("calibration.js", "(module, answer) => module.bandsOf(answer)", answer)
    assert bands == {"C": pytest.approx([0.3, 0.9]), "S": pytest.approx([0.6, 0.9])}
    short = answer | {"lengths": [{"length_bytes": 64}]}
    assert evaluate_module("calibration.js", "(module, answer) => module.bandsOf(answer)", short) is None


def test_of_baselines_passed_too_near_to_each_other_the_highest_is_labelled(
    evaluate_module: EvaluateModule,
) -> None:
    lines = [("order-0", 4.5, 5), ("gzip", 2.0, 900), ("order-3", 1.99, 910), ("out of view", 9, 1)]
    passed = [{"name": name, "baseline": value, "step": step, "elapsed_s": 72} for name, value, step in lines]
    shown = {
        "milestones": passed,
        "metrics": {"step": [1000]},
        "overlays": [],
        "colours": {"muted": "grey", "surface": "white"},
        "zoom": {"x": None},
        "size": {"width": 800, "height": 200},
    }
    labels = evaluate_module(
        "milestone_figures.js", "(module, input) => module.milestoneLabels(input, [1, 6])", shown
    )
    assert [(one["text"], one["xanchor"]) for one in labels] == [
        ("order-0 1 m 12 s", "left"),
        ("gzip 1 m 12 s", "right"),
    ]


@pytest.fixture(scope="module")
def steered(server: RunningServer, corpus_file: Path) -> RunningServer:
    """A run of 70 steps that was told of λK at 30 and saved by hand at 64."""
    tiny = {
        "d_model": 16,
        "nhead": 2,
        "num_layers": 2,
        "dim_feedforward": 32,
        "max_seq_len": 256,
        "batch_size": 2,
    }
    run_id = post(server, "/init", tiny | {"corpus": str(corpus_file), "validation_interval": 10})["run_id"]
    post(server, "/train-step", {"steps": 30})
    post(server, "/config/telemetry", {"lambda_K": 0.5})
    post(server, "/train-step", {"steps": 34})
    post(server, f"/runs/{run_id}/checkpoints", {})
    post(server, "/train-step", {"steps": 6})
    return server


def post(server: RunningServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{server.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_MS / 1000) as answer:  # noqa: S310 - the same
        said: dict[str, Any] = json.load(answer)
    return said


def drawn(page: Page, chart: str = "telemetry") -> Page:
    page.wait_for_function(
        """(chart) => document.querySelector(`[data-chart=${chart}]`)
            .data?.some(({ yaxis, x }) => yaxis === "y2" && x.length > 0)""",
        arg=chart,
    )
    return page


def test_pointing_at_a_change_tells_what_the_chart_showed_before_and_after(
    steered: RunningServer, open_window: OpenWindow
) -> None:
    window = open_window(steered.url)
    page = drawn(window.page)
    page.wait_for_function(MARKS, arg=30)
    x, y = page.evaluate(PIXEL_OF, ["telemetry", 30])
    page.mouse.move(x - 40, y)
    page.mouse.move(x, y)
    hover = page.locator('[data-chart="telemetry"] + .chart-cursor')
    expect(hover).to_contain_text("λK 0 → 0.5")
    expect(hover).to_contain_text("K 0.")
    expect(hover).to_contain_text("→")
    page.mouse.click(x, y)
    menu = page.get_by_role("dialog", name="Before and after, and what if not?")
    expect(menu.get_by_role("table")).to_contain_text("bits per byte")
    expect(menu.get_by_role("row").filter(has=page.get_by_role("rowheader", name="K"))).to_contain_text("±")
    expect(menu).to_contain_text("An observation, not a proof")
    expect(menu.get_by_role("button", name="Twin without it")).to_be_enabled()
    assert window.console_errors == []


def test_by_keyboard_before_and_after_is_in_the_list_of_events(
    steered: RunningServer, open_window: OpenWindow
) -> None:
    page = open_window(steered.url).page
    row = page.get_by_role("button", name="What if not: λK 0 → 0.5")
    row.focus()
    page.keyboard.press("Enter")
    menu = page.get_by_role("dialog", name="Before and after, and what if not?")
    expect(menu.get_by_role("rowheader", name="bits per byte")).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(row).to_be_focused()


def test_the_checkpoint_saved_by_hand_is_a_quieter_line_with_a_way_on_from_it(
    steered: RunningServer, open_window: OpenWindow
) -> None:
    page = drawn(open_window(steered.url).page)
    labels = page.locator('[data-chart="telemetry"] .annotation-text')
    expect(labels.filter(has_text="saved")).to_have_count(1)
    page.wait_for_function("""() => document.querySelector('[data-chart="telemetry"]').data
        .some(({ name, x, line }) => name === "event" && x.includes(64) && line.dash === "dot")""")
    x, y = page.evaluate(PIXEL_OF, ["telemetry", 64])
    page.mouse.click(x, y)
    menu = page.get_by_role("dialog", name="Before and after, and what if not?")
    menu.get_by_role("button", name="Fork here …").click()
    expect(page.locator("[data-fork]")).to_be_visible()


def test_baselines_passed_are_named_beside_the_title_and_listed_with_step_and_time(
    steered: RunningServer, open_window: OpenWindow
) -> None:
    page = drawn(open_window(steered.url).page, "loss")
    newest = page.locator('.chart-loss [popovertarget="help-milestones"]')
    expect(newest).to_contain_text(" s")
    newest.click()
    listed = page.get_by_role("dialog", name="Baselines passed")
    expect(listed.get_by_role("rowheader", name="order-0")).to_be_visible()
    rows = listed.locator("tbody tr").all()
    levels = [float(row.get_by_role("cell").first.inner_text()) for row in rows]
    drawn_dots = page.wait_for_function("""() => {
        const { data, layout } = document.querySelector('[data-chart="loss"]');
        const dots = data.find(({ name }) => name === "passed").y;
        return dots.length > 0 && [dots, layout.yaxis.range];
    }""")
    dots, (low, high) = drawn_dots.json_value()
    assert sorted(dots) == pytest.approx(sorted(level for level in levels if low <= level <= high), abs=0.005)


def test_the_band_of_real_text_lies_behind_C_and_S(steered: RunningServer, open_window: OpenWindow) -> None:
    page = drawn(open_window(steered.url).page)
    bands = """document.querySelector('[data-chart="telemetry"]').layout.shapes
        .filter(({ type }) => type === "rect").map(({ y0, y1 }) => [y0, y1])"""
    page.wait_for_function(f"() => {bands}.length === 2")
    low, high = page.evaluate(f"() => {bands}")[1]
    assert 0.3 < low < high < 1


def test_the_learning_rate_has_a_chart_and_both_rates_a_reading(
    steered: RunningServer, open_window: OpenWindow
) -> None:
    page = open_window(steered.url).page
    page.locator("details.anatomy summary").click()
    page.locator('[data-chart="rate"]').scroll_into_view_if_needed()
    drawn(page, "rate")
    expect(page.locator('[data-reading="rate"]')).to_have_text("0.002")
    expect(page.locator('[data-reading="matrix_rate"]')).to_have_text("0.02")


def test_the_beginning_of_a_fork_has_a_before_that_is_its_parents(
    steered: RunningServer, open_window: OpenWindow
) -> None:
    page = open_window(steered.url).page
    run_id = page.evaluate("async () => (await (await fetch('/status')).json()).run_id")
    post(steered, f"/runs/{run_id}/fork", {"settings": {"learning_rate": 0.0001}})
    post(steered, "/train-step", {"steps": 8})
    page.get_by_role("button", name="Before and after: Branched off").click()
    menu = page.get_by_role("dialog", name="Before and after, and what if not?")
    row = menu.get_by_role("row").filter(has=page.get_by_role("rowheader", name="bits per byte"))
    expect(row).to_contain_text("±")
    expect(menu.get_by_role("button", name="Twin without it")).to_have_count(0)
