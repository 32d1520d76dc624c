"""Laws and hand-worked values of what the charts are drawn against, read out and saved with."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.browser.conftest import EvaluateModule

PARSE = "(module, hash) => module.parseView(hash)"
ROUND_TRIP = "(module, view) => module.parseView(module.formatView({ ...module.usualView(), ...view })).view"
USUAL: dict[str, Any] = {
    "x": "step",
    "xScale": "linear",
    "yScales": {"loss": "linear", "gradient": "log"},
    "smoothing": "light",
    "zoom": {"x": None, "y": {}},
    "beside": None,
    "open": [],
}
ENDS = st.lists(st.integers(-5000, 5000), min_size=2, max_size=2, unique=True).map(sorted)


def test_the_usual_view_leaves_the_address_bare(evaluate_module: EvaluateModule) -> None:
    call = "(module) => [module.usualView(), module.formatView(module.usualView())]"
    assert evaluate_module("view.js", call) == [USUAL, ""]


def test_an_address_can_be_read_by_people(evaluate_module: EvaluateModule) -> None:
    view = {
        "x": "time",
        "xScale": "log",
        "yScales": {"loss": "log", "gradient": "log"},
        "smoothing": "none",
        "zoom": {"x": [12.5, 80], "y": {"loss": [1.25, 2.123456789]}},
        "beside": ["20261124-060039-cd79", "b"],
        "open": ["anatomy"],
    }
    assert evaluate_module("view.js", "(module, view) => module.formatView(view)", view) == (
        "x=time&xscale=log&yscale=loss:log&smoothing=none&zoom=x:12.5..80,loss:1.25..2.123457&open=anatomy"
        "&beside=20261124-060039-cd79,b"
    )


@settings(max_examples=40)
@given(
    view=st.fixed_dictionaries(
        {
            "x": st.sampled_from(["step", "time", "bytes"]),
            "yScales": st.fixed_dictionaries(
                {chart: st.sampled_from(["linear", "log"]) for chart in ("loss", "gradient")}
            ),
            "smoothing": st.sampled_from(["none", "light", "strong"]),
            "zoom": st.fixed_dictionaries(
                {
                    "x": st.none() | ENDS,
                    "y": st.dictionaries(st.sampled_from(["loss", "cost", "bits"]), ENDS),
                }
            ),
            "beside": st.none()
            | st.lists(st.sampled_from(["a", "b-1", "20261124-060039-cd79"]), unique=True),
            "open": st.sampled_from([[], ["anatomy"]]),
        }
    )
)
def test_a_shared_address_gives_the_same_view(evaluate_module: EvaluateModule, view: dict[str, Any]) -> None:
    assert evaluate_module("view.js", ROUND_TRIP, view) == USUAL | view


@pytest.mark.parametrize(
    ("hash_", "expected"), [("", None), ("#beside=", []), ("#beside=a,b", ["a", "b"]), ("#else=1", None)]
)
def test_the_address_says_which_runs_are_beside(
    evaluate_module: EvaluateModule, hash_: str, expected: list[str] | None
) -> None:
    assert evaluate_module("view.js", PARSE, hash_)["view"]["beside"] == expected


@pytest.mark.parametrize(
    ("hash_", "complaint"),
    [
        ("x=week", "x=week: it takes step, time or bytes."),
        ("xscale=cubic", "xscale=cubic: it takes linear or log."),
        ("yscale=telemetry:log", "yscale=telemetry:log: it takes loss and gradient"),
        ("smoothing=0.02", "smoothing=0.02: it takes none, light or strong."),
        ("zoom=x:80..12", "zoom=x:80..12: it takes AXIS:FROM..TO"),
        ("zoom=x:..12", "zoom=x:..12: it takes AXIS:FROM..TO"),
        ("zoom=heads:1..2", "zoom=heads:1..2: it takes AXIS:FROM..TO"),
        ("open=sesame", "open=sesame: it takes anatomy."),
        ("beside=../etc", "beside=../etc: it takes ids of at most 7 runs"),
        ("beside=a,b,c,d,e,f,g,h", "beside=a,b,c,d,e,f,g,h: it takes ids of at most 7 runs"),
        ("constructor=1", "constructor: there is no setting of this name; there are x, xscale,"),
        ("xscale=log&zoom=x:0..9", "zoom=x:0..9: on a logarithmic axis it begins above 0."),
    ],
)
def test_what_the_address_cannot_mean_is_named_and_the_rest_holds(
    evaluate_module: EvaluateModule, hash_: str, complaint: str
) -> None:
    found = evaluate_module("view.js", PARSE, f"#{hash_}&smoothing=strong")
    assert len(found["complaints"]) == 1
    assert found["complaints"][0].startswith(complaint)
    assert found["view"]["smoothing"] == "strong"


@pytest.mark.parametrize(
    ("axis", "span", "most", "texts"),
    [
        ("step", (0, 20.2), 5, ["0", "5", "10", "15", "20"]),
        ("step", (0, 1), 9, ["0", "1"]),
        ("step", (0, 12_000), 4, ["0", "5,000", "10,000"]),
        ("time", (0, 50), 6, ["0", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        ("time", (60, 100), 5, ["1:00", "1:10", "1:20", "1:30", "1:40"]),
        ("time", (62.25, 62.75), 5, ["1:02.3", "1:02.4", "1:02.5", "1:02.6", "1:02.7"]),
        ("time", (0, 1500), 5, ["0", "5 min", "10 min", "15 min", "20 min", "25 min"]),
        ("time", (0, 9000), 6, ["0", "30 min", "1 h", "1 h 30", "2 h", "2 h 30"]),
        ("time", (0, 200_000), 3, ["0", "1 d", "2 d"]),
        ("bytes", (0, 3_300_000), 6, ["0", "1 MB", "2 MB", "3 MB"]),
        ("bytes", (0, 1_300_000), 7, ["0", "200 kB", "400 kB", "600 kB", "800 kB", "1 MB", "1.2 MB"]),
        (
            "bytes",
            (3_200_000, 3_300_000),
            5,
            ["3.2 MB", "3.22 MB", "3.24 MB", "3.26 MB", "3.28 MB", "3.3 MB"],
        ),
    ],
)
def test_ticks_are_written_as_people_read_them(
    evaluate_module: EvaluateModule, axis: str, span: tuple[float, float], most: int, texts: list[str]
) -> None:
    call = "(module, [span, axis, most]) => module.evenTicks(span, axis, most).texts"
    assert evaluate_module("x_axis.js", call, [span, axis, most]) == texts


@pytest.mark.parametrize(
    ("axis", "span", "texts"),
    [
        ("step", (1, 1000), ["1", "5", "20", "100", "500"]),
        ("time", (0.2, 4000), ["0.2 s", "2 s", "15 s", "2 min", "15 min"]),
        ("bytes", (512, 530_000), ["1 kB", "5 kB", "20 kB", "100 kB", "500 kB"]),
        ("step", (300, 390), ["300", "350"]),
    ],
)
def test_a_logarithmic_axis_has_round_ticks(
    evaluate_module: EvaluateModule, axis: str, span: tuple[float, float], texts: list[str]
) -> None:
    call = "(module, [span, axis]) => module.logarithmicTicks(span, axis, 6).texts"
    assert evaluate_module("x_axis.js", call, [span, axis]) == texts


@settings(max_examples=40)
@given(
    span=st.tuples(st.floats(0, 1e9), st.floats(1e-3, 1e9)),
    axis=st.sampled_from(["step", "time", "bytes"]),
    most=st.integers(3, 9),
)
def test_ticks_lie_in_view_in_order_and_are_no_more_than_there_is_room_for(
    evaluate_module: EvaluateModule, span: tuple[float, float], axis: str, most: int
) -> None:
    low, high = span[0], span[0] + span[1]
    call = "(module, [span, axis, most]) => module.evenTicks(span, axis, most)"
    ticks = evaluate_module("x_axis.js", call, [[low, high], axis, most])
    assert ticks["values"] == sorted(set(ticks["values"]))
    assert all(low - 1e-6 * high <= value <= high * (1 + 1e-6) for value in ticks["values"])
    assert len(ticks["values"]) <= most + 1


@pytest.mark.parametrize(("step", "place"), [(0, 0), (5, 2.5), (10, 5), (15, 6), (20, 7), (99, 7)])
def test_a_step_lies_between_its_neighbours_in_proportion(
    evaluate_module: EvaluateModule, step: int, place: float
) -> None:
    columns = {"step": [10, 20], "elapsed_s": [5, 7]}
    call = "(module, [columns, step]) => module.placeOf(module.placed(columns, 'time'))(step)"
    assert evaluate_module("x_axis.js", call, [columns, step]) == place


def test_smoothing_is_the_same_whatever_the_charts_are_drawn_against(evaluate_module: EvaluateModule) -> None:
    columns = {"step": [1, 2, 3, 9], "x": [0, 50, 51, 52], "K": [0.1, 0.4, 0.2, 0.8]}
    call = """(module, columns) => [columns, { ...columns, x: undefined }]
        .map((one) => module.smoothSeries(one, "K", 3))"""
    against_x, against_step = evaluate_module("metrics.js", call, columns)
    assert against_x["y"] == against_step["y"]
    assert (against_x["x"], against_step["x"]) == ([0, 50, 51, 52], [1, 2, 3, 9])


@pytest.mark.parametrize(
    ("value", "specifier", "text"),
    [
        (2.34567, ".3f", "2.346"),
        (-0.00123, "+.4f", "−0.0012"),
        (0.00123, "+.4f", "+0.0012"),
        (0.1234, ".2%", "12.34 %"),
        (0.5, ".0%", "50 %"),
        (23_700, ".3s", "23.7 k"),
        (512, ".3s", "512 "),
        (0.0434, ".2~g", "0.043"),
        (0.10, ".2~g", "0.1"),
        (1.5, ".3~f", "1.5"),
    ],
)
def test_a_figure_is_written_as_the_charts_say(
    evaluate_module: EvaluateModule, value: float, specifier: str, text: str
) -> None:
    call = "(module, [value, specifier]) => module.written(value, specifier)"
    assert evaluate_module("readout.js", call, [value, specifier]) == text


LINE = {"type": "scatter", "x": [1, 5, 9], "y": [3.0, 2.0, 1.5], "line": {"color": "red", "width": 2}}
TRACES = [
    LINE | {"hovertemplate": "training %{y:.2f}<extra></extra>"},
    LINE | {"x": [4], "y": [2.5], "hovertemplate": "validation %{y:.2f}<extra></extra>"},
    LINE | {"hoverinfo": "skip"},
    LINE | {"yaxis": "y2", "text": ["step 5<br>a &lt; b"] * 3, "hovertemplate": "%{text}<extra></extra>"},
]


def test_a_place_is_read_at_each_lines_nearest_point_and_not_beyond_its_ends(
    evaluate_module: EvaluateModule,
) -> None:
    call = (
        "(module, traces) => [4, 8].map((at) => module.readingsAt(traces, at, (x) => Math.abs(x - at) < 1))"
    )
    at_4, at_8 = evaluate_module("readout.js", call, TRACES)
    assert [reading["text"] for reading in at_4] == ["training 2.00", "validation 2.50"]
    assert [reading["text"] for reading in at_8] == ["training 1.50"]
    events = "(module, traces) => module.eventsAt(traces, (x) => x === 5)"
    assert evaluate_module("readout.js", events, TRACES) == [{"text": "step 5\na < b", "colour": None}]


@pytest.mark.parametrize(
    ("place", "points", "expected"),
    [(None, -1, 9), (5, 1, 9), (5, -10, 1), (5, None, 9)],
    ids=["enters at the end", "next", "not before the first", "to the end"],
)
def test_arrow_keys_go_from_point_to_point(
    evaluate_module: EvaluateModule, place: float | None, points: int | None, expected: float
) -> None:
    call = "(module, [traces, place, points]) => module.placeAlong(traces, place, points ?? Infinity)"
    assert evaluate_module("readout.js", call, [TRACES, place, points]) == expected


def test_tables_of_several_runs_become_one_of_what_is_in_view(evaluate_module: EvaluateModule) -> None:
    head = "step,elapsed_s,bytes_seen,K\n"
    tables = [
        {"runId": "one", "csv": head + '1,0.5,64,"[1, 2]"\n2,1.5,128,\n'},
        {"runId": "two", "csv": head + "1,0.7,64,0.25\n"},
    ]
    call = "(module, [tables, column, range]) => module.joinTables(tables, column, range)"
    whole = evaluate_module("chart_files.js", call, [tables, "step", None])
    assert (
        whole
        == 'run_id,step,elapsed_s,bytes_seen,K\none,1,0.5,64,"[1, 2]"\none,2,1.5,128,\ntwo,1,0.7,64,0.25\n'
    )
    part = evaluate_module("chart_files.js", call, [tables, "elapsed_s", [0.6, 2]])
    assert part.splitlines()[1:] == ["one,2,1.5,128,", "two,1,0.7,64,0.25"]


def test_a_difference_becomes_a_table(evaluate_module: EvaluateModule) -> None:
    found = {
        "training": {"step": [8, 16], "mean": [0.1, 0.2], "low": [0, 0.1], "high": [0.2, 0.3]},
        "validation": {"step": [10, 16], "difference": [-0.5, 0.5]},
    }
    call = "(module, found) => module.differenceTable(found)"
    assert evaluate_module("chart_files.js", call, found).splitlines() == [
        "step,mean,low,high,validation",
        "8,0.1,0,0.2,",
        "10,,,,-0.5",
        "16,0.2,0.1,0.3,0.5",
    ]


def test_a_file_is_named_by_run_chart_and_step(evaluate_module: EvaluateModule) -> None:
    call = "(module) => module.fileName('20261124-060039-cd79', 'Telemetry’s cost', 1021, 'svg')"
    assert evaluate_module("chart_files.js", call) == "20261124-060039-cd79-telemetry-s-cost-step-1021.svg"
