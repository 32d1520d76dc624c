"""Laws and hand-worked values of the page's pure modules."""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

Evaluate = Callable[..., Any]


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
def test_figures_are_written_as_people_read_them(evaluate_module: Evaluate, call: str, expected: str) -> None:
    assert evaluate_module("format.js", f"(module) => module.{call}") == expected


def test_merging_metrics_keeps_order_and_lets_the_newer_row_count(evaluate_module: Evaluate) -> None:
    known = {"step": [1, 2, 5], "K": [0.1, 0.2, 0.5]}
    incoming = {"step": [2, 3, 6], "K": [0.9, 0.3, None]}
    merged = evaluate_module("metrics.js", "(module, [one, other]) => module.mergeColumns(one, other)", [known, incoming])
    assert merged == {"step": [1, 2, 3, 5, 6], "K": [0.1, 0.9, 0.3, 0.5, None]}


def test_rows_that_a_reopened_run_will_compute_again_are_dropped(evaluate_module: Evaluate) -> None:
    columns = {"step": [1, 2, 3], "K": [0.1, 0.2, 0.3]}
    kept = evaluate_module("metrics.js", "(module, columns) => module.dropAfter(columns, 2)", columns)
    assert kept == {"step": [1, 2], "K": [0.1, 0.2]}


def test_thinning_keeps_first_last_lowest_and_highest(evaluate_module: Evaluate) -> None:
    values = [float(value) for value in random.Random(3).choices(range(1000), k=5000)]
    values[1234], values[4321] = -5.0, 5000.0
    whole = {"x": list(range(5000)), "y": values}
    thinned = evaluate_module("metrics.js", "(module, whole) => module.thin(whole, 1000)", whole)
    assert len(thinned["x"]) <= 1000
    assert thinned["x"] == sorted(set(thinned["x"]))
    assert {0, 1234, 4321, 4999} <= set(thinned["x"])
    assert all(thinned["y"][index] == values[step] for index, step in enumerate(thinned["x"]))


def test_smoothing_leaves_a_straight_line_straight_in_its_middle(evaluate_module: Evaluate) -> None:
    line = {"x": list(range(401)), "y": [3.0 * step for step in range(401)]}
    smoothed = evaluate_module("metrics.js", "(module, line) => module.smooth(line, 5)", line)
    assert smoothed["y"][200] == pytest.approx(600.0)


def test_smoothing_of_a_constant_is_the_constant_however_the_steps_lie(evaluate_module: Evaluate) -> None:
    constant = {"x": [1, 2, 3, 50, 900], "y": [2.5] * 5}
    smoothed = evaluate_module("metrics.js", "(module, constant) => module.smooth(constant, 7)", constant)
    assert smoothed["y"] == pytest.approx([2.5] * 5)


def test_labels_move_apart_in_order_and_stay_inside(evaluate_module: Evaluate) -> None:
    centres = sorted(random.Random(5).choices(range(200), k=12))
    placed = evaluate_module(
        "markers.js", "(module, [centres, sizes]) => module.spread(centres, sizes, [0, 200])", [centres, [12] * 12]
    )
    assert all(after - before >= 12 - 1e-9 for before, after in pairwise(placed))
    assert placed[0] >= 6 - 1e-9
    assert placed[-1] <= 194 + 1e-9


def test_a_label_with_room_stays_where_it_is(evaluate_module: Evaluate) -> None:
    placed = evaluate_module("markers.js", "(module) => module.spread([20, 100, 104], [12, 12, 12], [0, 200])")
    assert placed == pytest.approx([20, 96, 108])


def test_markers_of_one_step_are_one_marker_that_tells_everything(evaluate_module: Evaluate) -> None:
    def changed(event_id: int, field: str, old: float, new: float) -> dict[str, Any]:
        change = {"field": field, "old": old, "new": new}
        return {"event_id": event_id, "step": 7, "at": 0, "kind": "telemetry_changed", "source": "ui",
                "payload": {"changes": [change]}}  # fmt: skip

    saved = {"event_id": 3, "step": 9, "at": 0, "kind": "checkpoint_saved", "source": "session", "payload": {}}
    events = [changed(1, "lambda_K", 0, 0.2), changed(2, "c_floor", 0.3, 0.35), saved]
    markers = evaluate_module("markers.js", "(module, events) => module.markersOf(events)", events)
    assert markers == [
        {
            "step": 7,
            "label": "C floor 0.35",
            "isAlert": False,
            "story": ["λK 0 → 0.2 · page", "C floor 0.3 → 0.35 · page"],
        }
    ]


def test_an_event_of_a_kind_unknown_to_the_page_is_still_listed(evaluate_module: Evaluate) -> None:
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
    evaluate_module: Evaluate, packet: str, expected: dict[str, Any]
) -> None:
    assert evaluate_module("socket_client.js", "(module, packet) => module.parsePacket(packet)", packet) == expected


def test_waiting_to_reconnect_doubles_and_is_bounded(evaluate_module: Evaluate) -> None:
    delays = evaluate_module("socket_client.js", "(module) => [0, 1, 2, 20].map((n) => module.retryDelay(n, 0.999999))")
    assert delays == pytest.approx([500, 1000, 2000, 10_000], rel=1e-3)


def test_an_older_status_never_replaces_a_newer_one(evaluate_module: Evaluate) -> None:
    older = {"run_id": "a", "events_cursor": 4, "metrics_cursor": 90, "state": "training"}
    newer = {"run_id": "a", "events_cursor": 5, "metrics_cursor": 90, "state": "paused"}
    expression = "(module, [known, incoming]) => module.newerStatus(known, incoming).state"
    assert evaluate_module("run_feed.js", expression, [newer, older]) == "paused"
    assert evaluate_module("run_feed.js", expression, [older, newer]) == "paused"


def test_the_range_of_the_loss_shows_the_next_line_to_beat(evaluate_module: Evaluate) -> None:
    low, high = evaluate_module(
        "figures.js", "(module) => module.bitsPerByteRange([5.2, 5.1, 5.0], [1.4, 3.3, 4.7])"
    )
    assert low < 4.7
    assert low > 3.3
    assert high > 5.2
