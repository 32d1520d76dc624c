"""A student as files: its weights, its shape, and what it achieved."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from bitlm.distillation.collapse import Distilled

WEIGHTS, SHAPE, METRICS = "weights.safetensors", "model.json", "metrics.json"


def save_distilled_model(distilled: Distilled, folder: Path) -> None:
    """Write a student's weights, `model.json` with its settings, and `metrics.json`.

    `metrics.json` has C, S and bits per byte as achieved, the floors beside them, whether all are `met`, and
    the same figures of every round.

    Args:
        distilled: What `collapse_submodel` returned.
        folder: Made if it is not there; what it has of these names is written over.

    Raises:
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(distilled.student.state_dict(), folder / WEIGHTS)
    _write(folder / SHAPE, asdict(distilled.student.config))
    rounds = [
        {
            "num_layers": one.config.num_layers,
            "nhead": one.config.nhead,
            "dim_feedforward": one.config.dim_feedforward,
            "parameters": one.parameters,
            **asdict(one.achieved),
        }
        for one in distilled.rounds
    ]
    metrics = {**asdict(distilled.rounds[-1].achieved), "floors": asdict(distilled.floors)}
    _write(folder / METRICS, {**metrics, "met": distilled.met, "rounds": rounds})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
