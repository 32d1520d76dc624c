"""Text as bytes: a corpus with its split and fingerprint, and the windows cut from it."""

from bitlm.data.corpus import Corpus, length_at, require_window
from bitlm.data.text import PackedText, Text, pieces, stretch
from bitlm.data.windows import cut, even_windows, last_start, window_starts, windows

__all__ = [
    "Corpus",
    "PackedText",
    "Text",
    "cut",
    "even_windows",
    "last_start",
    "length_at",
    "pieces",
    "require_window",
    "stretch",
    "window_starts",
    "windows",
]
