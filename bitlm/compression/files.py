"""A file made small by a model, and given back to the last byte."""

import io
from collections.abc import Iterator
from hashlib import blake2b

from bitlm.compression.container import (
    HASH_BYTES,
    Header,
    Source,
    Target,
    read_block,
    read_end,
    read_header,
    write_block,
)
from bitlm.compression.identity import model_hash, probe_hash
from bitlm.compression.lanes import BLOCK_LOG2, Progress, decode_block, encode_block, untold
from bitlm.errors import CompressionError, OtherModelError
from bitlm.model import BitTransformer


def compress(
    model: BitTransformer, source: Source, target: Target, *, name: str = "", progress: Progress = untold
) -> None:
    """Write the bytes of a file as the model codes them.

    Its size is what `bitlm evaluate` claims of the same bytes, within 1 % where there are some thousand of
    them. What the model would make longer is kept as it is. Memory does not grow with the file.

    Args:
        model: Never in dropout here; with its reference, if it mixes counts in. It is not written.
        source: Any bytes; it is read from beginning to end, after its length was asked for.
        target: Where they go.
        name: What the model is called, for whoever is to find it again.
        progress: Told of the bytes read, again and again.

    Raises:
        MissingReferenceError: Counts are to be mixed in, and there are none.
        GridOverflowError: The model's weights are not finite.
        CompressionError: The source changed its length while it was read.
    """
    length = source.seek(0, io.SEEK_END)
    source.seek(0)
    header = Header(length, model_hash(model), probe_hash(model), BLOCK_LOG2, name)
    header.write(target)
    digest = blake2b(digest_size=HASH_BYTES)
    for block_length in header.block_lengths():
        block = source.read(block_length)
        if len(block) < block_length:
            raise _changed()
        digest.update(block)
        write_block(target, encode_block(model, block, progress))
    if source.read(1):
        raise _changed()
    target.write(digest.digest())


def decompress(model: BitTransformer, source: Source, target: Target, *, progress: Progress = untold) -> None:
    """Undo `compress`; what is in the target counts only once this has returned.

    Args:
        model: The one it was compressed with.
        source: What `compress` wrote.
        target: Where the original goes.
        progress: Told of the bytes written, again and again.

    Raises:
        CompressionError: The file is damaged, not whole, or none of ours.
        OtherModelError: It was made with another model, or this machine computes otherwise.
        MissingReferenceError: Counts are to be mixed in, and there are none.
    """
    digest = blake2b(digest_size=HASH_BYTES)
    for block in _blocks(model, source, progress):
        digest.update(block)
        target.write(block)
    if read_end(source) != digest.digest():
        raise CompressionError(
            "what came out is not what went in, and is thrown away; fetch or copy the file once more."
        )


def _blocks(model: BitTransformer, source: Source, progress: Progress) -> Iterator[bytes]:
    header = read_header(source)
    require_model(header, model)
    for number, length in enumerate(header.block_lengths(), start=1):
        lanes = read_block(source, length, f"block {number} of {header.blocks}")
        yield decode_block(model, lanes, length, progress)


def require_model(header: Header, model: BitTransformer) -> None:
    """Check that a file can be given back by this model, here.

    Raises:
        OtherModelError: It was made with another model, or this machine computes otherwise.
    """
    own = model_hash(model)
    if header.model != own:
        raise OtherModelError(
            f"the file was made with another model, {header.name or 'without a name'} "
            f"({header.model.hex()[:8]}; this one is {own.hex()[:8]}); name that run and checkpoint, or file."
        )
    if header.probe != probe_hash(model):
        raise OtherModelError(
            "this machine computes other probabilities with the same model than the one that made the file; "
            "give it back there, or with the version of BitLM that made it."
        )


def _changed() -> CompressionError:
    return CompressionError("the file changed its length while it was read; compress it once more.")
