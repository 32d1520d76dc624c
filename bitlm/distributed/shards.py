"""Files of which each process writes one, with what it has of some tensors.

They are those of torch's distributed checkpoints (DCP) in safetensors, and its planner and writer make them.
What DCP's own `save` has beside is left out: there processes send each other their plans as pickles. Nobody
needs another's where no two have the same rows, and each file says which rows are in it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter


def write_shard(folder: Path, tensors: Mapping[str, Tensor], rank: int) -> str:
    """Write what this process has of some tensors, durably, and return the file's name.

    Args:
        folder: Where all write theirs.
        tensors: By name: shares of them, or whole ones that no other process has.
        rank: Of this process; the names of files are in its order.

    Raises:
        OSError: It cannot be written.
    """
    planner = DefaultSavePlanner()
    planner.set_up_planner(dict(tensors), is_coordinator=rank == 0)
    plan = replace(planner.create_local_plan(), storage_data={"shard_index": rank + 1})
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    writer.set_up_storage_writer(is_coordinator=rank == 0)
    (*_, written) = writer.write_data(plan, planner).wait()
    name: str = written.storage_data.relative_path
    return name
