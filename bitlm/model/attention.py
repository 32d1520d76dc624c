"""Causal multi-head attention with rotary positions."""

from jaxtyping import Complex64, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from bitlm.model.positions import rotate
from bitlm.model.unfilled import linear

Heads = Float[Tensor, "batch head position channel"]


class Attention(nn.Module):
    """Layer norm, then multi-head attention to this and all earlier positions.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; pre-norm as in Xiong et al. 2020.
    """

    def __init__(self, d_model: int, nhead: int) -> None:
        super().__init__()
        self.nhead = nhead
        self.norm = nn.LayerNorm(d_model, bias=False)
        self.project_in = linear(d_model, 3 * d_model)
        self.project_out = linear(d_model, d_model)

    def forward(
        self,
        stream: Float[Tensor, "batch position width"],
        turns: Complex64[Tensor, "position pair"],
    ) -> Float[Tensor, "batch position width"]:
        """Return what each position attends to, given the rotations of the positions."""
        return self.attend(*self.heads(stream, turns))

    def attend(self, query: Heads, key: Heads, value: Heads) -> Float[Tensor, "batch position width"]:
        """Return what each position takes from itself and the positions before it."""
        attended = scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.project_out(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def heads(
        self, stream: Float[Tensor, "batch position width"], turns: Complex64[Tensor, "position pair"]
    ) -> tuple[Heads, Heads, Heads]:
        """Return query, key and value , query and key turned."""
        parts = self.project_in(self.norm(stream)).unflatten(-1, (3, self.nhead, -1))
        turned = rotate(parts[:, :, :2], turns).permute(2, 0, 3, 1, 4)
        return turned[0], turned[1], parts[:, :, 2].transpose(1, 2)
