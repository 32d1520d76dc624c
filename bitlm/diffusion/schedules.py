"""How much of a text is masked at each time between 0, when nothing is, and 1, when all is.

Which schedule is used changes what a sampler reveals when, and not what a text costs: a bound whose time runs
continuously is the same for all of them.

Source: Shi et al., "Simplified and Generalized Masked Diffusion for Discrete Data", NeurIPS 2024, table 4.
"""

from dataclasses import dataclass
from math import expm1, pi, sin
from typing import Protocol, runtime_checkable

from bitlm.errors import ConfigError

MOST_STEPS = 256


@runtime_checkable
class NoiseSchedule(Protocol):
    """A masked share for each time."""

    def masked(self, time: float) -> float:
        """Return the share masked at a time in [0, 1]: 0 at 0, 1 at 1, and rising between."""


@dataclass(frozen=True)
class Linear:
    """m(t) = t: every step reveals as much as any other."""

    def masked(self, time: float) -> float:
        """Return t."""
        return time


@dataclass(frozen=True)
class Cosine:
    """m(t) = sin(πt / 2): few are revealed at first, while little is known, and more and more later.

    Source: Chang et al., "MaskGIT", CVPR 2022 (there as the cosine of what is done).
    """

    def masked(self, time: float) -> float:
        """Return sin(πt / 2)."""
        return sin(pi / 2 * time)


@dataclass(frozen=True)
class Exponential:
    """m(t) = (e^(rt) - 1) / (e^r - 1): many are revealed at first, and fewer and fewer later.

    Attributes:
        rate: r, above 0; the higher, the more uneven.
    """

    rate: float = 3.0

    def masked(self, time: float) -> float:
        """Return (e^(rt) - 1) / (e^r - 1)."""
        return expm1(self.rate * time) / expm1(self.rate)


SCHEDULES: dict[str, NoiseSchedule] = {"linear": Linear(), "cosine": Cosine(), "exp": Exponential()}


def noise_schedule(name: str) -> NoiseSchedule:
    """Return the schedule of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SCHEDULES:
        raise ConfigError("schedule", name, f"use one of {', '.join(SCHEDULES)}.")
    return SCHEDULES[name]


def masked_shares(schedule: NoiseSchedule, steps: int) -> list[float]:
    """Return the share masked before each of so many steps, evenly spaced in time, and after the last: 1 … 0.

    Raises:
        ConfigError: There are too few steps, or too many.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise ConfigError("steps", steps, f"use a whole number from 1 to {MOST_STEPS}.")
    return [schedule.masked(1 - step / steps) for step in range(steps + 1)]
