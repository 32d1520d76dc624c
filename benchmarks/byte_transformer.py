"""The twin BitLM is compared with: an ordinary transformer that predicts bytes by a 256-way softmax.

Pre-norm blocks on one residual stream, rotary positions, GELU, no dropout, the same vectors at the input:
what BitLM is without its bits, its two streams and its grid. It reads a window as BitLM does: position i sees
a start vector and the bytes before byte i, so both predict every byte of a window.
"""

import torch
from jaxtyping import Complex64, Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention

from bitlm.model import ModelConfig
from bitlm.model.embedding import looked_up, lookups_of
from bitlm.model.initialisation import initialise
from bitlm.model.positions import rotate, rotations
from bitlm.model.unfilled import embedding, linear

BYTE_VALUES = 256

Hidden = Float[Tensor, "batch position width"]


class PlainBlock(nn.Module):
    """Attention and a perceptron, each added to the one stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.nhead = config.nhead
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.attention_project_in = linear(width, 3 * width)
        self.attention_project_out = linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width, bias=False)
        self.feedforward_project_in = linear(width, config.dim_feedforward)
        self.feedforward_project_out = linear(config.dim_feedforward, width)

    def forward(self, hidden: Hidden, turns: Complex64[Tensor, "position pair"]) -> Hidden:
        """Return the stream after this block."""
        parts = self.attention_project_in(self.attention_norm(hidden)).unflatten(-1, (3, self.nhead, -1))
        query, key = rotate(parts[:, :, :2], turns).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, parts[:, :, 2].transpose(1, 2), is_causal=True)
        hidden = hidden + self.attention_project_out(attended.transpose(1, 2).flatten(2))
        inner = gelu(self.feedforward_project_in(self.feedforward_norm(hidden)))
        summed: Tensor = hidden + self.feedforward_project_out(inner)
        return summed


class PlainTrunk(nn.Module):
    """The blocks and the norm after them; named as BitLM's, so that one optimizer recipe serves both."""

    turns: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PlainBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        turns = rotations(config.window_bytes, config.d_model // config.nhead)
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, hidden: Hidden) -> Hidden:
        """Run a whole window."""
        for block in self.blocks:
            hidden = block(hidden, self.turns[: hidden.shape[1]])
        return self.norm(hidden)  # type: ignore[no-any-return]


class ByteTransformer(nn.Module):
    """A causal byte model of the shape of a `ModelConfig`.

    Args:
        config: Width, heads, layers and window; what concerns bits and memory is not used.
        seed: Decides the first weights, alone.
    """

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.embedding = embedding(BYTE_VALUES, config.d_model)
        self.ngrams, self.recall = lookups_of(config)
        self.start = nn.Parameter(torch.zeros(config.d_model))
        self.trunk = PlainTrunk(config)
        self.head = linear(config.d_model, BYTE_VALUES, bias=True)
        initialise(self, seed, config.num_layers)

    def forward(self, text: Integer[Tensor, "batch byte"]) -> Float[Tensor, "batch byte value"]:
        """Return the logits of every byte given the ones before it."""
        start = self.start.expand(text.shape[0], 1, -1)
        earlier = self.embedding(text[:, :-1].long())
        for lookup in (self.ngrams, self.recall):
            if lookup is not None:
                earlier = earlier + looked_up(lookup, text[:, :-1])
        hidden = torch.cat([start, earlier], dim=1)
        return self.head(self.trunk(hidden))  # type: ignore[no-any-return]


def nats_per_byte(
    logits: Float[Tensor, "batch byte value"], text: Integer[Tensor, "batch byte"]
) -> Float[Tensor, "batch byte"]:
    """Return the cost of each byte."""
    return cross_entropy(logits.flatten(0, 1), text.long().flatten(), reduction="none").view(text.shape)
