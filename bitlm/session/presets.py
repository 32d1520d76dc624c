"""Sizes: named settings of model and training, read from config/presets.toml."""

import tomllib
from pathlib import Path
from typing import Any

from bitlm.errors import ConfigError
from bitlm.model import ModelConfig
from bitlm.training import TrainingConfig

PACKAGE = Path(__file__).parents[1]
HOME = PACKAGE if (PACKAGE / "config").is_dir() else PACKAGE.parent
"""The folder that holds `config`: the package once it is installed (setup.py), and the one around it in a
checkout."""
PRESETS_FILE = HOME / "config" / "presets.toml"
SIZES = ("tiny", "small", "base")
DEFAULT_SIZE = "small"


def preset(size: str, **changes: Any) -> tuple[ModelConfig, TrainingConfig]:
    """Return the settings of `size`, with any field of either changed by name.

    Raises:
        ConfigError: There is no such size, no such field, or a field has a wrong value or one that a run
            cannot have.
    """
    if size not in SIZES:
        raise ConfigError("size", size, f"use one of {', '.join(SIZES)}.")
    table = tomllib.loads(PRESETS_FILE.read_text())[size]
    model_fields, training_fields = ModelConfig.__dataclass_fields__, TrainingConfig.__dataclass_fields__
    for field, value in changes.items():
        if field not in model_fields and field not in training_fields:
            raise ConfigError.unknown(field, value, [*model_fields, *training_fields])
    model = table["model"] | {field: value for field, value in changes.items() if field in model_fields}
    if model.get("patch_bits") == 1:  # what a size has of these is meant for bytes
        without = {"ngram_order": 1, "recall": False}
        model |= {field: value for field, value in without.items() if field not in changes}
    if model.get("objective") == "diffusion":  # of a run: mixed, with nothing that is causal so far
        model["objective"] = "mixed"
        changes = {"causal_share": 0.0, **changes}
    training = table["training"] | {
        field: value for field, value in changes.items() if field in training_fields
    }
    shape = ModelConfig(**model)
    recipe = TrainingConfig(**training)
    if shape.objective == "mixed" and recipe.batch_size == 1:
        raise ConfigError("batch_size", 1, "use at least 2: a mixed step has causal and masked windows.")
    if shape.objective != "causal" and recipe.compress_prob > 0:
        fix = "use 0, or the objective 'causal': run lengths are learned from their beginning to their end."
        raise ConfigError("compress_prob", recipe.compress_prob, fix)
    return shape, recipe
