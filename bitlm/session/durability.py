"""Files that are whole or not there: write aside, fsync, rename, fsync the folder."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_and_sync(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that is never seen half-written and survives a power cut once this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".tmp-{token_hex(4)}")
    _write_and_sync(aside, data)
    aside.rename(path)
    sync_folder(path.parent)


def write_folder_durably(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files that appears whole or not at all, in place of any of that name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".tmp-{token_hex(4)}")
    aside.mkdir()
    for name, data in files.items():
        _write_and_sync(aside / name, data)
    sync_folder(aside)
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    sync_folder(folder.parent)
