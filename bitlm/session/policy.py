"""When a run is saved by itself, and how runs are called."""

from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a run is saved by itself, beside every `checkpoint_interval` steps, and what is kept.

    Attributes:
        interval_s: Longest time between two checkpoints while steps go on, in seconds.
        keep: How many of the newest stay; the best, the first and the named ones stay as well.
    """

    interval_s: float = 120.0
    keep: int = 3


DEFAULT_POLICY = CheckpointPolicy()


def new_run_id(created_at: float) -> str:
    """Return a name for a run made at that time."""
    return f"{datetime.fromtimestamp(created_at, UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"
