"""What processes that compute a step together tell each other."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.functional import pad

from bitlm.distributed.launch import Launch
from bitlm.distributed.pairwise import PairwiseSum
from bitlm.errors import ConfigError

BACKEND = "gloo"
"""What carries tensors between processors; the model's are in main memory."""


@dataclass(frozen=True)
class Group:
    """The processes that compute one step together; every one of them makes the same calls in the same order.

    Nothing is pickled on the way: only JSON, bytes and numbers are told.

    Attributes:
        rank: Of this process, from 0.
        size: How many there are; a power of two where `total` is asked for.
    """

    rank: int = 0
    size: int = 1

    def own(self, parts: int) -> range:
        """Return which of a step's parts this process computes; `size` divides their count."""
        each = parts // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, vector: Float[Tensor, " element"]) -> Float[Tensor, " element"]:
        """Return the sum of every process's vector, in the order of `PairwiseSum`.

        Each process adds up a stretch of it and tells the others: as much is sent as by a ring, and the
        order is ours, not the library's.
        """
        if self.size == 1:
            return vector
        whole = pad(vector, (0, -len(vector) % self.size))
        received, total = torch.empty_like(whole), torch.empty_like(whole)
        dist.all_to_all_single(received, whole)
        stretch = PairwiseSum()
        for theirs in received.chunk(self.size):
            stretch.add(theirs)
        dist.all_gather_single(total, stretch.total)
        return total[: len(vector)]

    def gathered(self, told: Any) -> list[Any]:
        """Return what every process tells, by rank; it is plain JSON, in which numbers keep every bit."""
        if self.size == 1:
            return [told]
        data = json.dumps(told).encode()
        lengths = torch.empty(self.size, dtype=torch.int64)
        dist.all_gather_single(lengths, torch.tensor([len(data)]))
        longest = int(lengths.max())
        everything = torch.empty(self.size * longest, dtype=torch.uint8)
        dist.all_gather_single(everything, _tensor(data.ljust(longest)))
        return [json.loads(_data(row)) for row in everything.reshape(self.size, longest)]

    def collected(self, data: bytes) -> Iterator[bytes]:
        """Yield in rank 0 what each of the others gives, by rank; the others get nothing."""
        if self.rank:
            dist.send(torch.tensor([len(data)]), 0)
            dist.send(_tensor(data), 0)
            return
        for rank in range(1, self.size):
            length = torch.empty(1, dtype=torch.int64)
            dist.recv(length, rank)
            received = torch.empty(int(length), dtype=torch.uint8)
            dist.recv(received, rank)
            yield _data(received)

    def broadcast(self, data: bytes = b"") -> bytes:
        """Return rank 0's `data`, which the others need not give."""
        if self.size == 1:
            return data
        length = torch.tensor([len(data)])
        dist.broadcast(length, 0)
        sent = _tensor(data) if self.rank == 0 else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(sent, 0)
        return _data(sent)

    def require_alike(self, given: Mapping[str, Any]) -> None:
        """Check that all processes were given the same, as plain JSON.

        Raises:
            ConfigError: One was not; names the first setting that differs.
        """
        first, *others = self.gathered(given)
        for rank, theirs in enumerate(others, start=1):
            for name, value in theirs.items():
                if value != first[name]:
                    fix = f"rank 0 has {first[name]!r}; start all with the same options and versions."
                    raise ConfigError(f"{name} of rank {rank}", value, fix)


ALONE = Group()
"""One process."""


@contextmanager
def joined(launch: Launch) -> Iterator[Group]:
    """Yield the group of the processes that torchrun started, once all are there; one process needs none."""
    if launch.size == 1:
        yield ALONE
        return
    store, rank, size = next(rendezvous("env://", launch.rank, launch.size))
    # torchrun's store may outlive a start, and then has addresses of processes that are dead.
    store = PrefixStore(f"start-{launch.restarts}", store)
    dist.init_process_group(BACKEND, store=store, rank=rank, world_size=size)
    try:
        yield Group(rank, size)
    finally:
        dist.destroy_process_group()


def _tensor(data: bytes) -> UInt8[Tensor, " byte"]:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _data(tensor: UInt8[Tensor, " byte"]) -> bytes:
    return tensor.numpy().tobytes()
