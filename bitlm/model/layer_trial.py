"""A short trial of a model's layers on this machine: what a pass takes, and what it keeps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module

from bitlm.model.grid import round_to_grid
from bitlm.model.reversible import Layer, run_layers
from bitlm.randomness import generator

MOST_ROUNDS = 5
"""Passes of each contender, of which the fastest counts: whatever else runs only makes a pass slower."""

Clock = Callable[[], float]


@contextmanager
def kept_storages(model: Module) -> Iterator[dict[int, int]]:
    """Yield a table, address to bytes, of what autograd saves in this context, the model's weights excluded.

    It is whole when the context ends, and true as long as what was computed in it is alive.
    """
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield storages


@dataclass(frozen=True)
class LayerTrial:
    """Some layers and two streams to run through them.

    Attributes:
        layers: At least one.
        rows: Windows in the batch.
        positions: Positions in a window.
        width: Of a stream.
    """

    layers: Sequence[Layer]
    rows: int
    positions: int
    width: int

    def pass_through(self, memory: str) -> None:
        """Run the layers forward and backward; no weight gets a gradient."""
        self._pull_back(*self._forward(memory))

    def kept_bytes(self, model: Module, memory: str) -> int:
        """Return what a pass keeps between forward and backward, weights excluded."""
        with kept_storages(model) as storages:
            alive = self._forward(memory)
        assert alive
        return sum(storages.values())

    def _forward(self, memory: str) -> tuple[list[Tensor], list[Tensor]]:
        draw = generator(0, 0, "trial")
        start = round_to_grid(torch.randn(self.rows, self.positions, self.width, generator=draw))
        x1, x2 = start.requires_grad_(), start.detach().clone().requires_grad_()
        with torch.enable_grad():
            return [x1, x2], list(run_layers(self.layers, (x1, x2), memory))

    def _pull_back(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        weights = [parameter for layer in self.layers for parameter in layer.parameters]
        trained = [parameter for parameter in weights if parameter.requires_grad]
        torch.autograd.grad(outputs, [*inputs, *trained], [torch.ones_like(output) for output in outputs])


def fastest_passes_s(
    contenders: Mapping[str, Callable[[], None]], *, budget_s: float, clock: Clock
) -> dict[str, float]:
    """Return each contender's fastest pass in seconds; they take turns, at most MOST_ROUNDS times.

    At least one round is made, and no more once `budget_s` is spent.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    began = clock()
    for _ in range(MOST_ROUNDS):
        for name, contender in contenders.items():
            started = clock()
            contender()
            times[name].append(clock() - started)
        if clock() - began >= budget_s:
            break
    return {name: min(passes) for name, passes in times.items()}
