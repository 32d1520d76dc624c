"""When a run is saved by itself, and how runs are called."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex

from bitlm.errors import RunNotFoundError

RUN_ID = re.compile(r"[a-z0-9-]{1,64}")
"""What a run can be called by, in addresses and as a folder, from which it cannot lead away."""


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


def require_run_id(run_id: str) -> str:
    """Return `run_id`.

    Raises:
        RunNotFoundError: No run can have this id.
    """
    if RUN_ID.fullmatch(run_id) is None:
        raise RunNotFoundError(run_id)
    return run_id
