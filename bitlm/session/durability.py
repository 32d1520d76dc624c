"""Files that are whole or not there: write aside, fsync, rename, fsync the folder."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex

ASIDE = ".tmp-"
"""Begins the names of what is not whole yet; whatever bears it may be swept when nobody writes."""

ANYBODY = 0o666
"""The mode of a file that is nobody's secret."""

Reached = Callable[[str], None]
"""Called at each point of a commit, by its name."""


def unobserved(*what: object) -> None:
    """Let a point or a progress pass without telling anyone."""


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file durable that something else has just written, its name included."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, each durable in the one that holds it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def write_and_sync(path: Path, data: bytes, mode: int = ANYBODY) -> None:
    """Write a file whose bytes are durable once this returns; its name is when its folder is synced."""
    with open(path, "wb", opener=partial(os.open, mode=mode)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_durably(path: Path, data: bytes, *, mode: int = ANYBODY) -> None:
    """Write a file that is never seen half-written and survives a power cut once this returns.

    `mode` is who may read and write it, less what the process's umask takes away.
    """
    make_folder(path.parent)
    aside = path.with_name(f"{ASIDE}{token_hex(4)}")
    try:
        write_and_sync(aside, data, mode)
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_folder_durably(
    folder: Path,
    files: Mapping[str, bytes],
    *,
    reached: Reached = lambda point: None,  # noqa: ARG005
) -> None:
    """Write a new folder of files that appears whole or not at all."""
    with folder_written_durably(folder, reached=reached) as aside:
        for name, data in files.items():
            write_and_sync(aside / name, data)
            reached(f"{name} written")


@contextmanager
def folder_written_durably(folder: Path, *, reached: Reached) -> Iterator[Path]:
    """Yield a new folder to write files to, each durably; then it appears whole, or not at all."""
    make_folder(folder.parent)
    aside = folder.with_name(f"{ASIDE}{folder.name}")
    try:
        aside.mkdir()
        yield aside
        sync_folder(aside)
        reached("folder synced")
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    reached("folder renamed")
    sync_folder(folder.parent)
    reached("parent synced")


def sweep(folder: Path) -> None:
    """Remove what was left half-written in `folder`; nothing else is touched."""
    for path in folder.glob(f"{ASIDE}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
