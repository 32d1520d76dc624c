"""A text of any size packed into shards, a piece of it in memory at a time; gone on with after a crash.

The bytes are those that `Corpus.from_path` would read, in the same order, and so is the fingerprint.
"""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from bitlm.bits import CharacterCounter
from bitlm.data.source import INDEX_FILE, no_text, place_of, text_files, unreadable
from bitlm.data.text import PIECE_BYTES, Index, Shard, Unfinished, read_index, shard_name
from bitlm.errors import ConfigError, CorpusError
from bitlm.history.aside import written_aside
from bitlm.session.database import full_disk_named
from bitlm.session.durability import ASIDE, make_folder, sweep, unobserved, write_durably

SHARD_BYTES = 1 << 26

Progress = Callable[[int, int], object]
"""Told how many bytes of the source were gone through, and how many there are."""


def pack(
    source: str | os.PathLike[str],
    folder: Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = unobserved,
) -> Index:
    """Pack a file, or the text files below a folder, and return what the packed text says of itself.

    Where an earlier call was cut off, shards that are whole stay; each is compared with the source, so that
    all are of one text. `Corpus.load` takes the folder once it is packed to its end, and not before.

    Args:
        source: What `Corpus.from_path` takes.
        folder: Where to: not there, empty, or what an earlier call with the same arguments left.
        shard_bytes: Length of every shard but the last.
        progress: Told how far it is.

    Raises:
        ConfigError: The folder holds something else or lies in the source, the source is a packed text, or
            `shard_bytes` is below 1.
        CorpusError: The source cannot be read, holds no text, or has changed since the packing began.
        StorageFullError: It did not fit; what is packed stays.
    """
    if shard_bytes < 1:
        raise ConfigError("shard_bytes", shard_bytes, "use at least 1.")
    place = place_of(source).resolve()
    if (place / INDEX_FILE).exists():
        raise ConfigError("source", str(source), "it is packed already; train on it as it is.")
    begun = Unfinished(source=str(place), shard_bytes=shard_bytes)
    reading = _Reading(place, progress)
    if not reading.goes_on():
        raise no_text(source, place, reading.skipped)
    _begin(folder, begun)
    shards: list[Shard] = []
    while reading.goes_on():
        path = folder / shard_name(len(shards))
        shards.append((_compared if path.exists() else _written)(path, reading, shard_bytes))
    if (folder / shard_name(len(shards))).exists():
        raise _changed(folder)
    index = Index(
        **begun.model_dump(),
        name=place.name,
        bytes=sum(shard.bytes for shard in shards),
        fingerprint=reading.digest.hexdigest(),
        not_utf8=1.0 - reading.characters.validity,
        shards=tuple(shards),
        skipped=tuple(reading.skipped),
    )
    _write_index(folder, index)
    return index


class _Reading:
    """A source from its beginning to its end.

    Attributes:
        skipped: Files with NUL met so far, by relative path.
        digest: SHA-256 of what was read.
        characters: What of it is UTF-8.
    """

    def __init__(self, place: Path, progress: Progress) -> None:
        self.skipped: list[str] = []
        self.digest = sha256()
        self.characters = CharacterCounter()
        self._place = place
        self._progress = progress
        self._files = text_files(place) if place.is_dir() else [place]
        self._total = sum(_looked_at(path).st_size for path in self._files)
        self._done = 0
        self._pieces = self._all_pieces()
        self._next = b""

    def goes_on(self) -> bool:
        """Return whether there is anything left."""
        self._next = self._next or next(self._pieces, b"")
        return bool(self._next)

    def read(self, most: int) -> Iterator[bytes]:
        """Yield the next bytes, `most` or all that are left, a piece at a time."""
        while most and self.goes_on():
            piece, self._next = self._next[:most], self._next[most:]
            most -= len(piece)
            self.digest.update(piece)
            self.characters.read(piece)
            yield piece

    def _all_pieces(self) -> Iterator[bytes]:
        for path in self._files:
            before = _looked_at(path)
            if self._place.is_dir() and any(b"\0" in piece for piece in _pieces_of(path)):
                self.skipped.append(path.relative_to(self._place).as_posix())
                self._advance(before.st_size)
                continue
            for piece in _pieces_of(path):
                self._advance(len(piece))
                yield piece
                after = _looked_at(path)  # at each piece: who appends may never come to an end
                if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                    raise CorpusError(f"corpus={str(path)!r}: it changes while it is read; pack it later.")

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def _begin(folder: Path, begun: Unfinished) -> None:
    """Make the folder ready, with a note in place of the index.

    Raises:
        ConfigError: It holds something else, or lies in the source.
    """
    if folder.resolve().is_relative_to(begun.source):
        raise ConfigError("output", str(folder), "it lies in what is to be packed; name another folder.")
    if (folder / INDEX_FILE).exists():
        there = read_index(folder)
        if isinstance(there, Index):
            raise ConfigError("output", str(folder), f"it holds {there.name!r}, packed; name another folder.")
        if there != begun:
            told = f"{there.source!r} in shards of {there.shard_bytes} bytes"
            raise ConfigError(
                "output",
                str(folder),
                f"the packing of {told} was begun there: go on with that, or remove it.",
            )
        sweep(folder)
        return
    if folder.exists() and any(not path.name.startswith(ASIDE) for path in folder.iterdir()):
        raise ConfigError("output", str(folder), "it is not empty; name a folder that is, or is not there.")
    make_folder(folder)
    _write_index(folder, begun)


def _write_index(folder: Path, index: Unfinished) -> None:
    with full_disk_named():
        write_durably(folder / INDEX_FILE, index.model_dump_json(indent=2).encode() + b"\n")


def _written(path: Path, reading: _Reading, shard_bytes: int) -> Shard:
    """Bring the next shard to the disk."""
    digest, length = sha256(), 0
    with written_aside(path) as file:
        for piece in reading.read(shard_bytes):
            file.write(piece)
            digest.update(piece)
            length += len(piece)
    return Shard(bytes=length, sha256=digest.hexdigest())


def _compared(path: Path, reading: _Reading, shard_bytes: int) -> Shard:
    """Return what an earlier call has written, if it is what the source has there.

    Raises:
        CorpusError: It is not.
    """
    digest, length = sha256(), 0
    for piece in reading.read(shard_bytes):
        digest.update(piece)
        length += len(piece)
    there = sha256()
    for piece in _pieces_of(path):
        there.update(piece)
    if there.digest() != digest.digest():
        raise _changed(path.parent)
    return Shard(bytes=length, sha256=digest.hexdigest())


def _pieces_of(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise unreadable(path, error) from error


def _looked_at(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise unreadable(path, error) from error


def _changed(folder: Path) -> CorpusError:
    return CorpusError(
        f"corpus={str(folder)!r}: the source is not what it was when the packing began; remove this folder "
        "and pack it again."
    )
