"""Watching a run's figures while it goes on: jumps in level, slow drifts, spikes."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bitlm.session.events import EventKind, StepEvent
from bitlm.telemetry import Drift, Move, PageHinkley, SpikeDetector, detect_metric_drift

LEVELS = ("K", "C", "S")
"""What the level rule watches."""

SPIKES = ("loss", "gradient_norm")
"""What must not jump far above its recent level in a single step."""


@dataclass(frozen=True)
class Watched:
    """How a metric is watched for a lasting move.

    Attributes:
        block: Values averaged; 1 where each is a look of its own, many steps after the last.
        is_worse: Whether a move is one to tell of; learning moves most metrics the other way.
    """

    block: int
    is_worse: Callable[[Move], bool]


def _rose(move: Move) -> bool:
    return move.after > move.before


def _fell(move: Move) -> bool:
    return move.after < move.before


WATCHED = {
    "loss": Watched(20, _rose),
    "K": Watched(20, _fell),
    "validation_bits_per_byte": Watched(1, _rose),
    "C": Watched(1, lambda _: True),
    "S": Watched(1, _fell),
}


@dataclass(frozen=True)
class Alert:
    """Something about a run that somebody should look at.

    Attributes:
        kind: Of its event.
        payload: What its event says; `since` is the last step that was as before.
    """

    kind: EventKind
    payload: dict[str, Any]


class DriftMonitor:
    """Feeds a run's figures to the detectors and stays quiet where a change is expected.

    A window of steps after the start and after every known intervention is ignored; so is the
    history before it. An alert is treated like one, so that one cause is one alert: the first that shows it.
    """

    def __init__(self, *, window: int = 100) -> None:
        self._window = window
        self._quiet_until = window
        self._history = {metric: deque[float](maxlen=2 * window) for metric in LEVELS}
        self._moves = {metric: PageHinkley(block=watched.block) for metric, watched in WATCHED.items()}
        self._spikes = {metric: SpikeDetector(window=window) for metric in SPIKES}

    def expect_change(self, step: int) -> None:
        """Ignore what comes before `step` and for one window after it."""
        self._quiet_until = step + self._window
        for metric in LEVELS:
            self._history[metric].clear()
        for moves in self._moves.values():
            moves.forget()
        for spikes in self._spikes.values():
            spikes.forget()

    def observe(self, event: StepEvent) -> Alert | None:
        """Take in one step and return what it shows to be wrong."""
        if event.step <= self._quiet_until:
            return None
        alerts = [*self._spiked(event), *self._moved(event), *self._jumped(event)]
        if not alerts:
            return None
        self.expect_change(event.step)
        return alerts[0]

    def _spiked(self, event: StepEvent) -> Iterator[Alert]:
        for metric, detector in self._spikes.items():
            spike = detector.observe(getattr(event, metric))
            if spike is not None:
                yield Alert("spike_alert", {"metric": metric, **vars(spike), "since": event.step - 1})

    def _moved(self, event: StepEvent) -> Iterator[Alert]:
        for metric, detector in self._moves.items():
            value = getattr(event, metric)
            move = None if value is None else detector.observe(value, event.step)
            if move is not None and WATCHED[metric].is_worse(move):
                yield Alert("drift_alert", {"metric": metric, "rule": "page_hinkley", **vars(move)})

    def _jumped(self, event: StepEvent) -> Iterator[Alert]:
        for metric, values in self._history.items():
            value = getattr(event, metric)
            if value is not None:
                values.append(value)
        histories = {metric: list(values) for metric, values in self._history.items()}
        for drift in detect_metric_drift(histories, self._window):
            yield self._level_alert(drift, event.step)

    def _level_alert(self, drift: Drift, step: int) -> Alert:
        since = max(0, step - self._window)
        return Alert("drift_alert", {"metric": drift.metric, "rule": "level", **vars(drift), "since": since})
