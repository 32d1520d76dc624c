"""A model in stages: stretches of its layers, each of which a process of its own can compute."""

from dataclasses import dataclass

import torch
from jaxtyping import Integer
from torch import Tensor

from bitlm.model.bit_tree import patch_values
from bitlm.model.config import ModelConfig
from bitlm.model.grid import round_to_grid
from bitlm.model.reversible import Streams, run_layers
from bitlm.model.transformer import BitTransformer

BLOCK = "trunk.blocks."
"""Begins the names of a layer's weights; its place follows."""


@dataclass(frozen=True)
class Stage:
    """A stretch of a model's layers: the first also takes bits in, the last also merges the streams.

    Attributes:
        layers: Their places in the model, at least one.
        of: How many layers the model has.
    """

    layers: range
    of: int

    @classmethod
    def share(cls, config: ModelConfig, rank: int, size: int) -> "Stage":
        """Return one of `size` stages, which differ by a layer at most; there are no more than layers."""
        ends = [config.num_layers * stage // size for stage in (rank, rank + 1)]
        return cls(range(*ends), config.num_layers)

    @property
    def is_first(self) -> bool:
        """Whether bits go in here."""
        return self.layers.start == 0

    @property
    def is_last(self) -> bool:
        """Whether predictions come out here."""
        return self.layers.stop == self.of

    def has(self, name: str) -> bool:
        """Return whether the weights of that name are computed with here."""
        if name.startswith(BLOCK):
            return int(name.removeprefix(BLOCK).split(".")[0]) in self.layers
        return self.is_first if name.startswith("embedding.") else self.is_last

    def streams_of(self, model: BitTransformer, bits: Integer[Tensor, "batch bit"]) -> Streams:
        """Return the streams that the first layer takes."""
        hidden = round_to_grid(model.embedding(patch_values(model.patches(bits))))
        return hidden.view_as(hidden), hidden.view_as(hidden)

    def run(self, model: BitTransformer, streams: Streams, dropout_seed: int) -> Streams:
        """Run these layers, in the trunk's memory mode.

        Args:
            model: Has the weights of these layers; others may be on the meta device.
            streams: Those the first of them takes.
            dropout_seed: Key of the dropout masks.

        Raises:
            GridOverflowError: An activation left the exact range; names the layer.
        """
        layers = model.trunk.reversible_layers(streams[0].shape[1], dropout_seed)
        return run_layers(
            layers[self.layers.start : self.layers.stop],
            streams,
            model.trunk.memory,
            first=self.layers.start,
        )

    def drop_others(self, model: BitTransformer) -> None:
        """Take the memory from all weights that are not computed with here: they have shapes only."""
        for module_name, module in model.named_modules():
            for name, parameter in module.named_parameters(module_name, recurse=False):
                if not self.has(name):
                    meta = torch.empty_like(parameter, device="meta")
                    setattr(module, name.rpartition(".")[2], torch.nn.Parameter(meta))
