"""A run's weights and state on the disk: safetensors and a manifest with their hashes."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bitlm.errors import CheckpointError
from bitlm.session.durability import Reached, write_and_sync
from bitlm.session.stored_tensors import StoredTensors

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
IN_SHARDS = ("weights.", "optimizer.")
"""Begins the names in the files of a checkpoint in shards, which have both."""

WAY_OUT = "use another checkpoint of the run."


@dataclass(frozen=True)
class Written:
    """What is recorded of a checkpoint's files.

    Attributes:
        weights_sha256: Of `weights.safetensors` as one process writes it, whatever files there are.
        optimizer_sha256: The same of `optimizer.safetensors`.
        bytes: Size of all files.
    """

    manifest_sha256: str
    weights_sha256: str
    optimizer_sha256: str
    bytes: int


class Snapshot(ABC):
    """What can be written as a checkpoint.

    Attributes:
        state: As a checkpoint's.
    """

    state: dict[str, Any]

    @abstractmethod
    def write(self, folder: Path, reached: Reached) -> Written:
        """Write the files of a checkpoint to an empty folder, each durably."""


@dataclass(frozen=True)
class Checkpoint(Snapshot):
    """All that a session needs beside its configuration to go on from a step.

    Attributes:
        weights: The model's parameters by name.
        optimizer: The optimizer's state by name.
        state: The session's own state, as plain JSON: step, bytes_seen, telemetry, annealing, …
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: dict[str, Any]

    def write(self, folder: Path, reached: Reached) -> Written:
        """As a snapshot's: weights, optimizer state and manifest, a file each."""
        files = encode_checkpoint(self)
        for name, data in files.items():
            write_and_sync(folder / name, data)
            reached(f"{name} written")
        return written_of(files)


@dataclass(frozen=True)
class StateHashes:
    """SHA-256 of the serialized weights and optimizer state: equal when every bit is."""

    weights: str
    optimizer: str


def state_hashes(checkpoint: Checkpoint) -> StateHashes:
    """Return what the files of this checkpoint would hash to."""
    return StateHashes(
        sha256(save(dict(checkpoint.weights))).hexdigest(),
        sha256(save(dict(checkpoint.optimizer))).hexdigest(),
    )


def encode_checkpoint(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the files of a checkpoint by name, the manifest last."""
    files = {WEIGHTS: save(dict(checkpoint.weights)), OPTIMIZER: save(dict(checkpoint.optimizer))}
    manifest = {
        "state": checkpoint.state,
        "sha256": {name: sha256(data).hexdigest() for name, data in files.items()},
    }
    return {**files, MANIFEST: json.dumps(manifest, indent=2).encode()}


def written_of(files: Mapping[str, bytes]) -> Written:
    """Return what is recorded of the files that `encode_checkpoint` makes."""
    manifest, weights, optimizer = (
        sha256(files[name]).hexdigest() for name in (MANIFEST, WEIGHTS, OPTIMIZER)
    )
    return Written(manifest, weights, optimizer, sum(map(len, files.values())))


def decode_checkpoint(files: Mapping[str, bytes]) -> Checkpoint:
    """Return the checkpoint that `encode_checkpoint` made these files of."""
    state = json.loads(files[MANIFEST])["state"]
    return Checkpoint(load(files[WEIGHTS]), load(files[OPTIMIZER]), state)


def read_files(folder: Path, manifest_sha256: str) -> dict[str, bytes]:
    """Return a checkpoint's files by name, every byte of which is what was written.

    Those of one in shards are the files that one process would have written.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    manifest = _verified(folder / MANIFEST, manifest_sha256)
    hashes = json.loads(manifest)["sha256"]
    if WEIGHTS not in hashes:
        return encode_checkpoint(read_checkpoint(folder, manifest_sha256))
    files = {name: _verified(folder / name, hashes[name]) for name in (WEIGHTS, OPTIMIZER)}
    return {**files, MANIFEST: manifest}


def read_checkpoint(folder: Path, manifest_sha256: str) -> Checkpoint:
    """Return a checkpoint, every byte of which is what was written.

    The tensors of one in shards are read, and made whole, one by one when they are asked for.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    manifest = json.loads(_verified(folder / MANIFEST, manifest_sha256))
    try:
        if WEIGHTS in manifest["sha256"]:
            return decode_checkpoint(read_files(folder, manifest_sha256))
        for name, digest in manifest["sha256"].items():
            _verify(folder / name, digest)
        return Checkpoint(*sharded([folder / name for name in manifest["sha256"]]), manifest["state"])
    except SafetensorError as error:
        raise CheckpointError(f"{folder.name} cannot be read ({error}); {WAY_OUT}") from error


def read_state(folder: Path, manifest_sha256: str) -> dict[str, Any]:
    """Return a checkpoint's state without its tensors.

    Raises:
        CheckpointError: The manifest is missing or damaged.
    """
    state: dict[str, Any] = json.loads(_verified(folder / MANIFEST, manifest_sha256))["state"]
    return state


def sharded(paths: Sequence[Path]) -> tuple[StoredTensors, StoredTensors]:
    """Return weights and optimizer state that lie in these files, in the order of the rows in them."""
    weights, optimizer = (StoredTensors(paths, prefix) for prefix in IN_SHARDS)
    return weights, optimizer


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256, hex, without holding the file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _verified(path: Path, digest: str) -> bytes:
    with _named(path):
        data = path.read_bytes()
    _require(path, sha256(data).hexdigest(), digest)
    return data


def _verify(path: Path, digest: str) -> None:
    with _named(path):
        found = file_sha256(path)
    _require(path, found, digest)


def _require(path: Path, found: str, digest: str) -> None:
    if found != digest:
        place = f"{path.parent.name}/{path.name}"
        raise CheckpointError(f"{place} is damaged: its SHA-256 is not the one that was recorded; {WAY_OUT}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file of a checkpoint cannot be read, if one cannot."""
    try:
        yield
    except OSError as error:
        place = f"{path.parent.name}/{path.name}"
        raise CheckpointError(f"{place} cannot be read ({error.strerror}); {WAY_OUT}") from error
