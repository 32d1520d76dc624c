"""One SQLite file with one durable writer, brought to today's layout when it is opened."""

import errno
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitlm.errors import StorageFullError, StoreVersionError
from bitlm.session.schema import MIGRATIONS

FILE_NAME = "bitlm.sqlite3"


class Database:
    """WAL with `synchronous=FULL`: what is committed survives a power cut. Any thread may read.

    Raises:
        StoreVersionError: The file was written by a newer BitLM.
        StorageFullError: The disk is full.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._lock = threading.RLock()
        self._writer = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=FULL")
        self._migrate(data_dir)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._writer.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees what has been committed."""
        connection = sqlite3.connect(self._path)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the writer in one transaction: durable when this ends, undone if anything raises."""
        with self._lock, full_disk_named():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # SQLite has undone it by itself when the disk is full
                    self._writer.execute("ROLLBACK")
                raise

    def _version(self) -> int:
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _migrate(self, data_dir: Path) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self.writing() as writer:
            version = self._version()  # another process may just have done it
            if version > len(MIGRATIONS):
                raise StoreVersionError(self._path, version, len(MIGRATIONS))
            for migrate in MIGRATIONS[version:]:
                migrate(writer, data_dir)
            writer.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Turn the ways in which a full disk shows itself into one error.

    Raises:
        StorageFullError: What was written did not fit.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise StorageFullError from error
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError from error
        raise
