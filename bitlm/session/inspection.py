"""Looking into the model itself: how widely its heads look, whether its inverse is exact, what moves it.

The first two look at the same held-out bytes every time, so that steps, and runs on one text, can be
compared; the last is of the step just done.
"""

from collections.abc import Sequence
from math import hypot

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import Module

from bitlm.bits import encode_frames
from bitlm.data import Text
from bitlm.machine import available_memory_bytes
from bitlm.model import (
    AttentionSummary,
    BitTransformer,
    ModelConfig,
    Reversibility,
    cpu_autocast,
    reversibility,
)

ATTENTION_BYTES = 256
"""Bytes that attention is looked at on, or a window if that is shorter."""

METER_BYTES = 64
"""Most bytes that the inverse is tried on; every element of them is compared."""

METER_POSITIONS = 2048
"""Most positions times layers of that trial, which keeps all activations: deep models get fewer bytes."""

METER_MEMORY_SHARE = 0.25
"""Share of the available memory that the trial's two sets of gradients may take."""


def attention(model: BitTransformer, text: Text) -> AttentionSummary:
    """Measure every head's attention on the first bytes of `text`, without dropout."""
    return model.attention_summary(_frames(model, text[: min(ATTENTION_BYTES, model.config.window_bytes)]))


def meter_bytes(config: ModelConfig) -> int:
    """Return how many bytes the inverse of a model of that shape is tried on, at least 1."""
    positions_per_byte = config.frame_bits if config.patch_bits == 1 else 1
    affordable = METER_POSITIONS // (config.num_layers * positions_per_byte)
    return max(1, min(METER_BYTES, affordable, config.window_bytes))


def meter(
    model: BitTransformer,
    text: Text,
    *,
    autocast: str,
    dropout_seed: int,
    available_bytes: int | None = None,
) -> Reversibility | None:
    """Measure `reversibility` on the first bytes of `text`, as the model trains: with dropout and autocast.

    Args:
        model: In evaluation mode, and left in it.
        text: Its first `meter_bytes` are taken.
        autocast: As in training, settled.
        dropout_seed: Key of the dropout masks.
        available_bytes: Memory that is left; None asks the system.

    Returns:
        None where two more sets of gradients would take too much of the memory that is left.
    """
    available = available_memory_bytes() if available_bytes is None else available_bytes
    if 2 * sum(weight.nbytes for weight in model.parameters()) > METER_MEMORY_SHARE * available:
        return None
    model.train()
    try:
        with cpu_autocast(model, autocast):
            return reversibility(
                model, _frames(model, text[: meter_bytes(model.config)]), dropout_seed=dropout_seed
            )
    finally:
        model.eval()


def gradient_norms(model: BitTransformer, norms: Sequence[float | None]) -> tuple[float, ...]:
    """Return the norm of a step's gradient by parts of the model.

    Args:
        model: What the step moved.
        norms: Of each parameter's gradient, in the model's order; None of one without.

    Returns:
        Of the embedding with what takes in masked bits, each layer, the head with the norm before it, and, if
        counts are mixed in, the mixer. The squares add up to that of the whole gradient's norm.
    """
    of = dict(zip(model.parameters(), norms, strict=True))
    return tuple(
        hypot(*(of[weight] or 0.0 for module in part for weight in module.parameters()))
        for part in parts_of(model)
    )


def parts_of(model: BitTransformer) -> list[tuple[Module, ...]]:
    """Return the model's modules in the order text goes through them; every weight is in one part."""
    inputs = (model.embedding,) if model.denoiser is None else (model.embedding, model.denoiser)
    parts: list[tuple[Module, ...]] = [inputs, *((block,) for block in model.trunk.blocks)]
    parts.append((model.trunk.norm, model.head))
    return parts if model.mixer is None else [*parts, (model.mixer,)]


def _frames(model: BitTransformer, text: bytes) -> UInt8[Tensor, "1 bit"]:
    values = torch.frombuffer(bytearray(text), dtype=torch.uint8)[None]
    return encode_frames(values, parity=model.config.parity)
