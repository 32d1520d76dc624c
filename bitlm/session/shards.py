"""A checkpoint in shards: each process writes what it has of weights and optimizer state.

It is written by the commit protocol of any other, is read as any other, and records the same hashes: a state
is the same whatever files it lies in.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from bitlm.session.checkpoint import MANIFEST, OPTIMIZER, WEIGHTS, Snapshot, Written, file_sha256, sharded
from bitlm.session.durability import Reached, write_and_sync


@dataclass(frozen=True)
class ShardedSnapshot(Snapshot):
    """What several processes have, and write at once.

    Attributes:
        state: As a checkpoint's.
        write_shards: Has each write its file into a folder, durably; returns their names, in the order of
            the rows in them.
    """

    state: dict[str, Any]
    write_shards: Callable[[Path], list[str]]

    def write(self, folder: Path, reached: Reached) -> Written:
        """As a snapshot's."""
        paths = [folder / name for name in self.write_shards(folder)]
        reached("shards written")
        weights, optimizer = (tensors.sha256() for tensors in sharded(paths))
        manifest = {
            "state": self.state,
            "sha256": {path.name: file_sha256(path) for path in paths},
            "whole": {WEIGHTS: weights, OPTIMIZER: optimizer},
        }
        data = json.dumps(manifest, indent=2).encode()
        write_and_sync(folder / MANIFEST, data)
        reached(f"{MANIFEST} written")
        size = len(data) + sum(path.stat().st_size for path in paths)
        return Written(sha256(data).hexdigest(), weights, optimizer, size)
