"""Where texts come from: one file as it is, or every text file below a folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from bitlm.errors import CorpusError

INDEX_FILE = "bitlm-corpus.json"
"""What tells a packed text from a folder of texts."""


def place_of(path: str | os.PathLike[str]) -> Path:
    """Return where a text is to be read; `~` at the beginning is the home folder.

    Raises:
        CorpusError: There is nothing, nothing that may be looked at, or neither a file nor a folder.
    """
    place = Path(path)
    try:
        place = place.expanduser()
        is_text, is_there = place.is_dir() or place.is_file(), place.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError where nobody has the home folder meant
        raise unreadable(path, error) from error
    if is_there and not is_text:
        raise CorpusError(
            f"corpus={str(path)!r}: it is neither a regular file nor a folder; name one of these."
        )
    if not is_there:
        raise CorpusError(f"corpus={str(path)!r}: there is no such file or folder; check the path.")
    return place


def text_files(folder: Path) -> list[Path]:
    """Return the files below a folder in the order of their relative paths.

    Hidden files and folders, symbolic links, whatever is no regular file, and packed texts, which are of a
    text that may be there as well, are passed over.

    Raises:
        CorpusError: A folder cannot be read.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        seen = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in seen if not Path(place, name, INDEX_FILE).exists()]
        paths = (Path(place, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def no_text(path: object, place: Path, skipped: Sequence[str]) -> CorpusError:
    """Return that a file is empty, or that there is no text in a folder and what was looked for."""
    if place.is_file():
        return CorpusError(f"corpus={str(path)!r}: the file is empty; give one with text.")
    left_out = f", and {len(skipped)} with NUL were taken for binaries" if skipped else ""
    return CorpusError(
        f"corpus={str(path)!r}: no text in this folder. Looked for in it and below: files whose names do not "
        f"begin with a dot{left_out}; put a text there, or name another."
    )


def unreadable(path: object, error: OSError | RuntimeError) -> CorpusError:
    """Return that a file or folder cannot be read, and why."""
    why = error.strerror if isinstance(error, OSError) else str(error)
    return CorpusError(f"corpus={str(path)!r}: cannot be read ({why}); check path and permissions.")


def _refuse(error: OSError) -> None:
    raise unreadable(error.filename, error) from error
