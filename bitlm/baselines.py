"""What well-known compressors and the reference model need for the same text."""

import bz2
import gzip
import lzma
from collections.abc import Callable

from bitlm.data import Corpus
from bitlm.reference import ReferenceModel

_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, compresslevel=9, mtime=0),
    "bzip2": lambda data: bz2.compress(data, compresslevel=9),
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
}


def baselines(corpus: Corpus, reference: ReferenceModel) -> dict[str, float]:
    """Return the bits per byte of the held-out tenth, given the training part.

    A compressor is charged what the held-out tenth adds to the compressed training part, at its best
    level: 8 (|z(train + held out)| - |z(train)|) / |held out|. gzip looks back 32 KB only. The order-k
    lines are the reference model's with contexts of up to k bytes, one line to each order it has.

    Args:
        corpus: The text; its held-out tenth is what is measured.
        reference: Fitted on the corpus's training part.
    """
    added = {name: _added_bits_per_byte(corpus, compress) for name, compress in _COMPRESSORS.items()}
    orders = reference.bits_per_byte_of_orders(corpus.held_out, history=corpus.train)
    return added | {f"order-{k}": bits_per_byte for k, bits_per_byte in enumerate(orders)}


def _added_bits_per_byte(corpus: Corpus, compress: Callable[[bytes], bytes]) -> float:
    added_bytes = len(compress(corpus.data)) - len(compress(corpus.train))
    return 8 * added_bytes / len(corpus.held_out)
