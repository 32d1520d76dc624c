"""Keeping what telemetry takes below its share of a run's time, by looking less often.

Only looks are thinned. The loss, K and the recording of a step come with every step, and nothing of what
is thinned here has a part in what a step computes.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, exp
from statistics import median
from typing import Any

FADING_S = 60.0
"""Seconds of stepping after which a step counts for 1/e in the measured shares."""

STEPS_KEPT, LOOKS_KEPT = 31, 3
"""How many of the last steps, and looks of a kind, the usual time of one is the median of."""

AIM = 0.65
"""Share of the budget that is planned for: what comes next may take longer than what came before, and K and
what a look leaves cold in the processor's caches are part of the update's time."""

LOOKS_SHARE = 1 / 3
"""Share of what is aimed at that looks get even where recording alone takes it all."""

ROOM = 1.25
"""How much further than needed an interval is stretched, so that it need not be stretched again soon."""


@dataclass(frozen=True)
class Thinning:
    """Looks come at other intervals from now on.

    Attributes:
        share: What telemetry would take of the run's time at the intervals up to now.
        budget: What it may take.
        intervals: Steps between two looks of each kind from now on.
    """

    share: float
    budget: float
    intervals: dict[str, int]

    @property
    def payload(self) -> dict[str, Any]:
        """What the event says of it."""
        return {"share": self.share, "budget": self.budget, **self.intervals}


class Governor:
    """Decides at which steps to look; told what everything took, it knows no clock.

    Attributes:
        stretch: How many times the interval asked for lies between two looks, at least.
        share: Of the budget that is for these looks, in (0, 1]; the rest is somebody else's.
    """

    def __init__(self, budget: float, intervals: Mapping[str, int]) -> None:
        """Begin with the intervals asked for.

        Args:
            budget: Share of the run's time that telemetry may take, in (0, 1]; 1 thins nothing.
            intervals: Steps between two looks, by the name of what is looked at.
        """
        self.stretch = 1
        self.share = 1.0
        self._budget = budget
        self._intervals = dict(intervals)
        self._looked_at = dict.fromkeys(intervals, 0)
        self._updates_s: deque[float] = deque(maxlen=STEPS_KEPT)
        self._looks_s: dict[str, deque[float]] = {name: deque(maxlen=LOOKS_KEPT) for name in intervals}
        self._time_s = self._telemetry_s = self._recording_s = 0.0

    def is_due(self, look: str, step: int) -> bool:
        """Whether to look after `step`: densely at first (steps 1, 2, 4, 8, …), then at every interval.

        Stretched ones end at a multiple of the interval asked for, `stretch` times it after the last look.
        """
        interval = self._intervals[look]
        if step < interval:
            return step & (step - 1) == 0
        waited = step // interval - self._looked_at[look] // interval
        return step % interval == 0 and waited >= self.stretch

    def note_look(self, look: str, step: int, seconds: float) -> None:
        """Take in what looking after `step` took."""
        self._looked_at[look] = step
        self._looks_s[look].append(max(0.0, seconds))

    def note_step(self, *, update_s: float, other_s: float, looks_s: float, recording_s: float) -> float:
        """Take in what a step took, in seconds, and return `share`.

        Args:
            update_s: Its update.
            other_s: What is no telemetry: estimates on held-out text.
            looks_s: Everything that was looked at.
            recording_s: Recording what was measured.

        Returns:
            Telemetry's share of the last minute or so of stepping, in [0, 1]: earlier steps fade.
        """
        update_s, other_s, looks_s, recording_s = (
            max(0.0, seconds) for seconds in (update_s, other_s, looks_s, recording_s)
        )
        total_s = update_s + other_s + looks_s + recording_s
        fade = exp(-total_s / FADING_S)
        self._time_s = fade * self._time_s + total_s
        self._telemetry_s = fade * self._telemetry_s + looks_s + recording_s
        self._recording_s = fade * self._recording_s + recording_s
        self._updates_s.append(update_s)
        return self._telemetry_s / self._time_s if self._time_s else 0.0

    def reconsider(self, step: int) -> Thinning | None:
        """Stretch the intervals, or shorten them again, where one ends; return what changed.

        They are shortened only when half of them would do, so that they do not go back and forth.
        """
        ends = any(step >= interval and self.is_due(look, step) for look, interval in self._intervals.items())
        if self._budget == 1 or not ends:
            return None
        before, needed = self.stretch, self._needed()
        roomy = max(1, ceil(ROOM * needed))
        if needed > before or 2 * roomy <= before:
            self.stretch = roomy
        if self.stretch == before:
            return None
        intervals = {name: interval * self.stretch for name, interval in self._intervals.items()}
        looks = self._looks_per_update() / before
        return Thinning(looks / (1 + looks) + self._recording_share(), self._budget, intervals)

    def _needed(self) -> float:
        """Return the least stretch at which looks and recording keep to what is aimed at."""
        aim = AIM * self.share * self._budget
        allowed = max(aim - self._recording_share(), LOOKS_SHARE * aim)
        return self._looks_per_update() * (1 - allowed) / allowed

    def _looks_per_update(self) -> float:
        """Return what looks at the intervals asked for take, in times of what updates take."""
        update_s = median(self._updates_s) if self._updates_s else 0.0
        if not update_s:
            return 0.0
        usual = {name: median(seconds) for name, seconds in self._looks_s.items() if seconds}
        return sum(seconds / self._intervals[name] for name, seconds in usual.items()) / update_s

    def _recording_share(self) -> float:
        return self._recording_s / self._time_s if self._time_s else 0.0
