import warnings
from statistics import fmean

import pytest

from bitlm.errors import ConfigError, MetricDriftWarning
from bitlm.telemetry import Drift, detect_metric_drift


def test_a_jump_between_the_last_two_windows_is_found_and_warned_of() -> None:
    history = {"K": [0.1] * 100 + [0.5] * 100, "S": [0.8] * 200}
    with pytest.warns(
        MetricDriftWarning, match=r"K moved from 0\.1 to 0\.5 between two windows of 100 values"
    ):
        drifts = detect_metric_drift(history)
    assert drifts == [Drift("K", before=fmean([0.1] * 100), after=0.5)]


def test_every_metric_that_drifted_is_warned_of() -> None:
    with pytest.warns(MetricDriftWarning) as caught:
        drifts = detect_metric_drift({"C": [0, 0, 1, 1], "S": [1, 1, 0, 0]}, window=2)
    assert [drift.metric for drift in drifts] == ["C", "S"]
    assert len(caught) == 2


def test_a_window_is_a_hundred_values_and_the_threshold_a_fifth_unless_said_otherwise() -> None:
    assert detect_metric_drift({"K": [0.0] * 100 + [0.2] * 100}) == []
    with pytest.warns(MetricDriftWarning, match=r"moved from 0 to 0\.21 .* more than 0\.2;"):
        assert detect_metric_drift({"K": [0.0] * 100 + [0.21] * 100}) == [
            Drift("K", 0.0, fmean([0.21] * 100))
        ]


def test_only_the_last_two_windows_count() -> None:
    assert detect_metric_drift({"K": [9.0] * 50 + [0.5] * 200}) == []


def test_a_difference_of_exactly_the_threshold_is_no_drift() -> None:
    assert detect_metric_drift({"K": [0.25] * 3 + [0.5] * 3}, window=3, threshold=0.25) == []


def test_fewer_than_two_windows_have_not_drifted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert detect_metric_drift({"K": [0.0] * 100 + [1.0] * 99, "C": []}) == []


def test_a_slow_ramp_passes_unseen_as_documented() -> None:
    ramp = [step / 1000 for step in range(1000)]
    assert all(detect_metric_drift({"K": ramp[:end]}) == [] for end in range(0, 1001, 50))


@pytest.mark.parametrize(
    ("setting", "value"), [("window", 0), ("threshold", -0.1), ("threshold", float("nan"))]
)
def test_settings_that_cannot_be_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{setting}="):
        detect_metric_drift({}, **{setting: value})  # type: ignore[arg-type]
