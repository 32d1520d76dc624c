"""What is committed is durable, what fails is undone, and a full disk has one name."""

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitlm.errors import StorageFullError, StoreVersionError
from bitlm.session.database import FILE_NAME, Database, full_disk_named
from bitlm.session.schema import MIGRATIONS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path)
    yield made
    made.close()


def fingerprints(database: Database) -> list[str]:
    with database.reading() as reader:
        return [row["fingerprint"] for row in reader.execute("SELECT fingerprint FROM baselines ORDER BY 1")]


def enter(database: Database, fingerprint: str) -> None:
    with database.writing() as writer:
        writer.execute("INSERT INTO baselines VALUES (?, '{}')", (fingerprint,))


def test_the_log_is_written_ahead_and_synced_in_full(database: Database) -> None:
    with database.writing() as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert writer.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_what_is_written_is_seen_by_readers_once_it_is_whole(database: Database, tmp_path: Path) -> None:
    with database.writing() as writer:
        writer.execute("INSERT INTO baselines VALUES ('one', '{}')")
        assert fingerprints(database) == []
    assert fingerprints(database) == ["one"]
    assert fingerprints(Database(tmp_path)) == ["one"]


def test_what_fails_is_undone_and_the_next_transaction_begins_anew(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.writing() as writer:
        writer.executemany("INSERT INTO baselines VALUES (?, '{}')", [("lost",), ("lost",)])
    enter(database, "kept")
    assert fingerprints(database) == ["kept"]


def test_a_full_disk_is_said_to_be_full_and_nothing_is_half_written(database: Database) -> None:
    with database.writing() as writer:
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
    with database.writing() as writer:
        writer.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageFullError), database.writing() as writer:
        writer.executemany("INSERT INTO baselines VALUES (?, '{}')", [(str(n),) for n in range(10_000)])
    assert fingerprints(database) == []
    enter(database, "small")
    assert fingerprints(database) == ["small"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_or_a_quota_that_is_used_up_is_one_error(number: int) -> None:
    with pytest.raises(StorageFullError), full_disk_named():
        raise OSError(number, "it does not fit")


def test_other_failures_keep_their_names() -> None:
    with pytest.raises(PermissionError), full_disk_named():
        raise PermissionError(errno.EACCES, "not yours")
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError, match="no such table"), full_disk_named():
        connection.execute("SELECT * FROM absent")
    connection.close()


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Database(tmp_path).close()
    newer = len(MIGRATIONS) + 1
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute(f"PRAGMA user_version={newer}")
    connection.close()
    with pytest.raises(StoreVersionError, match=str(newer)):
        Database(tmp_path)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone() == (newer,)
    connection.close()
