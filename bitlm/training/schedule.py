"""The learning rate: warm-up, then constant until someone anneals.

An interactive run has no known end, so nothing decays by itself. `anneal` ends a run well: the
rate falls linearly to `FINAL_SHARE` of what it was.

Source: Hu et al., "MiniCPM", 2024 (warm-up, stable, decay).
"""

from dataclasses import dataclass

FINAL_SHARE = 0.01
"""What remains of the learning rate when annealing has finished."""


@dataclass(frozen=True)
class Annealing:
    """A decay that began at `start_step`, from `start_factor`, and takes `steps` steps."""

    start_step: int
    steps: int
    start_factor: float

    @property
    def end_step(self) -> int:
        """The first step whose rate no longer falls."""
        return self.start_step + self.steps

    def factor(self, step: int) -> float:
        """Return the share of the peak rate at `step`, from start_factor down to FINAL_SHARE of it."""
        progress = min(1.0, (step - self.start_step) / self.steps)
        return self.start_factor * (1.0 - progress * (1.0 - FINAL_SHARE))


def learning_rate_factor(step: int, warmup_steps: int, annealing: Annealing | None = None) -> float:
    """Return the share of the peak learning rate that the update after `step` steps uses, in (0, 1]."""
    if annealing is not None:
        return annealing.factor(step)
    return min(1.0, (step + 1) / max(1, warmup_steps))
