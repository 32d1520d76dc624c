"""A corpus: bytes with a name, a fingerprint and a fixed split."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bitlm.bits import PAYLOAD_BITS, utf8_validity
from bitlm.errors import CorpusError

EMBEDDED = "embedded"
LEAST_WINDOW_BYTES = 16
"""The shortest window that a message proposes."""


@dataclass(frozen=True)
class Corpus:
    """Bytes to learn from; the first nine tenths train, the last tenth is held out.

    Attributes:
        name: What the page shows: "embedded", or the name of the file or folder.
        data: Every byte, in order.
        source: What `Corpus.load` takes to read the same text again; empty for bytes made in memory.
        skipped: Files of the folder that were left out because they contain NUL, by relative path.

    Raises:
        CorpusError: There are no bytes.
    """

    name: str
    data: bytes
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
        over; files that contain NUL are taken for binaries, left out and listed in `skipped`.

        Raises:
            CorpusError: The path is missing, cannot be read or holds no bytes.
        """
        place = _place(path)
        data, skipped = _read_folder(place) if place.is_dir() else (_read(place), [])
        if not data:
            raise _empty(path, place, skipped)
        return cls(place.resolve().name, data, source=str(place.resolve()), skipped=tuple(skipped))

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
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def train(self) -> bytes:
        """The first nine tenths."""
        return self.data[: self._cut]

    @cached_property
    def held_out(self) -> bytes:
        """The last tenth, never trained on."""
        return self.data[self._cut :]

    @cached_property
    def not_utf8(self) -> float:
        """The share of the bytes that belong to no character of UTF-8, in [0, 1]."""
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
    """Return how many bytes `Corpus.load` would read, or None for a folder, which nobody knows unread.

    Raises:
        CorpusError: The path is missing or cannot be looked at.
    """
    if spec == EMBEDDED:
        return len(Corpus.embedded().data)
    place = _place(spec)
    return None if place.is_dir() else place.stat().st_size


def _cut(length: int) -> int:
    return length * 9 // 10


def _read_folder(folder: Path) -> tuple[bytes, list[str]]:
    parts, skipped = [], []
    for path in sorted(_regular_files(folder), key=lambda file: file.relative_to(folder).as_posix()):
        data = _read(path)
        if b"\0" in data:
            skipped.append(path.relative_to(folder).as_posix())
        else:
            parts.append(data)
    return b"".join(parts), skipped


def _regular_files(folder: Path) -> list[Path]:
    found = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def _refuse(error: OSError) -> None:
    raise _unreadable(error.filename, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _place(path: str | os.PathLike[str]) -> Path:
    """Return where a text is to be read.

    Raises:
        CorpusError: There is nothing, nothing that may be looked at, or neither a file nor a folder.
    """
    place = Path(path)
    try:
        place = place.expanduser()
        is_text, is_there = place.is_dir() or place.is_file(), place.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError where nobody has the home folder meant
        raise _unreadable(path, error) from error
    if is_there and not is_text:
        raise CorpusError(
            f"corpus={str(path)!r}: it is neither a regular file nor a folder; name one of these."
        )
    if not is_there:
        raise CorpusError(f"corpus={str(path)!r}: there is no such file or folder; check the path.")
    return place


def _empty(path: object, place: Path, skipped: Sequence[str]) -> CorpusError:
    if place.is_file():
        return CorpusError(f"corpus={str(path)!r}: the file is empty; give one with text.")
    left_out = f", and {len(skipped)} with NUL were taken for binaries" if skipped else ""
    return CorpusError(
        f"corpus={str(path)!r}: no text in this folder. Looked for in it and below: files whose names do not "
        f"begin with a dot{left_out}; put a text there, or name another."
    )


def _unreadable(path: object, error: OSError | RuntimeError) -> CorpusError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return CorpusError(f"corpus={str(path)!r}: cannot be read ({why}); check path and permissions.")
