"""A corpus: bytes with a name, a fingerprint and a fixed split."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bitlm.bits import PAYLOAD_BITS, utf8_validity
from bitlm.data.source import INDEX_FILE, no_text, place_of, text_files, unreadable
from bitlm.data.text import PackedText, Text, stretch
from bitlm.errors import CorpusError

EMBEDDED = "embedded"
LEAST_WINDOW_BYTES = 16
"""The shortest window that a message proposes."""


@dataclass(frozen=True)
class Corpus:
    """Bytes to learn from; the first nine tenths train, the last tenth is held out.

    Attributes:
        name: What the page shows: "embedded", or the name of the file or folder.
        data: Every byte, in order: in memory, or packed on the disk.
        source: What `Corpus.load` takes to read the same text again; empty for bytes made in memory.
        skipped: Files of the folder that were left out because they contain NUL, by relative path.

    Raises:
        CorpusError: There are no bytes.
    """

    name: str
    data: Text
    source: str = ""
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.data:
            raise CorpusError(f"corpus {self.name!r} has no bytes; give one with text.")

    @classmethod
    def embedded(cls) -> "Corpus":
        """Return the text that comes with Python itself: the language help of `pydoc`, about 466 KB.

        Its bytes depend on the Python release; the fingerprint tells them apart.
        """
        from pydoc_data.topics import topics  # noqa: PLC0415 - half a megabyte nobody needs on import

        return cls(EMBEDDED, "".join(topics[key] for key in sorted(topics)).encode(), source=EMBEDDED)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> "Corpus":
        """Read one file as it is, or every text file below a folder in the order of their relative paths.

        `~` at the beginning is the home folder.

        In a folder, hidden files and folders, symbolic links and whatever is no regular file are passed
        over; files that contain NUL are taken for binaries, left out and listed in `skipped`. A folder that
        `bitlm data build` wrote is the text that it packed, which stays on the disk.

        Raises:
            CorpusError: The path is missing, cannot be read or holds no bytes.
        """
        place = place_of(path)
        if (place / INDEX_FILE).exists():
            return cls.packed(place)
        data, skipped = _read_folder(place) if place.is_dir() else (_read(place), [])
        if not data:
            raise no_text(path, place, skipped)
        return cls(place.resolve().name, data, source=str(place.resolve()), skipped=tuple(skipped))

    @classmethod
    def packed(cls, folder: Path) -> "Corpus":
        """Return the text that was packed into a folder, by the name of what it was packed from.

        Raises:
            CorpusError: As `PackedText.open`.
        """
        text = PackedText.open(folder)
        return cls(text.index.name, text, source=str(folder.resolve()), skipped=text.index.skipped)

    @classmethod
    def load(cls, spec: str) -> "Corpus":
        """Return the embedded corpus for "embedded", else the file or folder at the path `spec`.

        Raises:
            CorpusError: As `from_path`.
        """
        return cls.embedded() if spec == EMBEDDED else cls.from_path(spec)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        if isinstance(self.data, PackedText):
            return self.data.index.fingerprint
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def train(self) -> Text:
        """The first nine tenths."""
        return stretch(self.data, 0, self._cut)

    @cached_property
    def held_out(self) -> Text:
        """The last tenth, never trained on."""
        return stretch(self.data, self._cut, len(self.data))

    @cached_property
    def not_utf8(self) -> float:
        """The share of the bytes that belong to no character of UTF-8, in [0, 1]."""
        if isinstance(self.data, PackedText):
            return self.data.index.not_utf8
        return 1.0 - utf8_validity(self.data)

    @property
    def remarks(self) -> dict[str, float]:
        """What whoever makes a run of it is told: `not_utf8`, where it is not 0."""
        return {"not_utf8": self.not_utf8} if self.not_utf8 else {}

    def require_window(self, window_bytes: int) -> None:
        """Check that both parts hold at least one window.

        Raises:
            CorpusError: A part is too short; says how many bytes there are and how many are needed.
        """
        require_window(self.name, len(self.data), window_bytes)

    @property
    def _cut(self) -> int:
        return _cut(len(self.data))


def require_window(name: str, length: int, window_bytes: int) -> None:
    """Check that both parts of a text of `length` bytes would hold at least one window.

    Raises:
        CorpusError: A part is too short; says how many bytes there are and how many are needed.
    """
    cut = _cut(length)
    for part, part_bytes in (("training part", cut), ("held-out tenth", length - cut)):
        if part_bytes < window_bytes:
            raise CorpusError(
                f"corpus {name!r} is too short: its {part} has {part_bytes} bytes and one window "
                f"needs {window_bytes}; supply at least {10 * window_bytes} bytes{_shorter(length - cut)}."
            )


def _shorter(window_bytes: int) -> str:
    """Return the setting with which a window is no longer than that."""
    if window_bytes < LEAST_WINDOW_BYTES:
        return ""
    most = window_bytes * PAYLOAD_BITS
    return f", or set max_seq_len (bits) to {most} or less"


def length_at(spec: str) -> int | None:
    """Return how many bytes `Corpus.load` would find; None for a folder of texts, which nobody knows unread.

    Raises:
        CorpusError: The path is missing or cannot be looked at.
    """
    if spec == EMBEDDED:
        return len(Corpus.embedded().data)
    place = place_of(spec)
    if (place / INDEX_FILE).exists():
        return len(PackedText.open(place))
    return None if place.is_dir() else place.stat().st_size


def _cut(length: int) -> int:
    return length * 9 // 10


def _read_folder(folder: Path) -> tuple[bytes, list[str]]:
    parts, skipped = [], []
    for path in text_files(folder):
        data = _read(path)
        if b"\0" in data:
            skipped.append(path.relative_to(folder).as_posix())
        else:
            parts.append(data)
    return b"".join(parts), skipped


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
