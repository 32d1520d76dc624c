"""A run's weights and state on the disk: safetensors and a manifest with their hashes."""

import json
import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from bitlm.errors import CheckpointError
from bitlm.session.durability import write_folder_durably

KEPT = 2
"""Checkpoints of a run that stay on the disk, the newest ones."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a session needs beside its configuration to go on from a step.

    Attributes:
        weights: The model's parameters by name.
        optimizer: The optimizer's state by name.
        state: The session's own state, as plain JSON: step, bytes_seen, telemetry, annealing, …
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def folder_of(run_dir: Path, step: int) -> Path:
    """Return where the checkpoint of that step lies."""
    return run_dir / "checkpoints" / f"{step:010d}"


def save_checkpoint(run_dir: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint durably, then drop all but the newest `KEPT`; return its folder."""
    files = {
        "weights.safetensors": save(checkpoint.weights),
        "optimizer.safetensors": save(checkpoint.optimizer),
    }
    manifest = {
        "state": checkpoint.state,
        "sha256": {name: sha256(data).hexdigest() for name, data in files.items()},
    }
    folder = folder_of(run_dir, checkpoint.state["step"])
    write_folder_durably(folder, {**files, "manifest.json": json.dumps(manifest, indent=2).encode()})
    for old in _folders(run_dir)[:-KEPT]:
        shutil.rmtree(old)
    return folder


def load_newest_checkpoint(run_dir: Path) -> Checkpoint:
    """Return the newest checkpoint, verified against its hashes.

    Raises:
        CheckpointError: There is none, or its files are not what was written.
    """
    folders = _folders(run_dir)
    if not folders:
        raise CheckpointError(f"there is no checkpoint in {run_dir}; train the run first.")
    manifest = _manifest(folders[-1])
    weights, optimizer = (
        _verified(folders[-1] / name, digest) for name, digest in manifest["sha256"].items()
    )
    return Checkpoint(load(weights), load(optimizer), manifest["state"])


def _folders(run_dir: Path) -> list[Path]:
    return sorted(path for path in (run_dir / "checkpoints").glob("*") if re.fullmatch(r"\d{10}", path.name))


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the manifest of checkpoint {folder} cannot be read ({error}).") from error
    return manifest


def _verified(path: Path, digest: str) -> bytes:
    data = path.read_bytes() if path.exists() else b""
    if sha256(data).hexdigest() != digest:
        raise CheckpointError(f"{path} is missing or damaged: its SHA-256 is not the one in the manifest.")
    return data
