"""The reversible trunk: pre-norm attention and MLP blocks between two streams."""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from bitlm.model.attention import Attention
from bitlm.model.config import ModelConfig
from bitlm.model.grid import round_to_grid
from bitlm.model.positions import rotations
from bitlm.model.reversible import Branch, ReversibleLayer, in_bf16, run_layers
from bitlm.model.unfilled import linear
from bitlm.randomness import counter_seed

Hidden = Float[Tensor, "batch position width"]


class Feedforward(nn.Module):
    """Layer norm, a two-layer perceptron with GELU, layer norm."""

    def __init__(self, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model, bias=False)
        self.project_in = linear(d_model, dim_feedforward)
        self.project_out = linear(dim_feedforward, d_model)
        self.out_norm = nn.LayerNorm(d_model, bias=False)

    def forward(self, stream: Hidden) -> Hidden:
        """Return what the block adds to each position."""
        return self.out_norm(self.project_out(gelu(self.project_in(self.norm(stream)))))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One reversible layer's weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = Attention(config.d_model, config.nhead, config.visibility)
        self.feedforward = Feedforward(config.d_model, config.dim_feedforward)


class Trunk(nn.Module):
    """Blocks with two streams; its output is the norm of the streams' mean.

    Attributes:
        memory: What the backward pass finds, one of MEMORY_MODES; changing it changes no bit.
        autocast: "bf16" inside a `cpu_autocast`, where the branches compute in it; else "off".
    """

    turns: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.memory = "store" if config.memory == "auto" else config.memory
        self.autocast = "off"
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        turns = rotations(config.positions, config.d_model // config.nhead)
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, hidden: Hidden, dropout_seed: int | None = None) -> Hidden:
        """Run a whole window.

        Args:
            hidden: One vector per position.
            dropout_seed: Key of the dropout masks; None drops nothing.
        """
        hidden = round_to_grid(hidden)
        # Two views, so that in all memory modes the streams' gradients are summed in the same order.
        x1, x2 = hidden.view_as(hidden), hidden.view_as(hidden)
        y1, y2 = run_layers(self.reversible_layers(hidden.shape[1], dropout_seed), (x1, x2), self.memory)
        return self.norm((y1 + y2) * 0.5)  # type: ignore[no-any-return]

    @property
    def typed_blocks(self) -> list[Block]:
        """The blocks, which a ModuleList knows as modules only."""
        return [cast("Block", block) for block in self.blocks]

    def reversible_layers(self, positions: int, dropout_seed: int | None) -> list[ReversibleLayer]:
        """Return the blocks as reversible layers over this many positions, dropout included."""
        turns = self.turns[:positions]
        layers = []
        for index, block in enumerate(self.typed_blocks):
            attend: Callable[[Tensor], Tensor] = partial(block.attention, turns=turns)
            transform: Callable[[Tensor], Tensor] = block.feedforward
            if self.autocast == "bf16":
                attend, transform = partial(in_bf16, attend), partial(in_bf16, transform)
            if dropout_seed is not None and self.config.dropout > 0:
                keys = [counter_seed(dropout_seed, index, "dropout", branch) for branch in (0, 1)]
                attend = partial(_drop_from, attend, self.config.dropout, keys[0])
                transform = partial(_drop_from, transform, self.config.dropout, keys[1])
            layers.append(
                ReversibleLayer(
                    Branch(attend, tuple(block.attention.parameters())),
                    Branch(transform, tuple(block.feedforward.parameters())),
                )
            )
        return layers


def _drop_from(function: Callable[[Tensor], Tensor], share: float, key: int, stream: Hidden) -> Hidden:
    """Return the function's output with a share of it zeroed; the key alone decides which.

    Source: Srivastava et al., "Dropout", JMLR 15, 2014 (inverted: what is kept is scaled up).
    """
    output = function(stream)
    draw = torch.Generator().manual_seed(key)
    mask = torch.empty(output.shape).bernoulli_(1 - share, generator=draw).mul_(1 / (1 - share))
    return output * mask.to(output)
