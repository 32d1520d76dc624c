import numpy as np
import pytest

from bitlm.errors import MetricDriftWarning
from bitlm.session.drift_monitor import Alert, DriftMonitor
from bitlm.session.events import StepEvent

STEADY = StepEvent(
    step=0, at=0.0, elapsed_s=0.0, bytes_seen=0, loss=0.5, bits_per_byte=5.8, K=0.5, gradient_norm=1.0,
    learning_rate=1e-3, bytes_per_s=1.0,
)  # fmt: skip


def run(
    monitor: DriftMonitor, values: list[float], first_step: int = 1, metric: str = "K"
) -> list[tuple[int, Alert]]:
    alerts = []
    for step, value in enumerate(values, first_step):
        alert = monitor.observe(STEADY.model_copy(update={"step": step, metric: value}))
        if alert is not None:
            alerts.append((step, alert))
    return alerts


def noisy(level: float, count: int, *, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).normal(level, 0.02, count).tolist())


def test_a_lasting_shift_is_one_alert() -> None:
    with pytest.warns(MetricDriftWarning, match="K"):
        ((step, alert),) = run(DriftMonitor(window=10), [0.5] * 20 + [0.9] * 40)
    assert 20 < step <= 30
    assert (alert.kind, alert.payload["metric"], alert.payload["rule"]) == ("drift_alert", "K", "level")
    assert alert.payload["since"] == step - 10


def test_a_hundred_steps_are_a_window_unless_said_otherwise() -> None:
    """Two windows come after the hundred steps that are not looked at; 51 higher values move one by 0.204."""
    with pytest.warns(MetricDriftWarning, match="two windows of 100 values"):
        ((step, alert),) = run(DriftMonitor(), [9.0] * 100 + [0.5] * 200 + [0.9] * 60)
    assert (step, alert.payload["since"]) == (351, 251)
    assert (alert.payload["before"], alert.payload["after"]) == pytest.approx((0.5, 0.704))


def test_what_is_learned_at_the_start_is_no_drift() -> None:
    assert run(DriftMonitor(window=10), [0.0] * 10 + [0.5] * 30) == []


def test_a_steady_metric_never_alerts() -> None:
    assert run(DriftMonitor(window=10), [0.5, 0.6] * 100) == []


def test_the_window_after_a_known_change_is_ignored() -> None:
    monitor = DriftMonitor(window=10)
    assert run(monitor, [0.5] * 20) == []
    monitor.expect_change(20)
    assert run(monitor, [0.9] * 60, first_step=21) == []


def test_a_rise_of_the_loss_too_small_for_a_spike_is_a_drift_and_says_since_when() -> None:
    values = [*noisy(0.5, 600), *noisy(0.56, 200, seed=1)]
    ((step, alert),) = run(DriftMonitor(), values, metric="loss")
    assert alert.kind == "drift_alert"
    assert alert.payload["rule"] == "page_hinkley"
    assert alert.payload["metric"] == "loss"
    assert 600 <= alert.payload["since"] < step <= 700
    assert alert.payload["before"] == pytest.approx(0.5, abs=0.005)
    assert alert.payload["after"] == pytest.approx(0.56, abs=0.01)


def test_a_falling_loss_is_learning_and_so_is_a_rise_of_K() -> None:
    falling = [value + 0.4 / (1 + step / 200) for step, value in enumerate(noisy(0.3, 2000))]
    assert run(DriftMonitor(), falling, metric="loss") == []
    assert run(DriftMonitor(), [0.8 - value for value in falling], metric="K") == []


def test_a_single_step_far_above_is_a_spike_and_said_at_once() -> None:
    for metric in ("loss", "gradient_norm"):
        values = [*noisy(0.5, 300), 50.0, *noisy(0.5, 300, seed=1)]
        ((step, alert),) = run(DriftMonitor(), values, metric=metric)
        assert (step, alert.kind, alert.payload["metric"]) == (301, "spike_alert", metric)
        assert alert.payload["since"] == 300


@pytest.mark.parametrize(
    ("metric", "before", "after", "is_told"),
    [
        ("S", 0.8, 0.5, True),
        ("S", 0.5, 0.8, False),
        ("C", 0.9, 0.6, True),
        ("C", 0.6, 0.9, True),
        ("validation_bits_per_byte", 2.0, 2.3, True),
        ("validation_bits_per_byte", 2.3, 2.0, False),
    ],
)
def test_of_what_is_looked_at_now_and_then_each_look_counts(
    metric: str, before: float, after: float, *, is_told: bool
) -> None:
    values = [*noisy(before, 20), *noisy(after, 10, seed=1)]
    monitor, alerts = DriftMonitor(), []
    for look, value in enumerate(values, 3):
        alert = monitor.observe(STEADY.model_copy(update={"step": 50 * look, metric: value}))
        alerts += [alert] if alert is not None else []
    assert [alert.payload["metric"] for alert in alerts] == [metric] * is_told
    assert not is_told or alerts[0].payload["since"] in {50 * 21, 50 * 22, 50 * 23}


def test_two_figures_that_show_one_cause_are_one_alert() -> None:
    monitor, alerts = DriftMonitor(), []
    for step, (loss, other) in enumerate(zip(noisy(0.5, 900), noisy(0.5, 900, seed=1), strict=True), 1):
        shift = 0.1 * (step > 600)
        figures = {"step": step, "loss": loss + shift, "K": other - shift}
        alert = monitor.observe(STEADY.model_copy(update=figures))
        alerts += [alert] if alert is not None else []
    assert len(alerts) == 1
