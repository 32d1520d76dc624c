"""What well-known compressors and the reference model need for the same text."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Protocol, runtime_checkable

from bitlm.data import Corpus, pieces, stretch
from bitlm.reference import ReferenceModel

_PIECE_BYTES = 1 << 20
_XZ_BYTES = 1 << 26
"""How far xz looks back at its best level."""

_LEAST_XZ_BYTES = 1 << 12


@runtime_checkable
class Compressor(Protocol):
    """What the standard library's compressors have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what can be said already."""

    def flush(self) -> bytes:
        """Return the rest."""


@runtime_checkable
class Readable(Protocol):
    """A file, or `io.BytesIO`."""

    def read(self, count: int, /) -> bytes:
        """Return so many bytes, or fewer at the end."""


def _compressors(xz_bytes: int = _XZ_BYTES) -> dict[str, Callable[[], Compressor]]:
    """Return what makes each compressor; xz looks back so many bytes, and takes ten times their memory."""
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": xz_bytes}
    return {
        "gzip": lambda: zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16),  # with gzip's header
        "bzip2": lambda: bz2.BZ2Compressor(9),
        "xz": lambda: lzma.LZMACompressor(filters=[best]),
    }


def baselines(corpus: Corpus, reference: ReferenceModel) -> dict[str, float]:
    """Return the bits per byte of the held-out tenth, given the training part.

    A compressor is charged what the held-out tenth adds to the compressed training part, at its best
    level: 8 (|z(train + held out)| - |z(train)|) / |held out|. gzip looks back 32 KB only. The order-k
    lines are the reference model's with contexts of up to k bytes, one line to each order it has.

    Where the reference has counted only the end of the training part, the compressors are given no more than
    that either, and xz looks back no farther; so memory does not depend on the length of the text.

    Args:
        corpus: The text; its held-out tenth is what is measured.
        reference: Fitted on the corpus's training part, or on the end of it.
    """
    counted, whole = reference.index.length, len(corpus.train)
    far = _XZ_BYTES if counted == whole else min(_XZ_BYTES, max(_LEAST_XZ_BYTES, counted))
    added = {name: _added_bits_per_byte(corpus, counted, make) for name, make in _compressors(far).items()}
    orders = reference.bits_per_byte_of_orders(corpus.held_out, history=corpus.train)
    return added | {f"order-{k}": bits_per_byte for k, bits_per_byte in enumerate(orders)}


def compressed_bytes(source: Readable) -> dict[str, int]:
    """Return how many bytes each compressor makes of a file alone, at its best level; read to its end."""
    compressors = {name: make() for name, make in _compressors().items()}
    sizes = dict.fromkeys(compressors, 0)
    while piece := source.read(_PIECE_BYTES):
        for name, compressor in compressors.items():
            sizes[name] += len(compressor.compress(piece))
    return {name: sizes[name] + len(compressor.flush()) for name, compressor in compressors.items()}


def _added_bits_per_byte(corpus: Corpus, counted: int, make: Callable[[], Compressor]) -> float:
    known = stretch(corpus.train, len(corpus.train) - counted, len(corpus.train))
    without = _length(make(), pieces(known))
    with_held_out = _length(make(), chain(pieces(known), pieces(corpus.held_out)))
    return 8 * (with_held_out - without) / len(corpus.held_out)


def _length(compressor: Compressor, data: Iterable[bytes]) -> int:
    return sum(len(compressor.compress(piece)) for piece in data) + len(compressor.flush())
