"""Tensors in shares: each process keeps some rows of every one (fully sharded data parallel).

Torch's `fully_shard` keeps the weights, gathers them for a pass, and deals their gradients out again; in what
order gradients are added, is ours. What needs a whole tensor is done by one process, the tensor's owner.

Source: Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter models", SC 2020;
Zhao et al., "PyTorch FSDP", VLDB 2023.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_api import ReduceScatter  # what FSDPModule's own method takes
from torch.distributed.tensor import DTensor, Shard
from torch.nn import Module

from bitlm.distributed.group import Group
from bitlm.distributed.pairwise import PairwiseSum

LANES = 16
"""Most 32-bit floats that a processor computes at once; the last few of a tensor round otherwise."""


class Sharding:
    """Deals the rows of tensors out to the processes of a group, in stretches of equal length.

    Args:
        group: Of more than one process.
    """

    def __init__(self, group: Group) -> None:
        assert dist.group.WORLD is not None, "several processes have joined"
        self._group = group
        self._mesh = DeviceMesh.from_group(dist.group.WORLD, "cpu")

    def shard(self, module: Module) -> None:
        """Keep this process's share of a module's weights, and gather them when the module is called.

        They stay whole until the backward pass from what it returned is done; then each process has the sums
        of its rows' gradients.
        """
        fully_shard(module, mesh=self._mesh, reshard_after_forward=False)
        sharded = cast("FSDPModule", module)
        sharded.set_custom_reduce_scatter(PairwiseReduceScatter())
        sharded.set_reduce_scatter_unused_params(True)  # what one process has no gradient of, another has

    def dealt_out(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's shares of tensors of rank 0, one of which at a time is whole in the others.

        Args:
            tensors: By name. The others' say no more than names and shapes; single numbers stay with all.
        """
        shares = {}
        for name in sorted(tensors):  # a file is read in another order by each process
            whole = tensors[name] if self._group.rank == 0 else torch.empty_like(tensors[name], device="cpu")
            dist.broadcast(whole, 0)
            shares[name] = self._share(whole) if whole.dim() else whole
        return shares

    def gathered(self, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors whole by name, one at a time, in rank 0; nothing in the others."""
        for name in sorted(tensors):
            tensor = tensors[name]
            own = self.owned([tensor], [0]) if tensor.dim() else {0: tensor}
            if self._group.rank == 0:
                yield name, own[0]

    def stacked(self, tensors: Sequence[Tensor]) -> DTensor:
        """Return tensors of one shape side by side, along a new last axis."""
        own = torch.stack([share_of(tensor) for tensor in tensors], dim=-1)
        return self._of(own, torch.Size((*tensors[0].shape, len(tensors))))

    def like(self, own: Tensor, tensor: Tensor) -> DTensor:
        """Return what is of a tensor's shape, given this process's rows of it."""
        return self._of(own, tensor.shape)

    def is_even(self, tensor: Tensor) -> bool:
        """Return whether each share is rounded, number by number, as the whole tensor would be."""
        return len(tensor) % self._group.size == 0 and tensor.numel() // self._group.size % LANES == 0

    def computed_whole(
        self, tensors: Sequence[Tensor], compute: Callable[[dict[int, Tensor]], Sequence[Tensor]]
    ) -> list[DTensor]:
        """Return what is computed of whole tensors, each by one process, which owns it meanwhile.

        Args:
            tensors: Of the same shapes in all processes.
            compute: Given whole tensors by their places, returns one of the same shape for each.
        """
        owners = owners_of([tensor.numel() for tensor in tensors], self._group.size)
        computed = compute(self.owned(tensors, owners))
        ranks = range(self._group.size)
        sent = [[self._rows(whole, rank) for whole in computed] for rank in ranks]
        expected = [
            [share_of(tensor).shape for tensor, owner in zip(tensors, owners, strict=True) if owner == rank]
            for rank in ranks
        ]
        received = [iter(shares) for shares in _exchanged(sent, expected)]
        shares = [next(received[owner]) for owner in owners]
        return [self.like(own, tensor) for own, tensor in zip(shares, tensors, strict=True)]

    def owned(self, tensors: Sequence[Tensor], owners: Sequence[int]) -> dict[int, Tensor]:
        """Return those tensors whole that this process owns, by their places among all."""
        ranks = range(self._group.size)
        sent = [
            [share_of(tensor) for tensor, owner in zip(tensors, owners, strict=True) if owner == rank]
            for rank in ranks
        ]
        own = [place for place, owner in enumerate(owners) if owner == self._group.rank]
        expected = [[self._shape(tensors[place].shape, rank) for place in own] for rank in ranks]
        shares = zip(*_exchanged(sent, expected), strict=True)
        return {place: torch.cat(rows) for place, rows in zip(own, shares, strict=True)}

    def _share(self, whole: Tensor) -> DTensor:
        return self._of(self._rows(whole, self._group.rank).clone(), whole.shape)

    def _of(self, own: Tensor, shape: torch.Size) -> DTensor:
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(own, self._mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)

    def _shape(self, whole: torch.Size, rank: int) -> torch.Size:
        each = -(-whole[0] // self._group.size)
        return torch.Size((min(max(0, whole[0] - rank * each), each), *whole[1:]))

    def _rows(self, whole: Tensor, rank: int) -> Tensor:
        each = -(-len(whole) // self._group.size)
        return whole[rank * each : (rank + 1) * each]


def share_of(tensor: Tensor) -> Tensor:
    """Return this process's rows of a tensor of which each process keeps some."""
    return cast("DTensor", tensor).to_local()


def owners_of(sizes: Sequence[int], processes: int) -> list[int]:
    """Return for each tensor the process that owns it, so that all have about as many numbers."""
    owners, loads = [0] * len(sizes), [0] * processes
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        owners[place] = loads.index(min(loads))
        loads[owners[place]] += sizes[place]
    return owners


def _exchanged(
    sent: Sequence[Sequence[Tensor]], expected: Sequence[Sequence[torch.Size]]
) -> list[list[Tensor]]:
    """Send each process some tensors; return those that each has sent, of the shapes expected."""
    counts = [[shape.numel() for shape in shapes] for shapes in expected]
    flat = [torch.cat([torch.empty(0), *(tensor.flatten() for tensor in tensors)]) for tensors in sent]
    received = torch.empty(sum(map(sum, counts)))
    dist.all_to_all_single(
        received, torch.cat(flat), [sum(each) for each in counts], [len(each) for each in flat]
    )
    pieces = iter(torch.split(received, [count for each in counts for count in each]))
    return [[next(pieces).reshape(shape) for shape in shapes] for shapes in expected]


class PairwiseReduceScatter(ReduceScatter):
    """Deals out the sum of all processes' vectors, added in the order of `PairwiseSum`."""

    def allocate(
        self, size: Sequence[int | torch.SymInt], *, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Return memory for a vector."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: Any,
        op: Any,  # noqa: ARG002 - as torch calls it
        async_op: bool = False,  # noqa: ARG002, FBT001, FBT002 - the same
    ) -> None:
        """Fill `output_tensor` with this process's stretch of the sum of every `input_tensor`.

        `fully_shard` asks for their mean; parts of a step are weighed before, so it is the sum here.
        """
        received = torch.empty_like(input_tensor)
        dist.all_to_all_single(received, input_tensor, group=group)
        total = PairwiseSum()
        for theirs in received.chunk(group.size()):
            total.add(theirs)
        output_tensor.copy_(total.total)
