"""Lossless compression with a model: its bit probabilities, coded arithmetically, in a checked file."""

from bitlm.compression.container import Header, read_header
from bitlm.compression.files import compress, decompress
from bitlm.compression.lanes import Progress

__all__ = ["Header", "Progress", "compress", "decompress", "read_header"]
