import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.errors import ConfigError
from bitlm.growth import GROWTHS, Growth, GrowthSchedule, grown_config, training_memory
from bitlm.model import ModelConfig

SMALL = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)
THREE = GrowthSchedule(improve_thresh=0.01, validations=3)


@pytest.mark.parametrize(
    ("figures", "due"),
    [
        ([], False),
        ([2.0, 2.0, 2.0], False),  # two improvements, and three are asked for
        ([2.0, 2.0, 2.0, 2.0], True),
        ([2.0, 1.99, 1.98, 1.96], False),  # 0.0133 at a time
        ([2.0, 1.99, 1.99, 1.98], True),  # 0.0067
        ([3.0, 2.0, 1.999, 1.998, 1.997], True),  # what was before does not count
        ([2.0, 2.1, 2.2, 2.3], True),  # worse is no improvement
        ([2.0, 2.0, math.nan, 2.0], False),
        ([math.inf, 2.0, 2.0, 2.0], False),
    ],
)
def test_growth_is_due_when_the_mean_of_the_last_improvements_is_small(
    figures: list[float], *, due: bool
) -> None:
    assert THREE.is_due(figures) == due


@given(st.lists(st.floats(0.5, 8), min_size=4, max_size=9))
def test_the_mean_of_single_improvements_decides(figures: list[float]) -> None:
    pairs = list(zip(figures[-4:], figures[-3:], strict=False))
    mean = sum(before - after for before, after in pairs) / 3
    assert THREE.is_due(figures) == (mean < 0.01) or abs(mean - 0.01) < 1e-9


def test_growths_take_turns() -> None:
    growth, turns = None, []
    for _ in range(4):
        growth = THREE.next_growth(SMALL, growth)
        turns.append(growth)
    assert turns == ["layer", "width", "context", "layer"]


def test_what_there_is_no_room_for_is_passed_over() -> None:
    wider = training_memory(grown_config(SMALL, "width")).total
    narrow = GrowthSchedule(most_bytes=wider - 1)
    assert narrow.next_growth(SMALL, "layer") == "context"
    assert GrowthSchedule(most_bytes=wider).next_growth(SMALL, "layer") == "width"
    full = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=2**18)
    assert narrow.next_growth(full, "layer") == "layer"
    assert GrowthSchedule(most_bytes=1).next_growth(SMALL) is None
    window = SMALL.window_bytes
    assert GrowthSchedule(most_window_bytes=2 * window).next_growth(SMALL, "width") == "context"
    assert GrowthSchedule(most_window_bytes=2 * window - 1).next_growth(SMALL, "width") == "layer"


@pytest.mark.parametrize("previous", [None, *GROWTHS])
def test_beyond_a_settings_range_there_is_no_growth(previous: Growth | None) -> None:
    largest = ModelConfig(d_model=16, nhead=2, num_layers=1024, dim_feedforward=16384, max_seq_len=2**18)
    assert GrowthSchedule().next_growth(largest, previous) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"improve_thresh": -0.1}, "improve_thresh=-0.1: use a number of at least 0"),
        ({"improve_thresh": math.nan}, "improve_thresh=nan: use a number"),
        ({"validations": 0}, "validations=0: use a whole number of at least 1"),
        ({"validations": True}, "validations=True: use a whole number"),
        ({"most_bytes": 0}, "most_bytes=0: use a whole number of at least 1"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_fix(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GrowthSchedule(**settings)
