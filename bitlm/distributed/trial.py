"""Whether processes on this machine could tell each other anything."""

import torch
import torch.distributed as dist

from bitlm.distributed.group import BACKEND


def try_alone() -> None:
    """Join a group of this process alone, and add a number up as a training in several processes would.

    Raises:
        RuntimeError: The library that carries tensors is missing, or has no address to listen at.
    """
    if not (dist.is_available() and dist.is_gloo_available()):
        raise RuntimeError(f"torch {torch.__version__} was built without {BACKEND}")
    store = dist.HashStore()  # type: ignore[attr-defined] # torch exports it without saying so
    dist.init_process_group(BACKEND, store=store, rank=0, world_size=1)
    try:
        dist.all_reduce(torch.ones(1))
    finally:
        dist.destroy_process_group()
