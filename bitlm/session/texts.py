"""The texts of a data folder, each under its SHA-256: a file, or the folder of a text in shards."""

import os
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from bitlm.data import Corpus, PackedText, Text
from bitlm.data.source import INDEX_FILE
from bitlm.data.text import require_whole, shard_name
from bitlm.errors import CorpusError
from bitlm.session.database import full_disk_named
from bitlm.session.durability import ASIDE, make_folder, sync_file, sync_folder, write_durably


class Texts:
    """Keeps texts; what is kept twice is there once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, corpus: Corpus) -> Corpus:
        """Keep a corpus's text and return the corpus as it is kept: the folder a packed one came from may go.

        Raises:
            CorpusError: As `put`.
            StorageFullError: As `put`.
        """
        path = self.path(self.put(corpus.data))
        return replace(corpus, data=PackedText.open(path)) if path.is_dir() else corpus

    def put(self, text: Text) -> str:
        """Keep a text by its SHA-256 and return that.

        Shards are linked where the file system can, so that they take no room twice, and copied otherwise.

        Raises:
            CorpusError: A packed text is not what was written.
            StorageFullError: It did not fit.
        """
        digest = text.index.fingerprint if isinstance(text, PackedText) else sha256(text).hexdigest()
        with full_disk_named():
            if self.path(digest).exists():
                sync_folder(self._folder)  # whoever wrote it may have died before it did
            elif isinstance(text, PackedText):
                self._put_shards(text, self.path(digest))
            else:
                write_durably(self.path(digest), text)
        return digest

    def get(self, digest: str) -> Text:
        """Return a kept text: in memory, or packed as it was put.

        Raises:
            CorpusError: It is not there, or not what it was.
        """
        path = self.path(digest)
        if path.is_dir():
            text = PackedText.open(path)
            require_whole(text)
            if text.index.fingerprint == digest:
                return text
        data = path.read_bytes() if path.is_file() else b""
        if sha256(data).hexdigest() != digest:
            raise CorpusError(
                f"the text {digest[:12]} in {path.parent} is missing or was changed; restore it."
            )
        return data

    def look(self, digest: str) -> Text | None:
        """Return a kept text, unlike `get` without making sure of it; None where it is not there.

        Raises:
            CorpusError: It is packed, and what its folder says of it cannot be read.
        """
        path = self.path(digest)
        if path.is_dir():
            return PackedText.open(path)
        return path.read_bytes() if path.is_file() else None

    def size(self, digest: str) -> int | None:
        """Return the bytes of a kept text, or None where it is not there."""
        path = self.path(digest)
        if path.is_dir():
            return len(PackedText.open(path))
        return path.stat().st_size if path.exists() else None

    def path(self, digest: str) -> Path:
        """Return where a text is, or would be."""
        return self._folder / digest

    def _put_shards(self, text: PackedText, path: Path) -> None:
        """Bring a folder of shards to the disk, whole or not at all."""
        make_folder(self._folder)
        aside = self._folder / f"{ASIDE}{token_hex(4)}"
        aside.mkdir()
        try:
            names = [INDEX_FILE, *(shard_name(number) for number in range(len(text.index.shards)))]
            for name in names:
                _link_or_copy(text.folder / name, aside / name)
            sync_folder(aside)
            require_whole(PackedText.open(aside))
            aside.rename(path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_folder(self._folder)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one that has no links
        shutil.copyfile(source, target)
        sync_file(target)
