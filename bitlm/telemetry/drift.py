"""The level rule for drift: two neighbouring windows with different means."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bitlm.errors import ConfigError, MetricDriftWarning


@dataclass(frozen=True)
class Drift:
    """A metric's mean moved.

    Attributes:
        metric: Its name.
        before: The mean of the window before the last.
        after: The mean of the last window.
    """

    metric: str
    before: float
    after: float


def detect_metric_drift(
    history: Mapping[str, Sequence[float]], window: int = 100, threshold: float = 0.2
) -> list[Drift]:
    """Return the metrics whose mean moved by more than `threshold` between the last two windows.

    Each is also warned of with a `MetricDriftWarning`. A metric with fewer than two windows of values has not
    drifted. The rule sees a jump in level; a slow ramp or a jump smaller than `threshold` passes unseen.

    Args:
        history: The values of each metric, oldest first.
        window: Values a mean is taken over.
        threshold: In the metric's own unit; a difference of exactly this much is no drift.

    Raises:
        ConfigError: `window` is below 1 or `threshold` below 0.
    """
    if window < 1:
        raise ConfigError("window", window, "must be at least 1 value.")
    if not threshold >= 0:
        raise ConfigError("threshold", threshold, "must be 0 or more.")
    drifts = []
    for metric, values in history.items():
        drift = _drift(metric, values[-2 * window :], window)
        if drift is not None and abs(drift.after - drift.before) > threshold:
            drifts.append(drift)
            warnings.warn(_message(drift, window, threshold), stacklevel=2)
    return drifts


def _drift(metric: str, values: Sequence[float], window: int) -> Drift | None:
    if len(values) < 2 * window:
        return None
    return Drift(metric, before=fmean(values[:window]), after=fmean(values[window:]))


def _message(drift: Drift, window: int, threshold: float) -> MetricDriftWarning:
    return MetricDriftWarning(
        f"{drift.metric} moved from {drift.before:.3g} to {drift.after:.3g} between two windows of {window} "
        f"values, more than {threshold:g}; look at what changed in that time."
    )
