"""Where a benchmark's figures are kept: one dated JSON file, with the machine and the code they came from."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.closure import code_in_force
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"


def keep(folder: Path, benchmark: str, *, by: str, **figures: Any) -> None:
    """Write what was measured to the folder, under the benchmark's name and today's date, and say so.

    Args:
        folder: Where results are kept.
        benchmark: Name of the results.
        by: The benchmark's own `__file__`, for the hash of its code.
        figures: What was measured.
    """
    now = datetime.now(UTC)
    record = {
        "benchmark": benchmark,
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "code": code_in_force(by),
        **figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%d}-{benchmark}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"written to {path}")
