"""The file around the lanes: what made it, blocks with a hash each, and a hash of what went in.

    header   magic and version, length of the original, hashes of model and probe, log2 of a block's bytes,
             name of the model; check
    blocks   how many lanes, how long each is, check, the lanes
    end      hash of the original

Whole numbers are little-endian. A check is a short hash: damage is noticed before a block is decoded, another
model before the first. What decides that the right bytes came out is the hash at the end.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from bitlm.compression.lanes import lane_lengths
from bitlm.errors import CompressionError

MAGIC = b"BLM\x1a"
VERSION = 1
HASH_BYTES = 8
CHECK_BYTES = 4
MOST_BLOCK_LOG2 = 26
LONGEST_NAME = 255

_FIXED = struct.Struct("<4sBQ6s4sBB")
_LANES = struct.Struct("<B")
_SIZE_BYTES = 2


@runtime_checkable
class Source(Protocol):
    """Bytes that can be read, and read again: a file, or `io.BytesIO`."""

    def read(self, count: int, /) -> bytes:
        """Return so many bytes, or fewer at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there, and return where that is from the beginning."""


@runtime_checkable
class Target(Protocol):
    """Where bytes can be written: a file, or `io.BytesIO`."""

    def write(self, data: bytes, /) -> int:
        """Write all of them."""


@dataclass(frozen=True)
class Header:
    """What stands before the blocks.

    Attributes:
        length: Bytes of the original.
        model: `model_hash` of what it was made with.
        probe: `probe_hash` of it where it was made.
        block_log2: Binary logarithm of how many bytes of the original each block but the last has.
        name: What the model is called by whoever made the file, at most 255 bytes of UTF-8.
    """

    length: int
    model: bytes
    probe: bytes
    block_log2: int
    name: str

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.length // (1 << self.block_log2))

    def block_lengths(self) -> Iterator[int]:
        """Yield how many bytes of the original each block has."""
        most = 1 << self.block_log2
        for begin in range(0, self.length, most):
            yield min(most, self.length - begin)

    def write(self, target: Target) -> None:
        """Write it with its hash."""
        name = self.name.encode()[:LONGEST_NAME]
        numbers = (self.length, self.model, self.probe, self.block_log2, len(name))
        fixed = _FIXED.pack(MAGIC, VERSION, *numbers)
        target.write(fixed + name + _check(fixed + name))


def read_header(source: Source) -> Header:
    """Return the header that a file begins with.

    Raises:
        CompressionError: It is none, of another layout, damaged, or not whole.
    """
    fixed = source.read(_FIXED.size)
    if not fixed.startswith(MAGIC):
        raise CompressionError("this file was not written by `bitlm compress`; give one that was.")
    if len(fixed) < _FIXED.size:
        raise _ends_early("header")
    _, version, length, model, probe, block_log2, name_bytes = _FIXED.unpack(fixed)
    if version != VERSION:
        raise CompressionError(
            f"the file has layout {version} and this BitLM knows {VERSION}; use the BitLM that wrote it."
        )
    name = _take(source, name_bytes, "header")
    check = _take(source, CHECK_BYTES, "header")
    if check != _check(fixed + name) or block_log2 > MOST_BLOCK_LOG2:
        raise _damaged("header")
    return Header(length, model, probe, block_log2, name.decode(errors="replace"))


def write_block(target: Target, lanes: list[bytes]) -> None:
    """Write a block's lanes."""
    head = _LANES.pack(len(lanes)) + struct.pack(f"<{len(lanes)}H", *map(len, lanes))
    target.write(b"".join([head, _check(head, *lanes), *lanes]))


def read_block(source: Source, length: int, what: str) -> list[bytes]:
    """Return the lanes of a block of so many bytes of the original.

    Args:
        source: Stands at the block.
        length: Bytes of the original.
        what: Which block, in words.

    Raises:
        CompressionError: It is damaged, or not whole.
    """
    head = _take(source, _LANES.size, what)
    (count,) = _LANES.unpack(head)
    if not 0 < count <= length:
        raise _damaged(what)
    head += _take(source, _SIZE_BYTES * count, what)
    check = _take(source, CHECK_BYTES, what)
    sizes = struct.unpack_from(f"<{count}H", head, _LANES.size)
    if any(size > own for size, own in zip(sizes, lane_lengths(length, count), strict=True)):
        raise _damaged(what)
    lanes = [_take(source, size, what) for size in sizes]
    if check != _check(head, *lanes):
        raise _damaged(what)
    return lanes


def read_end(source: Source) -> bytes:
    """Return the hash of the original.

    Raises:
        CompressionError: It is not there, or the file goes on after it.
    """
    digest = _take(source, HASH_BYTES, "end")
    if source.read(1):
        raise CompressionError("the file goes on after its end; something was appended to it.")
    return digest


def _check(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=CHECK_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _take(source: Source, count: int, what: str) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise _ends_early(what)
    return data


def _ends_early(what: str) -> CompressionError:
    return CompressionError(f"the file ends within its {what}; fetch or copy it whole once more.")


def _damaged(what: str) -> CompressionError:
    return CompressionError(
        f"the file's {what} is damaged, no byte of it is given; fetch or copy it once more."
    )
