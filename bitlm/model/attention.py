"""Multi-head attention with rotary positions: causal, full or in chunks, or of what is denoised."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from bitlm.model import attention_kernels as kernels
from bitlm.model.head_kernels import Heads as MadeHeads
from bitlm.model.kernels import Array
from bitlm.model.positions import rotate
from bitlm.model.unfilled import linear
from bitlm.model.visibility import Denoised, Visibility
from bitlm.parallel import share

Heads = Float[Tensor, "batch head position channel"]
Parts = Float[Tensor, "batch position 3 head channel"]


class Attention(nn.Module):
    """Layer norm, multi-head attention to this and the earlier positions that are visible, layer norm.

    Queries and keys are normed as well, so that no weight can make attention arbitrarily sharp, and so is
    what a position takes: the streams then grow by a bounded amount a layer, and stay on the grid.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; norms before as in Xiong et al. 2020,
    of queries and keys as in Henry et al. 2020, after as in Kim et al., "Peri-LN", ICML 2025.

    Attributes:
        nhead: Heads.
        width: Channels of all heads together.
        visibility: Which earlier positions a position sees.
    """

    def __init__(self, d_model: int, nhead: int, head_width: int, visibility: Visibility) -> None:
        super().__init__()
        self.nhead = nhead
        self.width = nhead * head_width
        self.visibility = visibility
        self.norm = nn.LayerNorm(d_model, bias=False)
        self.project_in = linear(d_model, 3 * self.width)
        self.query_key_norm = nn.LayerNorm(head_width, bias=False)
        self.project_out = linear(self.width, d_model)
        self.out_norm = nn.LayerNorm(d_model, bias=False)

    def forward(
        self,
        stream: Float[Tensor, "batch position width"],
        turns: Complex64[Tensor, "position pair"],
        *,
        denoised: Denoised | None = None,
    ) -> Float[Tensor, "batch position width"]:
        """Return what each position attends to, given the rotations of the positions.

        Args:
            stream: One vector per position.
            turns: Of the positions.
            denoised: What a position sees instead of what is visible, where a text is denoised.
        """
        parts = self.parts(stream)
        if denoised is None:
            attended = attend(parts, self.query_key_norm.weight, turns, self.visibility)
        elif denoised.block:
            attended = self._attend_in_blocks(parts, turns, denoised)
        else:
            attended = self._attend_both_ways(parts, turns)
        return self.out_norm(self.project_out(attended.flatten(2)))  # type: ignore[no-any-return]

    def parts(self, stream: Float[Tensor, "batch position width"]) -> Parts:
        """Return queries, keys and values before the norm of the first two."""
        return self.project_in(self.norm(stream)).unflatten(-1, (3, self.nhead, -1))  # type: ignore[no-any-return]

    def _attend_both_ways(
        self, parts: Parts, turns: Complex64[Tensor, "position pair"]
    ) -> Float[Tensor, "batch position head channel"]:
        """Do what `attend` does, seeing all positions, by torch's own: memory is linear in length."""
        return scaled_dot_product_attention(*self._heads(parts.float(), turns)).transpose(1, 2)

    def _attend_in_blocks(
        self, parts: Parts, turns: Complex64[Tensor, "position pair"], denoised: Denoised
    ) -> Float[Tensor, "batch position head channel"]:
        """Let the true text see itself as ever, and the masked one what `denoised` says."""
        parts, length = parts.float(), parts.shape[1] // 2
        true = attend(parts[:, :length], self.query_key_norm.weight, turns[:length], self.visibility)
        queries, keys, values = self._heads(parts, turns)
        seen = denoised.of_masked(length)
        masked = scaled_dot_product_attention(queries[:, :, length:], keys, values, attn_mask=seen)
        return torch.cat([true, masked.transpose(1, 2)], dim=1)

    def _heads(self, parts: Parts, turns: Complex64[Tensor, "position pair"]) -> tuple[Heads, Heads, Heads]:
        """Return queries, keys and values as they meet."""
        queries, keys = rotate(self.query_key_norm(parts[:, :, :2]), turns).permute(2, 0, 3, 1, 4)
        return queries, keys, parts[:, :, 2].transpose(1, 2)

    def queries_and_keys(
        self, stream: Float[Tensor, "batch position width"], turns: Complex64[Tensor, "position pair"]
    ) -> tuple[Heads, Heads]:
        """Return queries and keys as they meet, to look at what `forward` never forms."""
        queries, keys, _ = self._heads(self.parts(stream), turns)
        return queries, keys


