"""A run's weights and state on the disk: safetensors and a manifest with their hashes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bitlm.errors import CheckpointError

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"

WAY_OUT = "use another checkpoint of the run."


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


@dataclass(frozen=True)
class StateHashes:
    """SHA-256 of the serialized weights and optimizer state: equal when every bit is."""

    weights: str
    optimizer: str


def state_hashes(checkpoint: Checkpoint) -> StateHashes:
    """Return what the files of this checkpoint would hash to."""
    return StateHashes(
        sha256(save(checkpoint.weights)).hexdigest(), sha256(save(checkpoint.optimizer)).hexdigest()
    )


def encode_checkpoint(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the files of a checkpoint by name, the manifest last."""
    files = {WEIGHTS: save(checkpoint.weights), OPTIMIZER: save(checkpoint.optimizer)}
    manifest = {
        "state": checkpoint.state,
        "sha256": {name: sha256(data).hexdigest() for name, data in files.items()},
    }
    return {**files, MANIFEST: json.dumps(manifest, indent=2).encode()}


def decode_checkpoint(files: Mapping[str, bytes]) -> Checkpoint:
    """Return the checkpoint that `encode_checkpoint` made these files of."""
    state = json.loads(files[MANIFEST])["state"]
    return Checkpoint(load(files[WEIGHTS]), load(files[OPTIMIZER]), state)


def read_files(folder: Path, manifest_sha256: str) -> dict[str, bytes]:
    """Return a checkpoint's files by name, every byte of which is what was written.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    manifest = _verified(folder / MANIFEST, manifest_sha256)
    hashes = json.loads(manifest)["sha256"]
    files = {name: _verified(folder / name, hashes[name]) for name in (WEIGHTS, OPTIMIZER)}
    return {**files, MANIFEST: manifest}


def read_checkpoint(folder: Path, manifest_sha256: str) -> Checkpoint:
    """Return a checkpoint, every byte of which is what was written.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    files = read_files(folder, manifest_sha256)
    try:
        return decode_checkpoint(files)
    except SafetensorError as error:
        raise CheckpointError(f"{folder.name} cannot be read ({error}); {WAY_OUT}") from error


def read_state(folder: Path, manifest_sha256: str) -> dict[str, Any]:
    """Return a checkpoint's state without its tensors.

    Raises:
        CheckpointError: The manifest is missing or damaged.
    """
    state: dict[str, Any] = json.loads(_verified(folder / MANIFEST, manifest_sha256))["state"]
    return state


def _verified(path: Path, digest: str) -> bytes:
    place = f"{path.parent.name}/{path.name}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{place} cannot be read ({error.strerror}); {WAY_OUT}") from error
    if sha256(data).hexdigest() != digest:
        raise CheckpointError(f"{place} is damaged: its SHA-256 is not the one that was recorded; {WAY_OUT}")
    return data
