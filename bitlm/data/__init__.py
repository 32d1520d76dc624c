"""Text as bytes: a corpus with its split and fingerprint, and the windows cut from it."""

from bitlm.data.corpus import Corpus
from bitlm.data.windows import even_windows, windows

__all__ = ["Corpus", "even_windows", "windows"]