def attend(
    parts: Parts,
    gain: Float[Tensor, "channel"],
    turns: Complex64[Tensor, "position pair"],
    visibility: Visibility,
) -> Float[Tensor, "batch position head channel"]:
    """Return what each position takes from itself and the visible ones before it, in 32-bit floats.

    Queries and keys are normed, turned by their positions, and multiplied; memory is linear in length, and
    with chunks time is as well. Heads are shared among as many threads as torch has; how, changes no bit.

    Args:
        parts: Queries, keys and values, before that.
        gain: Of the norm.
        turns: The rotations of the positions.
        visibility: Which earlier positions a position sees.
    """
    return _Attend.apply(parts.float(), gain, turns, visibility)  # type: ignore[no-any-return, no-untyped-call]


class _Attend(torch.autograd.Function):
    """Keeps what it was given, what was taken, and one number for each query."""

    @staticmethod
    def forward(context: Any, parts: Tensor, gain: Tensor, turns: Tensor, visibility: Visibility) -> Tensor:
        parts = parts.contiguous()
        batch, length, _, heads, channels = parts.shape
        taken = parts.new_empty(batch, length, heads, channels)
        log_sums = parts.new_empty(batch, heads, length)
        context.save_for_backward(parts, gain, turns, taken, log_sums)
        context.visibility = visibility
        given = (_numbers(parts.flatten(2, 3)), _made(gain, turns), sight_of(visibility, length))
        share(
            lambda begin, end: kernels.attend(*given, begin, end, _numbers(taken), _numbers(log_sums)),
            batch * heads,
        )
        return taken

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        parts, gain, turns, taken, log_sums = context.saved_tensors
        batch, length, _, heads, channels = parts.shape
        of_parts = torch.empty_like(parts)
        of_gain = gain.new_zeros(batch * heads, channels)
        given = (_numbers(parts.flatten(2, 3)), _made(gain, turns), sight_of(context.visibility, length))
        pulls = (_numbers(taken), _numbers(log_sums), _numbers(gradients[0].contiguous()))
        into = (_numbers(of_parts.flatten(2, 3)), _numbers(of_gain))
        share(lambda begin, end: kernels.attend_backward(*given, begin, end, *pulls, *into), batch * heads)
        return of_parts, of_gain.sum(0), None, None


@lru_cache(maxsize=64)
def sight_of(visibility: Visibility, length: int) -> kernels.Sight:
    """Return who sees whom in a window of this length."""
    positions = np.arange(length)
    if not visibility.chunk:
        return kernels.Sight(np.zeros_like(positions), np.full_like(positions, length))
    first = np.maximum(0, positions - positions % visibility.chunk - visibility.overlap)
    last_chunk = (positions + visibility.overlap) // visibility.chunk
    return kernels.Sight(first, np.minimum((last_chunk + 1) * visibility.chunk, length))


def _made(gain: Tensor, turns: Tensor) -> MadeHeads:
    cosines, sines = turns.real.T.contiguous(), turns.imag.T.contiguous()
    # A copy: memory that NumPy has seen cannot be let go of, as is done with weights that are kept in shares.
    return MadeHeads(_numbers(gain.clone()), _numbers(cosines), _numbers(sines))


def _numbers(tensor: Tensor) -> Array:
    """Return the same memory, for compiled functions."""
    return tensor.detach().numpy()
