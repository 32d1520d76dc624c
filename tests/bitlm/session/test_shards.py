"""Checkpoints whose tensors lie in several files."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor

from bitlm.errors import CheckpointError
from bitlm.session.checkpoint import (
    MANIFEST,
    Checkpoint,
    encode_checkpoint,
    file_sha256,
    read_checkpoint,
    read_files,
    state_hashes,
)
from bitlm.session.durability import unobserved
from bitlm.session.shards import ShardedSnapshot
from bitlm.session.stored_tensors import StoredTensors

STATE = {"step": 7}
WHOLE = Checkpoint(
    weights={"head": torch.randn(5, 3), "bias": torch.randn(1)},
    optimizer={"0.momentum": torch.randn(5, 3), "0.step": torch.tensor(7.0)},
    state=STATE,
)


def dealt_out(folder: Path, tensors: dict[str, Tensor], processes: int) -> list[Path]:
    """Write the rows of tensors to a file for each of some processes; single numbers are the first's."""
    paths = [folder / f"shard-{rank}.safetensors" for rank in range(processes)]
    for rank, path in enumerate(paths):
        own = {}
        for name, tensor in tensors.items():
            rows = tensor.tensor_split(processes)[rank].contiguous() if tensor.dim() else tensor
            if tensor.dim() or rank == 0:
                own[name] = rows
        save_file(own, path)
    return paths


@pytest.fixture
def sharded(tmp_path: Path) -> tuple[Path, str]:
    """The folder of a checkpoint in shards, and its manifest's hash."""

    def write_shards(folder: Path) -> list[str]:
        tensors = {
            prefix + name: tensor
            for prefix, part in (("weights.", WHOLE.weights), ("optimizer.", WHOLE.optimizer))
            for name, tensor in part.items()
        }
        return [path.name for path in dealt_out(folder, tensors, 3)]

    written = ShardedSnapshot(STATE, write_shards).write(tmp_path, unobserved)
    hashes = state_hashes(WHOLE)
    assert (written.weights_sha256, written.optimizer_sha256) == (hashes.weights, hashes.optimizer)
    assert written.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    return tmp_path, written.manifest_sha256


shapes = st.lists(st.integers(0, 5), max_size=3)


@given(st.lists(shapes, max_size=5), st.integers(1, 4))
def test_the_hash_is_that_of_the_file_which_safetensors_makes_of_all(
    shapes: list[list[int]], processes: int
) -> None:
    tensors = {f"{'layer.' * (at % 2)}{at}": torch.randn(shape) for at, shape in enumerate(shapes)}
    with TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        whole.write_bytes(save(tensors))
        paths = dealt_out(
            Path(folder), {f"our.{name}": tensor for name, tensor in tensors.items()}, processes
        )
        stored = StoredTensors(paths, "our.")
        assert stored.sha256() == StoredTensors([whole], "").sha256() == file_sha256(whole)
        assert stored.keys() == tensors.keys()
        assert all(torch.equal(stored[name], tensor) for name, tensor in tensors.items())


def test_it_is_recorded_and_read_as_one_of_a_single_process_is(sharded: tuple[Path, str]) -> None:
    read = read_checkpoint(*sharded)
    assert state_hashes(read) == state_hashes(WHOLE)
    assert read.state == STATE
    assert read_files(*sharded) == encode_checkpoint(WHOLE)


@pytest.mark.parametrize("read", [read_checkpoint, read_files])
@pytest.mark.parametrize("name", ["shard-1.safetensors", MANIFEST])
def test_a_bit_that_was_turned_over_is_found_and_named(
    sharded: tuple[Path, str], name: str, read: Callable[[Path, str], object]
) -> None:
    folder, digest = sharded
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"/{name} is damaged"):
        read(folder, digest)


def test_a_file_that_is_missing_is_named(sharded: tuple[Path, str]) -> None:
    folder, digest = sharded
    (folder / "shard-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"/shard-2.safetensors cannot be read \(No such file"):
        read_checkpoint(folder, digest)
