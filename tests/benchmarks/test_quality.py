from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality import changes_of
from benchmarks.quality_picture import PANEL_HEIGHT, TOP, picture, spread
from benchmarks.quality_record import MIXING, SOFTMAX, Figure, append, bar_minutes, chosen, read, verdicts

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def figure(side: str, bits_per_byte: float, minutes: float | None = None, **more: object) -> Figure:
    trained: dict[str, object] = {"preset": "small", "threads": 2, "curve": [[0.5, 2.5]]} if minutes else {}
    fields = {"corpus": "kjv", "corpus_bytes": 10, "at": "", "machine": {}, **trained, **more}
    return Figure(side=side, bits_per_byte=bits_per_byte, minutes=minutes, **fields)  # type: ignore[arg-type]


@given(heights=st.lists(st.floats(0, 300), max_size=12).map(sorted))
def test_labels_keep_their_order_and_clear_of_each_other_and_of_the_axis(heights: list[float]) -> None:
    placed = spread(heights, gap=15, lowest=300)
    assert len(placed) == len(heights)
    assert all(below - above >= 15 - 1e-6 for above, below in pairwise(placed))
    assert all(height <= 300 + 1e-6 for height in placed)


def test_labels_with_room_stay_beside_their_lines() -> None:
    assert spread([10, 50, 58], gap=15, lowest=300) == [10, 46.5, 61.5]


def test_a_newer_figure_replaces_the_one_it_repeats_and_no_other(tmp_path: Path) -> None:
    for value, minutes in ((2.0, 1.0), (1.9, 3.0), (1.8, 1.0)):
        append(tmp_path, figure(MIXING, value, minutes), NOW)
    assert {(one.minutes, one.bits_per_byte) for one in read(tmp_path)} == {(1.0, 1.8), (3.0, 1.9)}


def test_other_settings_are_left_out_and_compressors_never() -> None:
    figures = [figure("gzip", 2.5), figure(MIXING, 2.0, 1), figure(MIXING, 1.9, 1, preset="base")]
    assert chosen(figures, "small", {}, 2) == figures[:2]


def test_a_bar_is_passed_failed_or_open() -> None:
    figures = [figure("gzip", 2.5), figure("xz", 2.0), figure(MIXING, 2.4, 1), figure(MIXING, 2.0, 3)]
    first, second, third = verdicts(figures)[:3]
    assert first == f"{MIXING}, 1 min, below gzip: pass: 2.400, gzip 2.500"
    assert second == f"{MIXING}, 3 min, below xz: FAIL: 2.000, xz 2.000"
    assert third.endswith("below bzip2: not measured")


def test_the_softmax_is_trained_for_every_budget_a_bar_names() -> None:
    assert bar_minutes(MIXING) == [1, 3, 5, 20]
    assert bar_minutes(SOFTMAX) == [1, 2, 3, 5, 7, 15, 20]


def test_the_picture_is_well_formed_and_names_every_side() -> None:
    drawn = picture(
        [figure("gzip", 2.5), figure("order 2", 2.8), figure(MIXING, 2.4, 1), figure(MIXING, 2.0, 3)]
    )
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("}text")]
    assert {"gzip 2.50", MIXING} <= set(texts)
    assert not any("order" in text for text in texts)


def test_what_adapting_counts_reach_is_drawn_as_rings_within_the_panel() -> None:
    adapting = replace(figure(MIXING, 2.4, 1), adapting_bits_per_byte=1.5)
    drawn = picture([figure("gzip", 2.5), adapting, figure(SOFTMAX, 2.6, 1)])
    (ring,) = [one for one in ET.fromstring(drawn).iter() if one.get("class") == "ring first"]  # noqa: S314 - our own
    assert TOP <= float(ring.get("cy", 0)) <= TOP + PANEL_HEIGHT
    assert "2.400 (1.500 adapting)" in drawn


def test_settings_are_numbers_truths_or_words() -> None:
    assert changes_of(["batch_size=8", "learning_rate=2e-3", "parity=true", "mixing=none"]) == {
        "batch_size": 8, "learning_rate": 0.002, "parity": True, "mixing": "none",
    }  # fmt: skip
