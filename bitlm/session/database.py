"""One SQLite file with one durable writer, brought to today's layout when it is opened."""

import errno
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bitlm.errors import StorageFullError, StoreUnreadyError, StoreVersionError
from bitlm.session.schema import MIGRATIONS

FILE_NAME = "bitlm.sqlite3"


class Database:
    """WAL with `synchronous=FULL`: what is committed survives a power cut. Any thread may read.

    Raises:
        StoreVersionError: The file was written by a newer BitLM.
        StoreUnreadyError: It is only to be read, and is not there, or was written by an earlier one.
        StorageFullError: The disk is full.
    """

    def __init__(self, data_dir: Path, *, read_only: bool = False) -> None:
        self._path = data_dir / FILE_NAME
        self._is_read_only = read_only
        self._lock = threading.RLock()
        if read_only and not self._path.exists():
            raise StoreUnreadyError(self._path)
        self._writer = self._connected(check_same_thread=False, isolation_level=None)
        if read_only:
            self._require_layout()
            return
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
        connection = self._connected()
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the writer in one transaction: durable when this ends, undone if anything raises."""
        assert not self._is_read_only, "whoever only watches has nothing to write"
        with self._lock, full_disk_named():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # SQLite has undone it by itself when the disk is full
                    self._writer.execute("ROLLBACK")
                raise

    def _connected(self, **options: Any) -> sqlite3.Connection:
        mode = "ro" if self._is_read_only else "rwc"
        connection: sqlite3.Connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode={mode}", uri=True, **options
        )
        return connection

    def _require_layout(self) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise StoreVersionError(self._path, version, len(MIGRATIONS))
        if version < len(MIGRATIONS):
            raise StoreUnreadyError(self._path)

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
