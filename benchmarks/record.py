"""Where a benchmark's figures are kept: one dated JSON file, with the machine they were measured on."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"


def keep(folder: Path, benchmark: str, **figures: Any) -> None:
    """Write what was measured to the folder, under the benchmark's name and today's date, and say so."""
    now = datetime.now(UTC)
    record = {
        "benchmark": benchmark,
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        **figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%d}-{benchmark}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"written to {path}")
