"""Bits per byte on text the model was not trained on."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import PAYLOAD_BITS, encode_frames
from bitlm.context_index import Counts
from bitlm.data import Text, cut
from bitlm.earlier_counts import AdaptiveCounts
from bitlm.errors import ConfigError, CorpusError, MissingReferenceError
from bitlm.model import BitTransformer
from bitlm.training.objective import bits_per_byte

EVALUATION_BATCH = 16
MOST_POSITIONS = 2**15
"""Positions evaluated at once: long windows are measured few at a time, in memory that does not grow."""


def held_out_bits_per_byte(model: BitTransformer, data: Text, *, adaptive: bool = False) -> float:
    """Return the code length of `data` in bits per byte, every byte counted exactly once.

    Windows overlap by half, and of each but the first only the second half is counted, so a byte
    is predicted from at least half a window of context (the first bytes from what there is).

    Args:
        model: With its reference, if it mixes counts in.
        data: The text.
        adaptive: Whether the counts that are mixed in go on growing with what has been evaluated, as those of
            adaptive compressors do; a figure made so is to be named so. All of the text is in memory then.

    Raises:
        CorpusError: There is no text to measure.
        ConfigError: Counts are to adapt, and the model mixes none in.
    """
    if not data:
        raise CorpusError("there are no bytes to evaluate; give a text of at least one byte.")
    growing = _growing_counts(model, data) if adaptive else None
    total_nats = 0.0
    for starts, length, counted in overlapping_windows(len(data), model.config.window_bytes):
        text = cut(data, length, torch.from_numpy(starts))
        counts = growing.before(starts, length) if growing else None
        total_nats += float(payload_nats(model, text, counts)[:, -counted * PAYLOAD_BITS :].sum())
    return bits_per_byte(total_nats / (len(data) * PAYLOAD_BITS))


def _growing_counts(model: BitTransformer, data: Text) -> AdaptiveCounts:
    if model.mixer is None:
        raise ConfigError("adaptive", True, "this model mixes no counts in (mixing='none'): none can adapt.")  # noqa: FBT003 - the value refused
    if model.reference is None:
        raise MissingReferenceError
    values = np.frombuffer(bytes(data), dtype=np.uint8)
    return AdaptiveCounts(model.reference.index, values, model.mixer.order)


def overlapping_windows(total: int, window: int) -> Iterator[tuple[Int64[np.ndarray, "row"], int, int]]:
    """Yield (windows' starts, their length, bytes to count at the end of each): each byte is counted once."""
    yield np.zeros(1, dtype=np.int64), min(window, total), min(window, total)
    stride = max(1, window // 2)
    starts = np.arange(stride, total - window + 1, stride) if window < total else np.arange(0)
    for first in range(0, len(starts), EVALUATION_BATCH):
        yield starts[first : first + EVALUATION_BATCH], window, stride
    covered = (int(starts[-1]) if len(starts) else 0) + window
    if covered < total:
        yield np.array([total - window]), window, total - covered


@torch.no_grad()
def payload_nats(
    model: BitTransformer, text: UInt8[Tensor, "batch byte"], counts: Counts | None = None
) -> Float[Tensor, "batch bit"]:
    """Return the cost of each payload bit in nats, in float64."""
    model.eval()
    rows = max(1, MOST_POSITIONS // (text.shape[1] * model.config.positions_per_frame))
    parts = range(0, len(text), rows)
    return torch.cat([_rows_nats(model, text[at : at + rows], _rows_of(counts, at, rows)) for at in parts])


def _rows_of(counts: Counts | None, first: int, rows: int) -> Counts | None:
    if counts is None:
        return None
    return Counts(counts.zeros[first : first + rows], counts.ones[first : first + rows])


def _rows_nats(
    model: BitTransformer, text: UInt8[Tensor, "batch byte"], counts: Counts | None
) -> Float[Tensor, "batch bit"]:
    bits = encode_frames(text, parity=model.config.parity)
    output = model(bits, counts=counts)
    logits = output.logits[:, output.is_payload].double()
    targets = bits[:, output.is_payload].double()
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")
