import pytest

from bitlm.errors import MetricDriftWarning
from bitlm.session.drift_monitor import DriftMonitor
from bitlm.session.events import StepEvent


def at(step: int, K: float) -> StepEvent:
    return StepEvent(
        step=step, at=0.0, elapsed_s=0.0, bytes_seen=0, loss=0.5, bits_per_byte=5.8, K=K, gradient_norm=1.0,
        learning_rate=1e-3, bytes_per_s=1.0,
    )  # fmt: skip


def run(monitor: DriftMonitor, values: list[float], first_step: int = 1) -> list[int]:
    alerts: list[int] = []
    for step, value in enumerate(values, first_step):
        alerts.extend(step for _ in monitor.observe(at(step, value)))
    return alerts


def test_a_lasting_shift_is_one_alert() -> None:
    with pytest.warns(MetricDriftWarning, match="K"):
        alerts = run(DriftMonitor(window=10), [0.5] * 20 + [0.9] * 40)
    assert len(alerts) == 1
    assert 20 < alerts[0] <= 30


def test_what_is_learned_at_the_start_is_no_drift() -> None:
    assert run(DriftMonitor(window=10), [0.0] * 10 + [0.5] * 30) == []


def test_a_steady_metric_never_alerts() -> None:
    assert run(DriftMonitor(window=10), [0.5, 0.6] * 100) == []


def test_the_window_after_a_known_change_is_ignored() -> None:
    monitor = DriftMonitor(window=10)
    assert run(monitor, [0.5] * 20) == []
    monitor.expect_change(20)
    assert run(monitor, [0.9] * 60, first_step=21) == []
