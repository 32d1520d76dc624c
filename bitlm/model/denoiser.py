"""From texts whose bits are partly masked to the vectors the trunk starts from."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import pad

from bitlm.model.config import BIT_STATES, BIT_WIDTH, NEIGHBOURS, ModelConfig
from bitlm.model.unfilled import embedding, linear


class Denoiser(nn.Module):
    """Embeds the states of a patch's bits and of those of the patches beside it, and projects them together.

    A position predicts the patch that stands there, and is told what is known of it, and of its neighbours:
    that spares attention what is nearest.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.bits = embedding(BIT_STATES, BIT_WIDTH)
        self.project = linear(NEIGHBOURS * config.patch_bits * BIT_WIDTH, config.d_model)

    def forward(self, states: Integer[Tensor, "batch patch bit"]) -> Float[Tensor, "batch patch width"]:
        """Return the input of each position; of what lies beyond an end nothing is said."""
        patches = self.bits(states.long()).flatten(2)
        before, after = pad(patches, (0, 0, 1, 0))[:, :-1], pad(patches, (0, 0, 0, 1))[:, 1:]
        return self.project(torch.cat([before, patches, after], dim=-1))  # type: ignore[no-any-return]
