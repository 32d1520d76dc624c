"""A window outside training, in which a layer costs less the fewer positions still run.

The mathematics of `halting.AdaptiveLayer`: what would be multiplied by 0 is not computed. Halted positions
still offer keys and values to later ones, a sixth of a layer's products at dim_feedforward = 4 · d_model.
"""

import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from bitlm.model.attention import Attention, Heads, attend
from bitlm.model.grid import add_on_grid, extremes
from bitlm.model.halting import HaltingUnit
from bitlm.model.positions import rotate
from bitlm.model.reversible import check_streams

Rows = Float[Tensor, "row width"]

FEW = 0.3
"""Share of running positions below which attention is cheaper for these alone than for all."""

BLOCK = 128
"""Most positions whose queries are gathered for one product."""


class RunningWindow:
    """The streams of all positions, and which positions still run.

    Attributes:
        layers_run: Layers computed, summed over positions.
    """

    def __init__(self, hidden: Float[Tensor, "batch position width"], threshold: float) -> None:
        self.layers_run = 0
        self._threshold = threshold
        self._batch, self._positions, _ = hidden.shape
        # Of all positions the first stream is up to date where they have halted, the second everywhere.
        self._x1, self._x2 = hidden.flatten(0, 1).clone(), hidden.flatten(0, 1).clone()
        self._running = torch.arange(self._batch * self._positions, device=hidden.device)
        self._first, self._second = self._x1, self._x2
        self._halting = hidden.new_zeros(self._running.numel(), 1)
        self._ranges = [extremes(hidden)] * 2

    @property
    def all_halted(self) -> bool:
        """Whether nothing is left to compute."""
        return self._running.numel() == 0

    @property
    def depth_mean(self) -> Float[Tensor, ""]:
        """Mean number of layers a position ran."""
        return self._x1.new_tensor(self.layers_run / (self._batch * self._positions))

    def step(
        self,
        attention: Attention,
        feedforward: nn.Module,
        unit: HaltingUnit | None,
        turns: Complex64[Tensor, "position pair"],
    ) -> None:
        """Run the next layer on what still runs."""
        self.layers_run += self._running.numel()
        self._first = add_on_grid(self._first, self._attend(attention, turns))
        self._second = add_on_grid(self._second, feedforward(self._first))
        self._ranges += [extremes(self._first), extremes(self._second)]
        if self._all_run:
            self._x2 = self._second
        else:
            self._x2.index_copy_(0, self._running, self._second)
        if unit is not None:
            self._halt(add_on_grid(self._halting, unit(self._first, self._second)))

    def finish(self) -> tuple[Float[Tensor, "batch position width"], Float[Tensor, "batch position width"]]:
        """Return both streams of all positions.

        Raises:
            GridOverflowError: Activations left the exact range; names the first layer where they did.
        """
        check_streams(self._ranges)
        self._x1.index_copy_(0, self._running, self._first)
        return self._of_window(self._x1), self._of_window(self._x2)

    def _halt(self, halting: Float[Tensor, "row 1"]) -> None:
        """Go on with the positions below the threshold; the others come to rest."""
        self._halting = halting
        goes_on = (halting < self._threshold).squeeze(1)
        still = goes_on.nonzero().squeeze(1)
        if len(still) == len(goes_on):
            return
        at_rest = goes_on.logical_not().nonzero().squeeze(1)
        self._x1.index_copy_(0, self._running[at_rest], self._first[at_rest])
        if self._all_run:
            self._x2 = self._second.clone()
        self._running, self._halting = self._running[still], halting[still]
        self._first, self._second = self._first[still], self._second[still]

    @property
    def _all_run(self) -> bool:
        return self._running.numel() == self._batch * self._positions

    def _of_window(self, rows: Rows) -> Float[Tensor, "batch position width"]:
        return rows.view(self._batch, self._positions, -1)

    def _attend(self, attention: Attention, turns: Complex64[Tensor, "position pair"]) -> Rows:
        """Return what running positions take from those they see."""
        if self._running.numel() >= FEW * self._batch * self._positions:
            parts = attention.parts(self._of_window(self._x2))
            taken = attend(parts, attention.query_key_norm.weight, turns, attention.visibility)
            mixed = taken.flatten(2).flatten(0, 1)
            mixed = mixed if self._all_run else mixed.index_select(0, self._running)
        else:
            normed = attention.norm(self._x2)
            of_running, places = normed.index_select(0, self._running), self._running % self._positions
            query = _queries(attention, of_running, turns[places])
            mixed = self._mix(query, *_keys_values(attention, self._of_window(normed), turns), attention)
        return attention.out_norm(attention.project_out(mixed))  # type: ignore[no-any-return]

    def _mix(
        self, query: Float[Tensor, "row head channel"], key: Heads, value: Heads, attention: Attention
    ) -> Rows:
        """Return the values that running positions attend to, a block of positions at a time."""
        mixed = torch.empty_like(query)
        runs = torch.zeros(self._batch * self._positions, dtype=torch.bool, device=query.device)
        runs[self._running] = True
        rank = (runs.cumsum(0) - 1).clamp_(min=0).view(self._batch, self._positions)
        for block in attention.visibility.blocks(self._positions, BLOCK):
            # The running positions of each row, as many as the fullest has: surplus ones only fill up.
            of_block = runs.view(rank.shape)[:, block.start : block.stop]
            fullest = int(of_block.sum(1).max())
            if not fullest:
                continue
            place = of_block.byte().argsort(dim=1, descending=True, stable=True)[:, :fullest]
            index = rank[:, block.start : block.stop].gather(1, place)
            first = attention.visibility.first(block.start)
            attended = scaled_dot_product_attention(
                query[index].transpose(1, 2),
                key[:, :, first : block.stop],
                value[:, :, first : block.stop],
                attn_mask=_future(query, block, first)[place].unsqueeze(1),
            )
            counted = of_block.gather(1, place)
            mixed[index[counted]] = attended.transpose(1, 2)[counted]
        return mixed.flatten(1)


def _queries(
    attention: Attention, normed: Rows, turns: Complex64[Tensor, "row pair"]
) -> Float[Tensor, "row head channel"]:
    """Return the queries alone, turned, of normed positions of any rows."""
    parts = linear(normed, attention.project_in.weight[: attention.width])
    parts = attention.query_key_norm(parts.view(1, len(normed), 1, attention.nhead, -1))
    return rotate(parts, turns)[0, :, 0]


def _keys_values(
    attention: Attention,
    normed: Float[Tensor, "batch position width"],
    turns: Complex64[Tensor, "position pair"],
) -> tuple[Heads, Heads]:
    """Return keys, turned, and values alone: what halted positions still offer."""
    joined = linear(normed, attention.project_in.weight[attention.width :])
    parts = joined.view(*joined.shape[:2], 2, attention.nhead, -1)
    key = rotate(attention.query_key_norm(parts[:, :, :1]), turns)[:, :, 0]
    return key.transpose(1, 2), parts[:, :, 1].transpose(1, 2)


def _future(like: Tensor, block: range, first: int) -> Float[Tensor, "query key"]:
    """Return 0 where a position of the block may look, from `first` on, and -inf in its future."""
    inside = like.new_full((len(block), len(block)), -torch.inf).triu(1)
    return pad(inside, (block.start - first, 0))
