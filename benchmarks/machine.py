"""What the figures of a benchmark were measured on."""

import os
import platform
from pathlib import Path

import numpy as np
import torch


def machine() -> dict[str, str | int | None]:
    """Return the machine and the versions that decide a figure."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Return the processor's own name where the system tells it, with its widest vector unit."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
