"""A file too large for memory, written aside and renamed: it is whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from bitlm.session.database import full_disk_named
from bitlm.session.durability import ASIDE, make_folder, sync_folder


@contextmanager
def written_aside(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write; it takes its name, durably, once the block ends, and is gone if that raises.

    Raises:
        StorageFullError: It did not fit.
    """
    make_folder(path.parent)
    aside = path.with_name(f"{ASIDE}{token_hex(4)}")
    try:
        with full_disk_named():
            with aside.open("w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)
