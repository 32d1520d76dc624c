"""Watching K, C and S for drift while a run goes on."""

from collections import deque

from bitlm.session.events import StepEvent
from bitlm.telemetry import Drift, detect_metric_drift

WATCHED = ("K", "C", "S")


class DriftMonitor:
    """Feeds the level rule of `detect_metric_drift` and stays quiet where a change is expected.

    A window of steps after the start and after every known intervention is ignored; so is the
    history before it. After an alert the history starts anew, so that one drift is one alert.
    """

    def __init__(self, *, window: int = 100) -> None:
        self._window = window
        self._quiet_until = window
        self._history = {metric: deque[float](maxlen=2 * window) for metric in WATCHED}

    def expect_change(self, step: int) -> None:
        """Ignore what comes before `step` and for one window after it."""
        self._quiet_until = step + self._window
        self._forget()

    def observe(self, event: StepEvent) -> list[Drift]:
        """Take in one step and return the drifts it completes."""
        if event.step <= self._quiet_until:
            return []
        for metric, values in self._history.items():
            value = getattr(event, metric)
            if value is not None:
                values.append(value)
        drifts = detect_metric_drift(
            {name: list(values) for name, values in self._history.items()}, self._window
        )
        if drifts:
            self._forget()
        return drifts

    def _forget(self) -> None:
        for values in self._history.values():
            values.clear()
