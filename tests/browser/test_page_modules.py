"""Laws and hand-worked values of the page's pure modules."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.browser.conftest import EvaluateModule

SAME_BEFORE = "and are the same to the last bit before it"
SPREAD = "(module, [centres, sizes]) => module.spread(centres, sizes, [0, 200])"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("whole(12345)", "12,345"),
        ("whole(null)", "–"),
        ("fixed(2.4)", "2.40"),
        ("setting(0.30000000000000004)", "0.3"),
        ("prefixed(837023)", "837 k"),
        ("prefixed(12400, 'B/s')", "12.4 kB/s"),
        ("prefixed(999999, 'B')", "1.00 MB"),
        ("prefixed(512, 'B')", "512 B"),
        ("duration(42)", "42 s"),
        ("duration(72)", "1 m 12 s"),
        ("duration(7500)", "2 h 05 m"),
    ],
)
def test_figures_are_written_as_people_read_them(
    evaluate_module: EvaluateModule, call: str, expected: str
) -> None:
    assert evaluate_module("format.js", f"(module) => module.{call}") == expected


@settings(max_examples=30)
@given(known=st.sets(st.integers(0, 50)), incoming=st.sets(st.integers(0, 50)))
def test_merged_metrics_have_every_step_once_in_order_and_the_newer_row_counts(
    evaluate_module: EvaluateModule, known: set[int], incoming: set[int]
) -> None:
    columns = [
        {"step": sorted(steps), "K": [name] * len(steps)}
        for name, steps in (("old", known), ("new", incoming))
    ]
    merged = evaluate_module(
        "metrics.js", "(module, [one, other]) => module.mergeColumns(one, other)", columns
    )
    steps = sorted(known | incoming)
    assert merged == {"step": steps, "K": ["new" if step in incoming else "old" for step in steps]}


def test_rows_that_a_reopened_run_will_compute_again_are_dropped(evaluate_module: EvaluateModule) -> None:
    columns = {"step": [1, 2, 3], "K": [0.1, 0.2, 0.3]}
    kept = evaluate_module("metrics.js", "(module, columns) => module.dropAfter(columns, 2)", columns)
    assert kept == {"step": [1, 2], "K": [0.1, 0.2]}


@settings(max_examples=30)
@given(values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=300), limit=st.integers(4, 60))
def test_thinning_keeps_first_last_lowest_and_highest(
    evaluate_module: EvaluateModule, values: list[int], limit: int
) -> None:
    whole = {"x": list(range(len(values))), "y": values}
    thinned = evaluate_module(
        "metrics.js", "(module, [whole, limit]) => module.thin(whole, limit)", [whole, limit]
    )
    assert len(thinned["x"]) <= limit
    assert thinned["x"] == sorted(set(thinned["x"]))
    assert thinned["y"] == [values[step] for step in thinned["x"]]
    assert {0, len(values) - 1} <= set(thinned["x"])
    assert {min(values), max(values)} <= set(thinned["y"])


def test_smoothing_leaves_a_straight_line_straight_in_its_middle(evaluate_module: EvaluateModule) -> None:
    line = {"x": list(range(401)), "y": [3.0 * step for step in range(401)]}
    smoothed = evaluate_module("metrics.js", "(module, line) => module.smooth(line, 5)", line)
    assert smoothed["y"][200] == pytest.approx(600.0)


def test_smoothing_of_a_constant_is_the_constant_however_the_steps_lie(
    evaluate_module: EvaluateModule,
) -> None:
    constant = {"x": [1, 2, 3, 50, 900], "y": [2.5] * 5}
    smoothed = evaluate_module("metrics.js", "(module, constant) => module.smooth(constant, 7)", constant)
    assert smoothed["y"] == pytest.approx([2.5] * 5)


@settings(max_examples=30)
@given(centres=st.lists(st.integers(0, 200), min_size=1, max_size=14).map(sorted))
def test_labels_move_apart_in_order_and_stay_inside(
    evaluate_module: EvaluateModule, centres: list[int]
) -> None:
    placed = evaluate_module("markers.js", SPREAD, [centres, [12] * len(centres)])
    assert all(after - before >= 12 - 1e-9 for before, after in pairwise(placed))
    assert placed[0] >= 6 - 1e-9
    assert placed[-1] <= 194 + 1e-9


def test_a_label_with_room_stays_where_it_is(evaluate_module: EvaluateModule) -> None:
    placed = evaluate_module("markers.js", SPREAD, [[20, 100, 104], [12, 12, 12]])
    assert placed == pytest.approx([20, 96, 108])


def test_markers_of_one_step_are_one_marker_that_tells_everything(evaluate_module: EvaluateModule) -> None:
    def changed(event_id: int, field: str, old: float, new: float) -> dict[str, Any]:
        change = {"field": field, "old": old, "new": new}
        return {"event_id": event_id, "step": 7, "at": 0, "kind": "telemetry_changed", "source": "ui",
                "payload": {"changes": [change]}}  # fmt: skip

    saved = {
        "event_id": 3,
        "step": 9,
        "at": 0,
        "kind": "checkpoint_saved",
        "source": "session",
        "payload": {},
    }
    events = [changed(1, "lambda_K", 0, 0.2), changed(2, "c_floor", 0.3, 0.35), saved]
    markers = evaluate_module("markers.js", "(module, events) => module.markersOf(events)", events)
    assert markers == [
        {
            "step": 7,
            "label": "C floor 0.35",
            "look": "change",
            "checkpoint": None,
            "events": events[:2],
            "story": ["λK 0 → 0.2 · page", "C floor 0.3 → 0.35 · page"],
        }
    ]


def test_an_event_of_a_kind_unknown_to_the_page_is_still_listed(evaluate_module: EvaluateModule) -> None:
    event = {"event_id": 1, "step": 1, "at": 0, "kind": "model_grown", "source": "ui", "payload": {}}
    assert evaluate_module("events.js", "(module, event) => module.sentence(event)", event) == "model grown"


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        ('0{"sid":"x"}', {"type": "0", "data": {"sid": "x"}}),
        ('2["update",{"step":1}]', {"type": "2", "data": ["update", {"step": 1}]}),
        ('2/other,["update",1]', {"type": "2", "data": ["update", 1]}),
        ('217["update",1]', {"type": "2", "data": ["update", 1]}),
        ("1", {"type": "1", "data": None}),
    ],
)
def test_socket_packets_are_read_by_the_protocol(
    evaluate_module: EvaluateModule, packet: str, expected: dict[str, Any]
) -> None:
    assert (
        evaluate_module("socket_client.js", "(module, packet) => module.parsePacket(packet)", packet)
        == expected
    )


def test_waiting_to_reconnect_doubles_and_is_bounded(evaluate_module: EvaluateModule) -> None:
    delays = evaluate_module(
        "socket_client.js", "(module) => [0, 1, 2, 20].map((n) => module.retryDelay(n, 0.999999))"
    )
    assert delays == pytest.approx([500, 1000, 2000, 10_000], rel=1e-3)


def test_an_older_status_never_replaces_a_newer_one(evaluate_module: EvaluateModule) -> None:
    older = {"run_id": "a", "events_cursor": 4, "metrics_cursor": 90, "state": "training"}
    newer = {"run_id": "a", "events_cursor": 5, "metrics_cursor": 90, "state": "paused"}
    expression = "(module, [known, incoming]) => module.newerStatus(known, incoming).state"
    assert evaluate_module("run_feed.js", expression, [newer, older]) == "paused"
    assert evaluate_module("run_feed.js", expression, [older, newer]) == "paused"


def test_the_range_of_the_loss_shows_the_next_line_to_beat(evaluate_module: EvaluateModule) -> None:
    low, high = evaluate_module(
        "figures.js", "(module) => module.bitsPerByteRange([5.2, 5.1, 5.0], [1.4, 3.3, 4.7])"
    )
    assert low < 4.7
    assert low > 3.3
    assert high > 5.2


def test_the_word_of_a_service_that_was_started_again_is_the_newer_one(
    evaluate_module: EvaluateModule,
) -> None:
    """After a crash it knows fewer steps than the page does, and is right."""
    before = {"run_id": "a", "service_started_at": 1, "events_cursor": 9, "metrics_cursor": 90}
    after = {"run_id": "a", "service_started_at": 2, "events_cursor": 9, "metrics_cursor": 80}
    expression = "(module, [known, incoming]) => module.newerStatus(known, incoming).metrics_cursor"
    assert evaluate_module("run_feed.js", expression, [before, after]) == 80
    assert evaluate_module("run_feed.js", expression, [after, before]) == 80


def test_a_twin_marks_the_change_it_does_without(evaluate_module: EvaluateModule) -> None:
    change = {
        "event_id": 4,
        "step": 30,
        "kind": "telemetry_changed",
        "payload": {"changes": [{"field": "lambda_K", "old": 0, "new": 0.2}]},
    }
    payload = {"run_id": "other", "step": 20, "change": change, "instead": None, "undo": False}
    forked = {"event_id": 9, "step": 20, "at": 0, "kind": "run_forked", "source": "ui", "payload": payload}
    (marker,) = evaluate_module("markers.js", "(module, events) => module.markersOf(events)", [forked])
    assert (marker["step"], marker["label"]) == (30, "not λK 0.2")
    assert marker["story"] == ["Branched off other at step 20, to do without λK 0 → 0.2 at step 30 · page"]


def test_a_difference_is_written_with_its_sign_and_none_is_said_in_words(
    evaluate_module: EvaluateModule,
) -> None:
    apart = {
        "compared_steps": 9,
        "first_difference": 5,
        "mean": -0.0314,
        "validation": {"step": [4, 8], "difference": [0, 0.25]},
    }
    expression = "(module, difference) => module.differenceReadings(difference)"
    assert evaluate_module("overlay_figures.js", expression, apart) == {
        "mean": "−0.031",
        "validation": "+0.250",
    }
    same = apart | {"first_difference": None, "mean": None}
    assert evaluate_module("overlay_figures.js", expression, same)["mean"] == "none"
    assert evaluate_module("overlay_figures.js", expression, None)["mean"] == "–"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ((5, 9), f"Of 9 shared steps, the losses differ from step 5 on, {SAME_BEFORE}."),
        ((1, 9), "Of 9 shared steps, the losses differ from step 1 on."),
        ((None, 9), "The losses of all 9 shared steps are the same to the last bit."),
        ((None, 0), "There is no step that all of them did."),
    ],
)
def test_where_runs_part_is_a_sentence(
    evaluate_module: EvaluateModule, found: tuple[int | None, int], sentence: str
) -> None:
    argument = {"first_difference": found[0], "compared_steps": found[1]}
    assert evaluate_module("comparison.js", "(module, found) => module.parting(found)", argument) == sentence


def test_a_fork_asks_only_for_what_was_filled_in(evaluate_module: EvaluateModule) -> None:
    expression = """(module, fields) => {
        const filled = new FormData();
        for (const [name, value] of Object.entries(fields)) filled.set(name, value);
        return module.forkRequest(filled);
    }"""
    filled = {"step": "400", "learning_rate": "0.001", "dropout": "", "lambda_K": "", "c_floor": "0"}
    assert evaluate_module("dialogs.js", expression, filled) == {
        "step": 400,
        "settings": {"learning_rate": 0.001},
        "telemetry": {"c_floor": 0},
    }
    assert evaluate_module("dialogs.js", expression, {"step": "0", "grow": ""}) == {"step": 0, "settings": {}}
    grown = evaluate_module("dialogs.js", expression, {"step": "0", "grow": "width"})
    assert grown == {"step": 0, "settings": {}, "grow": "width"}


def test_tags_are_split_at_commas_once_each(evaluate_module: EvaluateModule) -> None:
    tags = evaluate_module("runs_dialog.js", "(module, typed) => module.tagsOf(typed)", " keep, λ ,,keep ")
    assert tags == ["keep", "λ"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"state": "training", "disk": {"state": "ok", "free_bytes": 1}}, None),
        ({"state": "training", "disk": {"state": "low", "free_bytes": 1}}, "low"),
        ({"state": "paused", "error": "the disk is full"}, "waiting"),
        ({"state": "resuming", "resuming": {"step": 3, "until": 9}}, "resuming"),
        ({"state": "halted", "error": "not finite"}, "halted"),
        ({"state": "training", "step": 4, "annealed_at": 5}, None),
        ({"state": "paused", "step": 5, "annealed_at": 5}, "annealed"),
        ({"state": "paused", "step": 5, "annealed_at": 5, "watching": {"writer": None}}, "watching"),
    ],
)
def test_what_must_not_be_overlooked_has_a_banner(
    evaluate_module: EvaluateModule, status: dict[str, Any], kind: str | None
) -> None:
    state = {"connection": "connected", "status": status}
    assert (
        evaluate_module("run_state.js", "(module, state) => module.banner(state)?.kind ?? null", state)
        == kind
    )


@pytest.mark.parametrize(("pixel", "step"), [(100, 10), (107, 10), (109, None), (148, 15), (126, None)])
def test_a_pointer_means_the_nearest_marker_if_it_is_near(
    evaluate_module: EvaluateModule, pixel: int, step: int | None
) -> None:
    expression = """(module, [steps, pixel]) =>
        module.markerNear(steps.map((step) => ({ step })), (step) => 10 * step, pixel)?.step ?? null"""
    assert evaluate_module("markers.js", expression, [[10, 15], pixel]) == step


def test_the_band_of_layers_reaches_from_the_lowest_to_the_highest_where_it_was_measured(
    evaluate_module: EvaluateModule,
) -> None:
    metrics = {"step": [1, 2, 3], "attention_entropy_layers": [[3.5, 2.0, 4.0], None, [1.0, 1.5, 1.25]]}
    band = evaluate_module("inside_figures.js", "(module, metrics) => module.layerBand(metrics)", metrics)
    assert (band["x"], band["low"], band["high"]) == ([1, 3], [2.0, 1.0], [4.0, 1.5])


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, {"attention": "–", "depth": "–", "inverse": "–", "memory": "–", "cost": "–"}),
        (
            {
                "attention_entropy": [3.1416, None],
                "depth_mean": [4.0, 2.345],
                "inversion_error": [0, None],
                "gradient_agreement": [0, None],
                "resident_bytes": [None, 512e6],
                "telemetry_share": [0.5, 0.0149],
            },
            {
                "attention": "3.14 bits",
                "depth": "2.35 layers",
                "inverse": "exact",
                "memory": "512 MB",
                "cost": "1.5 %",
            },
        ),
        ({"inversion_error": [0], "gradient_agreement": [2e-4]}, {"inverse": "off by 2.0e-4"}),
    ],
)
def test_what_the_model_and_its_costs_come_to_is_written_with_its_unit(
    evaluate_module: EvaluateModule, metrics: dict[str, Any], expected: dict[str, str]
) -> None:
    readings = evaluate_module("inside_figures.js", "(module, one) => module.insideReadings(one)", metrics)
    assert {name: readings[name] for name in expected} == expected


@pytest.mark.parametrize("figure", ["attentionFigure", "depthFigure", "memoryFigure", "costFigure"])
@pytest.mark.parametrize(
    ("steps", "note"),
    [([], []), ([1, 2], ["not measured in this run so far"])],
    ids=["no steps", "older run"],
)
def test_a_chart_of_what_no_step_measured_says_so(
    evaluate_module: EvaluateModule, figure: str, steps: list[int], note: list[str]
) -> None:
    expression = """(module, [figure, step]) => module[figure]({
        metrics: { step }, overlays: [], difference: null, markers: [], baselines: null, telemetry: null,
        layers: 4, budget: 1, colours: { attention: "rgb(1, 2, 3)" }, smoothing: 0.02,
        zoom: { x: null, y: {} }, size: { width: 400, height: 120 },
    }).layout.annotations.map(({ text }) => text)"""
    assert evaluate_module("inside_figures.js", expression, [figure, steps]) == note


def test_thinned_telemetry_is_told_with_its_budget_and_its_intervals(evaluate_module: EvaluateModule) -> None:
    payload = {"share": 0.06, "budget": 0.02, "probe_interval": 1500, "diagnostics_interval": 3000}
    event = {
        "event_id": 1, "step": 50, "at": 0, "kind": "telemetry_thinned", "source": "session",
        "payload": payload,
    }  # fmt: skip
    assert evaluate_module("events.js", "(module, event) => module.sentence(event)", event) == (
        "Telemetry is being brought below 2 % of the time: "
        "C and S every 1,500 steps, attention and reversibility every 3,000"
    )
    assert evaluate_module("events.js", "(module, event) => module.weight(event)", event) == "note"


@pytest.mark.parametrize(
    ("floor", "share"),
    [(0, 0), (0.1, 0.025), (0.2, 0.05), (0.25, 0.15), (0.3, 0.25), (0.45, 0.625), (0.6, 1), (0.7, 1)],
)
def test_the_share_of_text_a_floor_refuses_is_read_between_the_known_ones(
    evaluate_module: EvaluateModule, floor: float, share: float
) -> None:
    known = {"shares": [0, 0.05, 0.25, 1], "floors": [0, 0.2, 0.3, 0.6], "floor": floor}
    call = "(module, { shares, floors, floor }) => module.refusedShare(shares, floors, floor)"
    assert evaluate_module("calibration.js", call, known) == pytest.approx(share)


def test_the_nearest_length_is_that_by_ratio(evaluate_module: EvaluateModule) -> None:
    lengths = [{"length_bytes": length} for length in (32, 64, 128)]
    call = "(module, [lengths, bytes]) => module.nearestLength(lengths, bytes).length_bytes"
    nearest = [evaluate_module("calibration.js", call, [lengths, asked]) for asked in (1, 45, 46, 90, 4096)]
    assert nearest == [32, 32, 64, 64, 128]


@pytest.mark.parametrize(
    ("share", "written"), [(0, "0 %"), (0.0002, "< 0.1 %"), (0.0126, "1.3 %"), (0.5, "50 %")]
)
def test_a_small_share_is_never_written_as_none(
    evaluate_module: EvaluateModule, share: float, written: str
) -> None:
    assert evaluate_module("calibration.js", "(module, share) => module.percentage(share)", share) == written


@pytest.mark.parametrize(("step", "why"), [(4, None), (5, "The learning rate has fallen already")])
def test_a_learning_rate_falls_once(evaluate_module: EvaluateModule, step: int, why: str | None) -> None:
    state = {
        "connection": "connected",
        "status": {"state": "paused", "run_id": "a", "step": step, "annealed_at": 5},
    }
    obstacle = evaluate_module("run_state.js", "(module, state) => module.obstacles(state).anneal", state)
    assert obstacle == why
