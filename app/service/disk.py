"""Watching the room on the disk: warn early, stop before it is full, go on once there is room again."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

DiskState = Literal["ok", "low", "full"]


@dataclass(frozen=True)
class DiskLimits:
    """Free bytes below which to warn, and below which to pause training."""

    warn_bytes: int = 2**30
    pause_bytes: int = 2**27


DEFAULT_LIMITS = DiskLimits()


class DiskReport(BaseModel):
    """The room that is left where the runs are.

    Attributes:
        state: "low" below the limit to warn, "full" below the limit to pause or once a write failed.
    """

    model_config = ConfigDict(frozen=True)

    free_bytes: int
    state: DiskState


class DiskGuard:
    """Says how much room there is in `folder`."""

    def __init__(self, folder: Path, limits: DiskLimits) -> None:
        self._folder = folder
        self._limits = limits

    def look(self) -> DiskReport:
        """Return the room there is now."""
        free = shutil.disk_usage(self._folder).free
        if free < self._limits.pause_bytes:
            return DiskReport(free_bytes=free, state="full")
        return DiskReport(free_bytes=free, state="low" if free < self._limits.warn_bytes else "ok")
