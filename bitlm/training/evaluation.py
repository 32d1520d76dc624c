"""Bits per byte on text the model was not trained on."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import PAYLOAD_BITS, encode_frames
from bitlm.data import even_windows
from bitlm.errors import CorpusError
from bitlm.model import BitTransformer
from bitlm.training.objective import bits_per_byte

EVALUATION_BATCH = 16
MOST_POSITIONS = 2**15
"""Positions evaluated at once: long windows are measured few at a time, in memory that does not grow."""


def held_out_bits_per_byte(model: BitTransformer, data: bytes) -> float:
    """Return the code length of `data` in bits per byte, every byte counted exactly once.

    Windows overlap by half, and of each but the first only the second half is counted, so a byte
    is predicted from at least half a window of context (the first bytes from what there is).

    Raises:
        CorpusError: There is no text to measure.
    """
    if not data:
        raise CorpusError("there are no bytes to evaluate; give a text of at least one byte.")
    total_nats = 0.0
    for text, counted in _overlapping(data, model.config.window_bytes):
        total_nats += float(_payload_nats(model, text)[:, -counted * PAYLOAD_BITS :].sum())
    return bits_per_byte(total_nats / (len(data) * PAYLOAD_BITS))


def validation_bits_per_byte(model: BitTransformer, data: bytes, windows: int = 16) -> float:
    """Return bits per byte over the second half of `windows` evenly spaced windows: a quick estimate.

    The windows are the same at every call, so two estimates differ by the model alone.
    """
    text = even_windows(data, model.config.window_bytes, windows)
    nats = _payload_nats(model, text)
    counted = nats[:, nats.shape[1] // 2 :]
    return bits_per_byte(float(counted.mean()))


def _overlapping(data: bytes, window: int) -> Iterator[tuple[UInt8[Tensor, "batch byte"], int]]:
    """Yield (windows, bytes to count at the end of each) so that each byte is counted once."""
    values = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())
    yield values[None, :window], min(window, len(data))
    stride = max(1, window // 2)
    starts = list(range(stride, len(data) - window + 1, stride)) if window < len(data) else []
    for first in range(0, len(starts), EVALUATION_BATCH):
        yield torch.stack([values[s : s + window] for s in starts[first : first + EVALUATION_BATCH]]), stride
    covered = (starts[-1] if starts else 0) + window
    if covered < len(data):
        yield values[None, -window:], len(data) - covered


@torch.no_grad()
def _payload_nats(model: BitTransformer, text: UInt8[Tensor, "batch byte"]) -> Float[Tensor, "batch bit"]:
    """Return the cost of each payload bit in nats, in float64."""
    model.eval()
    rows = max(1, MOST_POSITIONS // (text.shape[1] * model.config.positions_per_frame))
    return torch.cat([_rows_nats(model, part) for part in torch.split(text, rows)])


def _rows_nats(model: BitTransformer, text: UInt8[Tensor, "batch byte"]) -> Float[Tensor, "batch bit"]:
    bits = encode_frames(text, parity=model.config.parity)
    output = model(bits)
    logits = output.logits[:, output.is_payload].double()
    targets = bits[:, output.is_payload].double()
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")
