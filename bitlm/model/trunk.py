"""The reversible trunk: pre-norm attention and MLP blocks between two streams."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from bitlm.model.attention import Attention
from bitlm.model.config import ModelConfig
from bitlm.model.grid import round_to_grid
from bitlm.model.halting import AdaptiveLayer, HaltingUnit, drawn_thresholds
from bitlm.model.positions import rotations
from bitlm.model.reversible import (
    Branch,
    Layer,
    ReversibleLayer,
    Streams,
    in_bf16,
    refuse_autocast,
    run_layers,
)
from bitlm.model.running_window import RunningWindow
from bitlm.model.unfilled import linear
from bitlm.model.visibility import Denoised
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

    def forward(self, stream: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Return what the block adds to each position."""
        return self.out_norm(self.project_out(gelu(self.project_in(self.norm(stream)))))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One reversible layer's weights, and those that decide whether a position goes on to the next."""

    def __init__(self, config: ModelConfig, *, halts: bool = False) -> None:
        super().__init__()
        width, heads = config.d_model, config.nhead
        self.attention = Attention(width, heads, config.channels_per_head, config.visibility)
        self.feedforward = Feedforward(width, config.dim_feedforward)
        self.halting = HaltingUnit(width) if halts else None


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
        last = config.num_layers - 1
        self.blocks = nn.ModuleList(
            Block(config, halts=config.use_act and index < last) for index in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        turns = rotations(config.positions, config.channels_per_head)
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, hidden: Hidden, dropout_seed: int | None = None) -> Hidden:
        """Run a whole window.

        Args:
            hidden: One vector per position.
            dropout_seed: Key of the dropout masks and halting thresholds; None draws neither.
        """
        return self.run(hidden, dropout_seed)[0]

    def run(
        self,
        hidden: Hidden,
        dropout_seed: int | None = None,
        *,
        full_depth: bool = False,
        denoised: Denoised | None = None,
    ) -> tuple[Hidden, Float[Tensor, ""] | None]:
        """Run a whole window as `forward` does; return also the mean number of layers a position ran.

        Without gradients, what halted positions leave out is not computed (except under autocast).

        Args:
            hidden: One vector per position.
            dropout_seed: Key of the dropout masks and halting thresholds; None draws neither.
            full_depth: With ACT, run every layer on every position all the same.
            denoised: What positions see where a text is denoised. They then run at full depth, too: what
                halts was learned where nothing later is seen.

        Returns:
            The output, and the depth; None without ACT. Where thresholds are drawn it is the mean over all
            draws, and has a gradient.
        """
        hidden = round_to_grid(hidden)
        full_depth |= denoised is not None
        halts = self.config.use_act and not full_depth
        if halts and dropout_seed is None and not torch.is_grad_enabled() and self.autocast == "off":
            return self._run_what_runs(hidden)
        layers, streams = self.layers_and_streams(
            hidden, dropout_seed, full_depth=full_depth, denoised=denoised
        )
        y1, y2, *halting_and_depth = run_layers(layers, streams, self.memory)
        depth_mean = None
        if self.config.use_act:
            depth_mean = halting_and_depth[1].mean() if halts else hidden.new_tensor(float(len(layers)))
        return self.merge(y1, y2), depth_mean

    def merge(self, y1: Hidden, y2: Hidden) -> Hidden:
        """Return the output that the last layer's streams make."""
        return self.norm((y1 + y2) * 0.5)  # type: ignore[no-any-return] # torch leaves a module's output untyped

    def layers_and_streams(
        self,
        hidden: Hidden,
        dropout_seed: int | None,
        *,
        full_depth: bool = False,
        denoised: Denoised | None = None,
    ) -> tuple[Sequence[Layer], Streams]:
        """Return the layers that run this window, and the streams that the first is given.

        Args:
            hidden: On the grid.
            dropout_seed: As for `run`.
            full_depth: As for `run`.
            denoised: As for `run`.
        """
        # Two views, so that in all memory modes the streams' gradients are summed in the same order.
        streams = hidden.view_as(hidden), hidden.view_as(hidden)
        rows, positions, _ = hidden.shape
        if not self.config.use_act or full_depth:
            return self.reversible_layers(positions, dropout_seed, denoised=denoised), streams
        column = hidden.new_zeros(rows, positions, 1)
        return self.adaptive_layers(rows, positions, dropout_seed), (*streams, column, column.clone())

    def _run_what_runs(self, hidden: Hidden) -> tuple[Hidden, Float[Tensor, ""]]:
        """Run a window without gradients, every layer on the positions still running."""
        refuse_autocast(hidden)
        window = RunningWindow(hidden, self.config.act_threshold)
        for block in self.typed_blocks:
            if window.all_halted:
                break
            window.step(block.attention, block.feedforward, block.halting, self.turns[: hidden.shape[1]])
        return self.merge(*window.finish()), window.depth_mean

    @property
    def typed_blocks(self) -> list[Block]:
        """The blocks, which a ModuleList knows as modules only."""
        return [cast("Block", block) for block in self.blocks]

    def reversible_layers(
        self, positions: int, dropout_seed: int | None, *, denoised: Denoised | None = None
    ) -> list[ReversibleLayer]:
        """Return the blocks as reversible layers over this many positions, dropout included."""
        turns = self.turns[:positions]
        if denoised is not None and denoised.block:
            turns = self.turns[: positions // 2].repeat(2, 1)
        layers = []
        for index, block in enumerate(self.typed_blocks):
            attend: Callable[[Tensor], Tensor] = partial(block.attention, turns=turns, denoised=denoised)
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

    def adaptive_layers(self, rows: int, positions: int, dropout_seed: int | None) -> list[AdaptiveLayer]:
        """Return the blocks as layers whose positions halt, at drawn thresholds if there is a key."""
        threshold: Tensor | float = self.config.act_threshold
        if dropout_seed is not None:
            threshold = drawn_thresholds(dropout_seed, rows, positions).to(self.norm.weight)
        layers = self.reversible_layers(positions, dropout_seed)
        return [
            AdaptiveLayer(layer, block.halting, threshold)
            for layer, block in zip(layers, self.typed_blocks, strict=True)
        ]


def _drop_from(function: Callable[[Tensor], Tensor], share: float, key: int, stream: Hidden) -> Hidden:
    """Return the function's output with a share of it zeroed; the key alone decides which.

    Source: Srivastava et al., "Dropout", JMLR 15, 2014 (inverted: what is kept is scaled up).
    """
    output = function(stream)
    draw = torch.Generator().manual_seed(key)
    mask = torch.empty(output.shape).bernoulli_(1 - share, generator=draw).mul_(1 / (1 - share))
    return output * mask.to(output)
