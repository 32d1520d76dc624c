from dataclasses import astuple, replace
from typing import Any

import pytest

from bitlm.distillation import least_parameters, student_shapes
from bitlm.errors import ConfigError
from bitlm.session import preset

BASE = preset("base")[0]


def sizes(target_share: float, max_rounds: int) -> list[tuple[int, int, int]]:
    shapes = student_shapes(BASE, int(target_share * BASE.parameter_count), max_rounds, 1.5)
    return [(shape.num_layers, shape.dim_feedforward, shape.ngram_slots) for shape in shapes]


def test_students_get_deeper_and_in_the_end_once_wider() -> None:
    assert sizes(0.4, 1) == [(2, 512, 1024)]
    assert sizes(0.4, 2) == [(1, 512, 1024), (2, 512, 1024)]
    assert sizes(0.4, 3) == [(1, 341, 1024), (2, 341, 1024), (2, 512, 1024)]
    assert sizes(0.4, 9) == sizes(0.4, 3), "no fewer than one layer"


@pytest.mark.parametrize("share", [0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.09])
def test_no_student_has_more_weights_than_it_may(share: float) -> None:
    shapes = student_shapes(BASE, int(share * BASE.parameter_count), 4, 1.5)
    counts = [shape.parameter_count for shape in shapes]
    assert counts == sorted(counts)
    assert counts[-1] <= share * BASE.parameter_count
    assert {shape.channels_per_head for shape in shapes} == {BASE.channels_per_head}
    least: dict[str, Any] = {
        "num_layers": 1,
        "nhead": 1,
        "head_width": 64,
        "dim_feedforward": 1,
        "ngram_slots": 2,
    }
    assert {astuple(replace(shape, **least)) for shape in shapes} == {astuple(replace(BASE, **least))}


def heads_and_channels(target_share: float, heads: int | None = None) -> tuple[int, int, int]:
    shape = student_shapes(BASE, int(target_share * BASE.parameter_count), 1, 1.5, heads=heads)[0]
    return shape.num_layers, shape.nhead, shape.dim_feedforward


def test_heads_go_before_mlps_become_too_narrow_beside_them() -> None:
    assert heads_and_channels(0.4) == heads_and_channels(0.4, heads=2) == (2, 2, 512)
    assert heads_and_channels(0.35) == (2, 2, 376)
    assert heads_and_channels(0.3, heads=2) == (2, 2, 189), "which is less than 1.5 times 128"
    assert heads_and_channels(0.3) == (2, 1, 189 + 128), "two channels for one of attention"
    assert heads_and_channels(0.07) == (1, 1, 28), "no student is so small with two"
    narrow = replace(BASE, ngram_order=1, dim_feedforward=64)
    assert student_shapes(narrow, narrow.parameter_count, 1, 1.5)[0].nhead == 2, "no channel was cut"


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r"target_params=1000: use at least") as refusal:
        student_shapes(BASE, 1000, 1, 1.5)
    least = int(str(refusal.value).split("at least ")[1].strip(".").replace(",", ""))
    assert student_shapes(BASE, least, 1, 1.5)[0].parameter_count == least
    with pytest.raises(ConfigError, match=r"use at least") as refusal:
        student_shapes(BASE, least, 1, 1.5, heads=2)
    assert f"{least_parameters(BASE, 2):,}" in str(refusal.value)
    for heads in (0, 3):
        with pytest.raises(ConfigError, match=f"heads={heads}: use a whole number from 1 to 2"):
            student_shapes(BASE, 10**6, 1, 1.5, heads=heads)
    with pytest.raises(ConfigError, match="max_rounds"):
        student_shapes(BASE, 10**6, 0, 1.5)
    with pytest.raises(ConfigError, match="width_scale"):
        student_shapes(BASE, 10**6, 3, 0.9)
