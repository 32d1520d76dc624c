"""A text: bytes in memory, or packed bytes that stay on the disk and are read where they are asked for.

A byte holds eight payload bits, so the bytes of a text are its bits, packed: a shard is a stretch of the text
as it is, and all shards one after the other are the text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bitlm.data.source import INDEX_FILE
from bitlm.errors import CorpusError

PIECE_BYTES = 1 << 20
"""What is in memory at once of a text that is gone through."""


class Shard(BaseModel):
    """One file of a packed text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(gt=0)
    sha256: str


class Unfinished(BaseModel):
    """What stands in place of the index until all shards are written.

    Attributes:
        source: The file or folder that is packed.
        shard_bytes: Length of every shard but the last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    source: str
    shard_bytes: int = Field(gt=0)


class Index(Unfinished):
    """What a packed text says of itself.

    Attributes:
        name: Of the file or folder that was packed.
        bytes: Of the whole text.
        fingerprint: The SHA-256 of the whole text, in hexadecimal: that of the same text in memory.
        not_utf8: The share of the bytes that belong to no character of UTF-8, in [0, 1].
        shards: In the order of the text.
        skipped: Files of the folder that were left out because they contain NUL, by relative path.
    """

    name: str
    bytes: int = Field(gt=0)
    fingerprint: str
    not_utf8: float = Field(ge=0, le=1)
    shards: tuple[Shard, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class PackedText:
    """A text in shards, or a stretch of one; a slice is read from the disk, and nothing of it is kept.

    Files are read, not mapped: a page of a mapped file that was touched counts as memory of the process
    (docs/decisions/0025). No file is held open, so threads and processes may share one.

    Attributes:
        folder: Where index and shards are.
        index: What the folder says of the whole text.
        begin: Where in the whole text this stretch begins.
        end: Where it ends.
    """

    folder: Path
    index: Index
    begin: int
    end: int

    @classmethod
    def open(cls, folder: Path) -> "PackedText":
        """Return the whole text of a folder; its shards are looked at when they are read.

        Raises:
            CorpusError: The index is damaged, of another version, or not there because the text was not
                packed to its end.
        """
        index = read_index(folder)
        if not isinstance(index, Index):
            raise CorpusError(
                f"corpus={str(folder)!r}: it was not packed to its end; `bitlm data build` with the same "
                f"source, {index.source!r}, goes on."
            )
        return cls(folder, index, 0, index.bytes)

    def __len__(self) -> int:
        """Return the bytes of the stretch."""
        return self.end - self.begin

    def __bytes__(self) -> bytes:
        """Return all of it, in memory."""
        return self[:]

    def __getitem__(self, where: slice) -> bytes:
        """Return some bytes, as a slice of `bytes` would.

        Raises:
            CorpusError: They cannot be read.
        """
        begin, end, step = where.indices(len(self))
        assert step == 1, "a text is read forwards, byte by byte"
        place, last, parts = self.begin + begin, self.begin + end, []
        while place < last:
            number, within = divmod(place, self.index.shard_bytes)
            parts.append(self._read(number, within, min(last - place, self.index.shard_bytes - within)))
            place += len(parts[-1])
        return b"".join(parts)

    def stretch(self, begin: int, end: int) -> "PackedText":
        """Return a part of this stretch; nothing is read."""
        assert 0 <= begin <= end <= len(self), "a part lies inside"
        return PackedText(self.folder, self.index, self.begin + begin, self.begin + end)

    def _read(self, number: int, within: int, count: int) -> bytes:
        path = self.folder / shard_name(number)
        try:
            with path.open("rb") as file:
                file.seek(within)
                data = file.read(count)
        except OSError as error:
            raise CorpusError(
                f"corpus={str(path)!r}: cannot be read ({error.strerror}); check path and permissions."
            ) from error
        if len(data) < count:
            raise _damaged(path)
        return data


Text: TypeAlias = bytes | PackedText


def read_index(folder: Path) -> Index | Unfinished:
    """Return what a folder of a packed text says of itself.

    Raises:
        CorpusError: It cannot be read or understood, or contradicts itself.
    """
    path = folder / INDEX_FILE
    try:
        index = TypeAdapter[Index | Unfinished](Index | Unfinished).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged, or of another version"
        raise CorpusError(f"corpus={str(path)!r}: cannot be read ({why}); pack the text again.") from error
    if isinstance(index, Index) and [shard.bytes for shard in index.shards] != _lengths(index):
        raise CorpusError(f"corpus={str(path)!r}: its shards do not make up the text; pack it again.")
    return index


def shard_name(number: int) -> str:
    """Return the file name of a shard, counted from 0."""
    return f"{number:05}.shard"


def stretch(text: Text, begin: int, end: int) -> Text:
    """Return a part of a text, of a packed one without reading it."""
    return text[begin:end] if isinstance(text, bytes) else text.stretch(begin, end)


def pieces(text: Text) -> Iterator[bytes]:
    """Yield a text from its beginning to its end, a megabyte at a time."""
    for begin in range(0, len(text), PIECE_BYTES):
        yield text[begin : begin + PIECE_BYTES]


def require_whole(text: PackedText, progress: Callable[[int], object] = lambda done: None) -> None:  # noqa: ARG005 - who does not look
    """Check every shard and the whole text by their hashes; `progress` is told the bytes of each piece.

    Raises:
        CorpusError: A shard is missing or is not what was written; names it.
    """
    whole, begin = sha256(), 0
    for number, shard in enumerate(text.index.shards):
        digest = sha256()
        for piece in pieces(text.stretch(begin, begin + shard.bytes)):
            digest.update(piece)
            whole.update(piece)
            progress(len(piece))
        if digest.hexdigest() != shard.sha256:
            raise _damaged(text.folder / shard_name(number))
        begin += shard.bytes
    if whole.hexdigest() != text.index.fingerprint:
        raise _damaged(text.folder / INDEX_FILE)


def _lengths(index: Index) -> list[int]:
    """Return how long the shards of a text are."""
    return [min(index.shard_bytes, index.bytes - begin) for begin in range(0, index.bytes, index.shard_bytes)]


def _damaged(path: Path) -> CorpusError:
    return CorpusError(
        f"corpus={str(path)!r}: it is not what was written; remove its folder and pack the text again."
    )
