"""Causal multi-head attention with rotary positions, full or in chunks."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from bitlm.model.positions import rotate
from bitlm.model.unfilled import linear
from bitlm.model.visibility import Visibility

Heads = Float[Tensor, "batch head position channel"]

BLOCK = 128
"""Most queries of one product in chunks: on CPU 64 to 256 take the same time, 1,024 take 1.3 times that."""


class Attention(nn.Module):
    """Layer norm, multi-head attention to this and the earlier positions that are visible, layer norm.

    Queries and keys are normed as well, so that no weight can make attention arbitrarily sharp, and so is
    what a position takes: the streams then grow by a bounded amount a layer, and stay on the grid.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; norms before as in Xiong et al. 2020,
    of queries and keys as in Henry et al. 2020, after as in Kim et al., "Peri-LN", ICML 2025.
    """

    def __init__(self, d_model: int, nhead: int, visibility: Visibility) -> None:
        super().__init__()
        self.nhead = nhead
        self.visibility = visibility
        self.norm = nn.LayerNorm(d_model, bias=False)
        self.project_in = linear(d_model, 3 * d_model)
        self.query_key_norm = nn.LayerNorm(d_model // nhead, bias=False)
        self.project_out = linear(d_model, d_model)
        self.out_norm = nn.LayerNorm(d_model, bias=False)

    def forward(
        self,
        stream: Float[Tensor, "batch position width"],
        turns: Complex64[Tensor, "position pair"],
    ) -> Float[Tensor, "batch position width"]:
        """Return what each position attends to, given the rotations of the positions."""
        return self.attend(*self.heads(stream, turns))

    def attend(self, query: Heads, key: Heads, value: Heads) -> Float[Tensor, "batch position width"]:
        """Return what each position takes from itself and the positions before it."""
        if self.visibility.first(query.shape[2] - 1) == 0:
            attended = scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            attended = attend_in_chunks(query, key, value, self.visibility)
        return self.out_norm(self.project_out(attended.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]

    def heads(
        self, stream: Float[Tensor, "batch position width"], turns: Complex64[Tensor, "position pair"]
    ) -> tuple[Heads, Heads, Heads]:
        """Return query, key and value , query and key turned."""
        parts = self.project_in(self.norm(stream)).unflatten(-1, (3, self.nhead, -1))
        turned = rotate(self.query_key_norm(parts[:, :, :2]), turns).permute(2, 0, 3, 1, 4)
        return turned[0], turned[1], parts[:, :, 2].transpose(1, 2)


def attend_in_chunks(query: Heads, key: Heads, value: Heads, visibility: Visibility) -> Heads:
    """Return causal attention to the visible positions, in time and memory linear in length.

    One product per block of queries, all with slices of one mask. Keys and values are first cut in
    overlapping windows: the gradient of a slice of the whole would be as long as the whole, for every block.

    Args:
        query: One vector per position.
        key: Likewise.
        value: Likewise.
        visibility: In chunks.
    """
    blocks = visibility.blocks(query.shape[2], BLOCK)
    queries = torch.split(query, [len(block) for block in blocks], dim=2)
    stride = visibility.chunk * max(1, -(-visibility.overlap // visibility.chunk))
    keys, values = (_windows(part, visibility.overlap, stride) for part in (key, value))
    mask = _mask(query, max(block.stop - visibility.first(block.start) for block in blocks))
    attended = []
    for block, asking in zip(blocks, queries, strict=True):
        window, place = divmod(block.start, stride)
        stop = visibility.overlap + place + len(block)
        start = stop - (block.stop - visibility.first(block.start))
        attended.append(
            scaled_dot_product_attention(
                asking,
                keys[window][:, :, start:stop],
                values[window][:, :, start:stop],
                attn_mask=_part(mask, len(block), stop - start),
            )
        )
    return torch.cat(attended, dim=2)


def _windows(part: Heads, overlap: int, stride: int) -> Sequence[Float[Tensor, "batch head window channel"]]:
    """Return views of `overlap` positions before and `stride` positions from each multiple of `stride`."""
    padded = pad(part, (0, 0, overlap, -part.shape[2] % stride))
    return padded.unfold(2, overlap + stride, stride).transpose(-1, -2).unbind(2)


def _mask(query: Heads, most_seen: int) -> Float[Tensor, "query key"]:
    """Return 0 where a block's position may look and -inf in its future, for a block of full size.

    The columns are the positions that end with the block's last, as many as are needed.
    """
    future = torch.full((BLOCK, BLOCK), -torch.inf, dtype=query.dtype, device=query.device).triu(1)
    return pad(future, (most_seen, 0))


def _part(mask: Float[Tensor, "query key"], count: int, seen: int) -> Float[Tensor, "few_queries few_keys"]:
    """Return the mask of a block of `count` positions which sees `seen` up to its own last."""
    end = mask.shape[1] - BLOCK + count
    return mask[:count, end - seen : end]
