"""When a model is to grow, and which way: from its figures on held-out text alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from bitlm.errors import ConfigError
from bitlm.growth.growing import GROWTHS, Growth, grown_config
from bitlm.growth.memory import training_memory
from bitlm.model import ModelConfig

RATE_FACTOR = 2**-0.5
"""What learning rates are multiplied by at each growth (`adjust_learning_rate`)."""

WARMUP_STEPS = 100
"""Updates after a growth over which the rates rise again from 0."""

FROZEN_UPDATES = 5
"""Updates after a growth that move what is new alone (`only_new_weights`)."""


@dataclass(frozen=True)
class GrowthSchedule:
    """Grow when held-out text hardly improves any more: a layer, then the width, then the window, and again.

    Attributes:
        improve_thresh: In bits per byte, at least 0: below this mean improvement from one validation to the
            next it is time.
        validations: Improvements the mean is over, at least 1.
        most_bytes: Of what training holds (`training_memory`); None for any. A growth that would need more is
            passed over, and the next of the cycle takes its turn.
        most_window_bytes: Of a window, which has to fit into the text; None for any. Likewise.

    Raises:
        ConfigError: A setting is out of range.
    """

    improve_thresh: float = 0.01
    validations: int = 4
    most_bytes: int | None = None
    most_window_bytes: int | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.improve_thresh) and self.improve_thresh >= 0):
            raise ConfigError("improve_thresh", self.improve_thresh, "use a number of at least 0.")
        for field in ("validations", "most_bytes", "most_window_bytes"):
            value = getattr(self, field)
            if field != "validations" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(field, value, "use a whole number of at least 1.")

    def is_due(self, figures: Sequence[float]) -> bool:
        """Return whether the mean of the last improvements is below the threshold.

        Args:
            figures: Bits per byte of held-out text since the last growth, in order. With too few of them, or
                one that is not finite, nothing is due.
        """
        last = figures[-self.validations - 1 :]
        if len(last) <= self.validations or not all(map(isfinite, last)):
            return False
        return (last[0] - last[-1]) / self.validations < self.improve_thresh

    def next_growth(self, config: ModelConfig, previous: Growth | None = None) -> Growth | None:
        """Return the first growth after the previous one, in the cycle, that there is room for.

        Args:
            config: The shape now.
            previous: The last growth; None before the first.

        Returns:
            None where there is room for none.
        """
        first = 0 if previous is None else GROWTHS.index(previous) + 1
        for turn in range(len(GROWTHS)):
            growth = GROWTHS[(first + turn) % len(GROWTHS)]
            if self._has_room(config, growth):
                return growth
        return None

    def _has_room(self, config: ModelConfig, growth: Growth) -> bool:
        try:
            grown = grown_config(config, growth)
        except ConfigError:  # beyond a setting's range
            return False
        if self.most_window_bytes is not None and grown.window_bytes > self.most_window_bytes:
            return False
        return self.most_bytes is None or training_memory(grown).total <= self.most_bytes
