import json
import re
from html.parser import HTMLParser

import pytest

from bitlm.errors import RunNotFoundError
from bitlm.history.narration import sentence, short_label
from bitlm.history.report import DEFINITIONS, MOST_POINTS, report_html
from bitlm.session import Event, RunStore, StepEvent

WICKED = "</script><script>alert('name')</script>&<b>"
BASELINES = {"gzip": 2.7, "xz": 2.4, "order-2": 3.1}


class Reader(HTMLParser):
    """Reads a page as a browser does: text, elements, and what each script holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser names it
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text.append(data)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Reader(page).text))


def data(page: str) -> dict[str, dict[str, list[float]]]:
    held: dict[str, dict[str, list[float]]] = json.loads(Reader(page).scripts[0])
    return held


@pytest.fixture(scope="module")
def page(kept: RunStore, finished: str) -> str:
    kept.set_baselines(kept.run(finished).config.corpus_fingerprint, BASELINES)
    kept.add_event(
        finished, step=16, at=0.0, kind="evaluated", source="cli", payload={"bits_per_byte": 5.4321}
    )
    return report_html(kept, finished)


def test_the_report_says_what_the_run_is_made_of(page: str, kept: RunStore, finished: str) -> None:
    said = words(page)
    record = kept.run(finished)
    assert finished in said
    assert record.config.corpus in said
    assert record.config.corpus_fingerprint in said
    assert "20,000 bytes" in said
    for setting in ("d_model 16", "batch_size 4", "seed 1", "threads 1"):
        assert setting in said
    for name, meaning in DEFINITIONS.items():
        assert f"{name} {meaning}" in said


def test_the_runs_own_held_out_figure_stands_among_the_baselines_in_order(page: str) -> None:
    rows = re.findall(r"<th scope='row'>([^<]+)</th>.*?<td>([\d.]+)</td></tr>", page)
    assert rows == [("this run", "5.432"), ("order-2", "3.100"), ("gzip", "2.700"), ("xz", "2.400")]
    assert "Of the whole held-out tenth, at step 16." in words(page)


def test_every_entry_of_the_journal_is_a_row_and_a_line_of_the_charts(page: str) -> None:
    said = words(page)
    for row in (
        "page λK: 0 → 0.3",
        "REST 3 steps asked for, on a text of 144 bytes",
        "run Ended after 1 of 3 steps: paused",
        "command line Learning rate: 0.002 → 1 % of it, over 8 steps",
    ):
        assert row in said
    markers = json.loads(Reader(page).scripts[0])["markers"]
    assert [marker["step"] for marker in markers] == [4, 6, 7, 16]
    assert [marker["alert"] for marker in markers] == [False, False, False, True]
    assert markers[0]["story"] == ["λK: 0 → 0.3 (page)"]


def test_every_alert_is_listed(page: str) -> None:
    assert "Alerts 1" in words(page)
    assert "run The mean of K drifted: 0.1 → 0.5" in words(page)


def test_what_users_wrote_cannot_become_markup(kept: RunStore, finished: str) -> None:
    try:
        kept.label_run(finished, name=WICKED, tags=("<i>", "$css"), archived=False)
        kept.add_event(finished, step=16, at=0.0, kind="disk_alert", source="session",
                       payload={"free_bytes": 7, "detail": WICKED})  # fmt: skip
        page = report_html(kept, finished)
    finally:
        kept.label_run(finished, name=None, tags=(), archived=False)
    read = Reader(page)
    assert len(read.scripts) == 3
    assert all(attributes for tag, attributes in read.elements if tag == "i")
    assert f"{WICKED} · BitLM" in " ".join(read.text)
    assert "· <i> · $css" in words(page)
    assert WICKED in json.loads(read.scripts[0])["markers"][-1]["story"][-1]


def test_the_page_loads_nothing_and_forbids_itself_to(page: str) -> None:
    elements = Reader(page).elements
    assert not [tag for tag, attributes in elements if {"src", "href"} & set(attributes)]
    policy = next(a["content"] for t, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_a_long_run_is_thinned_and_the_report_says_so(kept: RunStore, finished: str) -> None:
    kept.add_run("long", created_at=0.0, parameters=1, config=kept.run(finished).config)
    for step in range(1, 3 * MOST_POINTS):
        kept.add_metrics(
            "long",
            StepEvent(
                step=step, at=0.0, elapsed_s=0.0, bytes_seen=step, loss=0.7,
                bits_per_byte=9.0 if step == 1717 else 5.0,
                K=0.1, gradient_norm=1.0, learning_rate=0.01, bytes_per_s=1e3,
            ),
        )  # fmt: skip
    kept.flush()
    page = report_html(kept, "long")
    drawn = data(page)["metrics"]
    assert len(drawn["step"]) <= MOST_POINTS
    assert drawn["bits_per_byte"][drawn["step"].index(1717)] == 9.0
    assert f"{len(drawn['step']):,} of 2,999 steps are drawn" in words(page)
    assert "has not been measured" in words(page)


def test_a_run_without_a_step_has_a_report(kept: RunStore, finished: str) -> None:
    kept.add_run("new", created_at=0.0, parameters=1, config=kept.run(finished).config)
    assert "1970-01-01 00:00:00 UTC" in words(report_html(kept, "new"))


def test_a_report_of_a_run_that_is_not_there_is_refused(kept: RunStore) -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        report_html(kept, "no-such-run")


def test_every_event_of_a_run_can_be_told(kept: RunStore, finished: str) -> None:
    for event in kept.all_events(finished):
        assert sentence(event)
        assert len(short_label(event)) < 24


def test_a_change_of_two_settings_tells_both_with_old_and_new() -> None:
    changes = [{"field": "lambda_K", "old": 0.0, "new": 0.25}, {"field": "c_floor", "old": 0.3, "new": 1.0}]
    event = Event(
        event_id=1, run_id="r", step=0, at=0.0, kind="telemetry_changed", source="ui",
        payload={"changes": changes},
    )  # fmt: skip
    assert sentence(event) == "λK: 0 → 0.25, C floor: 0.3 → 1"
    assert short_label(event) == "λK 0.25 +1"


def test_thinned_telemetry_is_told_with_its_budget_and_its_intervals() -> None:
    payload = {"share": 0.06, "budget": 0.005, "probe_interval": 1500, "diagnostics_interval": 3000}
    event = Event(
        event_id=1, run_id="r", step=50, at=0.0, kind="telemetry_thinned", source="session", payload=payload
    )
    assert sentence(event) == (
        "Telemetry is being brought below 0.5 % of the time: "
        "C and S every 1,500 steps, attention and reversibility every 3,000"
    )


def test_the_baselines_that_were_passed_are_dated(page: str, kept: RunStore, finished: str) -> None:
    assert "Passed on the way" not in words(page)
    fingerprint = kept.run(finished).config.corpus_fingerprint
    kept.set_baselines(fingerprint, {"a coin": 8.0})
    told = words(report_html(kept, finished))
    kept.set_baselines(fingerprint, BASELINES)
    assert re.search(r"Passed on the way, by the quick estimate: a coin at \d+ s \(step 5\)\.", told)


def test_the_charts_of_parts_have_what_they_draw_and_are_left_out_where_it_was_not_measured(
    page: str,
) -> None:
    metrics = data(page)["metrics"]
    needed = [
        attributes["data-needs"] for _, attributes in Reader(page).elements if "data-needs" in attributes
    ]
    assert needed == ["validation_bits_per_bit", "gradient_norm_blocks", "attention_entropy_heads"]
    assert set(needed) < metrics.keys()
