"""A model of another shape with weights that were cut out of one, or added to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from bitlm.model import BitTransformer

BLOCKS = "trunk.blocks."
"""What the names of a layer's weights begin with, before its number."""


def rebuilt(model: BitTransformer, weights: Mapping[str, Tensor], **changes: Any) -> BitTransformer:
    """Return a model of the changed shape with these weights, copied, and all else as the model has it.

    Raises:
        ConfigError: The shape is out of range.
    """
    other = BitTransformer(replace(model.config, **changes))
    other.load_state_dict(weights)
    other.reference = model.reference
    other.trunk.memory, other.trunk.autocast = model.trunk.memory, model.trunk.autocast
    return other.train(model.training)
