"""What the charts of parts draw, worked out in the page's own modules."""

from typing import Any

import pytest

from tests.browser.conftest import EvaluateModule

BITS = [[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], None, [0.0, 0.25, 0.3, 0.45, 0.375, 0.2, 0.1, 0.05]]
HEADS = [[[3.0, 2.0], [1.5, 4.0]], None, [[2.5, 2.25], [0.75, 4.5]]]
METRICS: dict[str, Any] = {
    "step": [1, 2, 4],
    "validation_bits_per_bit": BITS,
    "attention_entropy_heads": HEADS,
    "gradient_norm": [2.0, 0.5, 0.0434],
    "gradient_norm_blocks": [[1.0, 1.0, 1.0, 1.0], None, [0.01, 0.02, 0.03, 0.02]],
    "symbiosis_kl": [1.25, None, 0.0625],
    "utf8_validity": [0.5, None, 0.9961],
}
FIGURE = """(module, [figure, metrics]) => {
    const colours = { training: "rgb(0, 0, 0)", validation: "rgb(70, 140, 210)", attention: "rgb(9, 9, 9)" };
    const { data, layout } = module[figure]({
        metrics, overlays: [], difference: null, markers: [], baselines: null, telemetry: null,
        layers: 2, budget: 1, colours, smoothing: 0.02, zoom: { x: null, y: {} },
        yScales: { gradient: "log" }, size: { width: 400, height: 120 },
    });
    return { data, notes: layout.annotations.map(({ text }) => text), range: layout.yaxis.range };
}"""
FIGURES = ["bitsFigure", "headsFigure", "gradientFigure", "sampleFigure"]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(("steps", "note"), [([], False), ([1, 2], True)], ids=["no steps", "older run"])
def test_a_chart_of_parts_that_no_step_measured_says_so(
    evaluate_module: EvaluateModule, figure: str, steps: list[int], *, note: bool
) -> None:
    drawn = evaluate_module("anatomy_figures.js", FIGURE, [figure, {"step": steps}])
    assert ("not measured in this run so far" in drawn["notes"]) == note


def test_the_bits_of_a_byte_are_lines_from_the_most_significant_to_the_least(
    evaluate_module: EvaluateModule,
) -> None:
    drawn = evaluate_module("anatomy_figures.js", FIGURE, ["bitsFigure", METRICS])
    lines = {one["name"]: (one["x"], one["y"]) for one in drawn["data"] if one["name"] != "event"}
    assert list(lines) == ["b7", "b6", "b5", "b4", "b3", "b2", "b1", "b0"]
    assert lines["b7"] == ([1, 4], [1.0, 0.0])
    assert lines["b4"] == ([1, 4], [0.7, 0.45])
    assert set(lines) < set(drawn["notes"])


def test_a_bit_that_costs_more_than_a_coin_is_in_view(evaluate_module: EvaluateModule) -> None:
    metrics = {"step": [1], "validation_bits_per_bit": [[0.1, 1.75, *[0.1] * 6]]}
    drawn = evaluate_module("anatomy_figures.js", FIGURE, ["bitsFigure", metrics])
    assert drawn["range"][1] > 1.75
    assert "b6" in drawn["notes"]


def test_a_head_is_a_row_of_the_map_and_a_look_holds_until_the_next(evaluate_module: EvaluateModule) -> None:
    drawn = evaluate_module("anatomy_figures.js", FIGURE, ["headsFigure", METRICS])
    chart = drawn["data"][0]
    assert chart["z"] == [[3.0, 2.5], [2.0, 2.25], [1.5, 0.75], [4.0, 4.5]]
    assert chart["x"] == [1, 4, 5]
    assert chart["text"][2] == ["step 1, layer 2, head 1", "step 4, layer 2, head 1"]
    assert (chart["zmin"], chart["zmax"]) == (0, 4.5)
    assert drawn["range"] == [3.5, -0.5], "the first layer is on top"


def test_the_gradient_is_drawn_by_blocks_that_have_names(evaluate_module: EvaluateModule) -> None:
    drawn = evaluate_module("anatomy_figures.js", FIGURE, ["gradientFigure", METRICS])
    names = [one["name"] for one in drawn["data"] if one["name"] not in {"event", "whole"}]
    assert names == ["embedding", "layer 1", "layer 2", "head"]
    low, high = drawn["range"]
    assert low <= -2 < 0 < high
    expression = "(module, [count, layers]) => module.blockNames(count, layers)"
    assert evaluate_module("anatomy_figures.js", expression, [4, 1]) == [
        "embedding",
        "layer 1",
        "head",
        "mixer",
    ]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({}, dict.fromkeys(("bits", "gradient", "heads", "divergence", "validity"), "–")),
        (
            METRICS,
            {
                "bits": "b4 0.45",
                "gradient": "0.043",
                "heads": "layer 2, head 1: 0.75 bits",
                "divergence": "0.06",
                "validity": "99 %",
            },
        ),
    ],
)
def test_the_dearest_bit_and_the_narrowest_head_are_named(
    evaluate_module: EvaluateModule, metrics: dict[str, Any], expected: dict[str, str]
) -> None:
    expression = "(module, metrics) => module.anatomyReadings(metrics)"
    assert evaluate_module("anatomy_figures.js", expression, metrics) == expected


@pytest.mark.parametrize(
    ("share", "colour"), [(0, "rgb(10, 20, 30)"), (0.5, "rgb(20, 40, 60)"), (1, "rgb(30, 60, 90)")]
)
def test_a_ramp_of_colours_reaches_from_one_to_the_other(
    evaluate_module: EvaluateModule, share: float, colour: str
) -> None:
    expression = """(module, share) => module.between("rgb(10, 20, 30)", "rgba(30, 60, 90, 0.5)", share)"""
    assert evaluate_module("anatomy_figures.js", expression, share) == colour


@pytest.mark.parametrize("bound", [[None, None, 4.25], [None, None, None]], ids=["mixed", "causal"])
def test_what_is_denoised_is_drawn_open_beside_the_held_out_line(
    evaluate_module: EvaluateModule, bound: list[float | None]
) -> None:
    metrics = {
        "step": [1, 2, 4],
        "bits_per_byte": [3.0, 2.5, 2.25],
        "validation_bits_per_byte": [None, None, 2.375],
        "validation_bound_bits_per_byte": bound,
    }
    figure = FIGURE.replace("metrics, overlays", "milestones: [], metrics, overlays")
    drawn = evaluate_module("figures.js", figure, ["lossFigure", metrics])
    (line,) = [trace for trace in drawn["data"] if trace.get("name") == "denoised, at most"]
    assert line["y"] == [value for value in bound if value is not None]
    assert (line["marker"]["symbol"], line["line"]["dash"]) == ("circle-open", "dot")
    assert drawn["range"][1] == (4.5 if line["y"] else 3.0)
