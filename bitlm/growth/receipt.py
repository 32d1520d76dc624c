"""What a growth changed, measured."""

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time

import torch
from torch import Tensor

from bitlm.bits import MASK, PAYLOAD_BITS, encode_frames
from bitlm.data import Text, even_windows
from bitlm.model import BitTransformer
from bitlm.randomness import generator
from bitlm.training import held_out_bits_per_byte

WINDOWS = 4
"""Windows that predictions are compared on."""


@dataclass(frozen=True)
class Receipt:
    """A model before and after.

    Attributes:
        logit_difference: Greatest |difference| of two logits on the same bits; 0.0 is equal to the last bit.
        parameters: Weights before and after.
        weight_bytes: What they take.
        bits_per_byte: On held-out text.
        ms_per_byte: Processor time of predicting it.
    """

    logit_difference: float
    parameters: tuple[int, int]
    weight_bytes: tuple[int, int]
    bits_per_byte: tuple[float, float]
    ms_per_byte: tuple[float, float]


def receipt(
    before: BitTransformer,
    after: BitTransformer,
    held_out: Text,
    *,
    clock: Callable[[], float] = process_time,
) -> Receipt:
    """Measure two models on text that neither was trained on.

    After a longer window `bits_per_byte` differs though no prediction inside the old one does: it is over
    whole windows of each model.

    Args:
        before: With its reference, if it mixes counts in.
        after: The same.
        held_out: At least one window of each.
        clock: Returns seconds.

    Raises:
        CorpusError: The text is too short.
        MissingReferenceError: A model mixes counts in and has none.
    """
    models = (before, after)
    measured = [_measured(model, held_out, clock) for model in models]
    (bits_before, ms_before), (bits_after, ms_after) = measured
    return Receipt(
        logit_difference=greatest_logit_difference(before, after, held_out),
        parameters=(before.parameter_count, after.parameter_count),
        weight_bytes=(_weight_bytes(before), _weight_bytes(after)),
        bits_per_byte=(bits_before, bits_after),
        ms_per_byte=(ms_before, ms_after),
    )


@torch.no_grad()
def greatest_logit_difference(before: BitTransformer, after: BitTransformer, text: Text) -> float:
    """Return the greatest |difference| of two logits on windows of a text that both models can read.

    Where both denoise, their trees for half-masked bytes are compared as well.

    Raises:
        CorpusError: The text is shorter than such a window.
    """
    length = min(before.config.window_bytes, after.config.window_bytes)
    windows = even_windows(text, length, WINDOWS)
    bits = encode_frames(windows, parity=before.config.parity)
    pairs = [(before.eval()(bits).logits, after.eval()(bits).logits)]
    if before.config.denoises and after.config.denoises:
        states, values = _half_masked(windows), windows.long()
        pairs.append((before.denoise(states, values=values), after.denoise(states, values=values)))
    return max(float((one - other).abs().max()) for one, other in pairs)


def _half_masked(windows: Tensor) -> Tensor:
    bits: Tensor = encode_frames(windows, parity=False).view(*windows.shape, PAYLOAD_BITS)
    masked = torch.rand(windows.shape, generator=generator(0, 0, "receipt")) < 1 / 2
    return bits.masked_fill(masked[..., None], MASK)


def _measured(model: BitTransformer, text: Text, clock: Callable[[], float]) -> tuple[float, float]:
    began = clock()
    bits_per_byte = held_out_bits_per_byte(model, text)
    return bits_per_byte, 1e3 * (clock() - began) / len(text)


def _weight_bytes(model: BitTransformer) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
