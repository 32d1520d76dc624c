"""A corpus: bytes with a name, a fingerprint and a fixed split."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bitlm.errors import CorpusError

EMBEDDED = "embedded"


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
            left_out = f" ({len(self.skipped)} file(s) with NUL were skipped)" if self.skipped else ""
            raise CorpusError(f"corpus {self.name!r} has no bytes{left_out}; give one with text.")

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

        In a folder, hidden files and folders, symbolic links and whatever is no regular file are passed
        over; files that contain NUL are taken for binaries, left out and listed in `skipped`.

        Raises:
            CorpusError: The path is missing, cannot be read or holds no bytes.
        """
        place = Path(path)
        try:
            is_folder, is_file = place.is_dir(), place.is_file()
        except OSError as error:
            raise _unreadable(place, error) from error
        if not (is_folder or is_file):
            raise _missing(path)
        data, skipped = _read_folder(place) if is_folder else (_read(place), [])
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
                f"needs {window_bytes}; supply at least {10 * window_bytes} bytes or lower max_seq_len."
            )


def length_at(spec: str) -> int | None:
    """Return how many bytes `Corpus.load` would read, or None for a folder, which nobody knows unread.

    Raises:
        CorpusError: The path is missing or cannot be looked at.
    """
    if spec == EMBEDDED:
        return len(Corpus.embedded().data)
    place = Path(spec)
    try:
        is_folder, is_file = place.is_dir(), place.is_file()
        length = place.stat().st_size if is_file else None
    except OSError as error:
        raise _unreadable(place, error) from error
    if not (is_folder or is_file):
        raise _missing(spec)
    return length


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


def _missing(path: object) -> CorpusError:
    return CorpusError(f"corpus={str(path)!r}: there is no such file or folder; check the path.")


def _unreadable(path: object, error: OSError) -> CorpusError:
    return CorpusError(
        f"corpus={str(path)!r}: cannot be read ({error.strerror}); check path and permissions."
    )
