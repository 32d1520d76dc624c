"""Windows of equal length cut from a text."""

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from bitlm.data.text import Text
from bitlm.errors import CorpusError


def windows(
    data: Text, window_bytes: int, count: int, generator: torch.Generator
) -> UInt8[Tensor, "count window_bytes"]:
    """Return windows that start anywhere, each start equally likely.

    Raises:
        CorpusError: The data are shorter than one window.
    """
    return cut(data, window_bytes, window_starts(data, window_bytes, count, generator))


def window_starts(
    data: Text, window_bytes: int, count: int, generator: torch.Generator
) -> Int64[Tensor, "count"]:
    """Return where the windows of `windows` begin.

    Raises:
        CorpusError: The data are shorter than one window.
    """
    return torch.randint(0, last_start(data, window_bytes) + 1, (count,), generator=generator)


def even_windows(data: Text, window_bytes: int, count: int) -> UInt8[Tensor, "count window_bytes"]:
    """Return windows spread evenly from the first byte to the last; the same every time.

    Raises:
        CorpusError: The data are shorter than one window.
    """
    last = last_start(data, window_bytes)
    return cut(data, window_bytes, torch.arange(count) * last // max(count - 1, 1))


def cut(data: Text, window_bytes: int, starts: Int64[Tensor, "count"]) -> UInt8[Tensor, "count window_bytes"]:
    """Return the windows that begin at these places."""
    read = bytearray().join(data[start : start + window_bytes] for start in starts.tolist())
    return torch.from_numpy(np.frombuffer(read, dtype=np.uint8).reshape(len(starts), window_bytes))


def last_start(data: Text, window_bytes: int) -> int:
    """Return where the last window begins.

    Raises:
        CorpusError: The data are shorter than one window.
    """
    if len(data) < window_bytes:
        raise CorpusError(
            f"the text has {len(data)} bytes and one window needs {window_bytes}; "
            "supply a longer text or lower max_seq_len."
        )
    return len(data) - window_bytes
