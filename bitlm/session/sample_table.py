"""The samples along training of all runs; those just drawn wait in memory for a transaction."""

import json
import sqlite3
import threading

from bitlm.session.database import Database
from bitlm.session.scheduled_samples import ScheduledSample

COLUMNS = "step, at, schedule, text, surprise_bits, bits_per_byte, K, C, S"
INSERT = f"INSERT OR REPLACE INTO samples (run_id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 # our own column names
COPY = (
    f"INSERT INTO samples (run_id, {COLUMNS}) SELECT ?, {COLUMNS} FROM samples WHERE run_id = ? AND step <= ?"  # noqa: S608 # the same
)
SELECT = f"SELECT {COLUMNS} FROM samples WHERE run_id = ? AND step > ? ORDER BY step LIMIT ?"  # noqa: S608 # the same

Waiting = tuple[str, ScheduledSample]
"""A run's id and a sample of it."""


class SampleTable:
    """One row for each step that a sample was drawn after."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: list[Waiting] = []

    @property
    def waits(self) -> bool:
        """Whether samples wait to be written."""
        return bool(self._waiting)

    def add(self, run_id: str, sample: ScheduledSample) -> None:
        """Keep a sample, to be written by the next `write_waiting`."""
        with self._lock:
            self._waiting.append((run_id, sample))

    def write_waiting(self, writer: sqlite3.Connection) -> list[Waiting]:
        """Write the samples that wait and return them; `forget` them once that is committed."""
        with self._lock:
            waiting = list(self._waiting)
        writer.executemany(INSERT, [(run_id, *_packed(sample)) for run_id, sample in waiting])
        return waiting

    def forget(self, written: list[Waiting]) -> None:
        """Let go of these very samples: they are on the disk."""
        ids = {id(one) for one in written}
        with self._lock:
            self._waiting = [one for one in self._waiting if id(one) not in ids]

    def page(self, run_id: str, *, since: int = -1, most: int = -1) -> list[ScheduledSample]:
        """Return the first `most` samples of steps after `since`, in order of step; -1 for all."""
        with self._database.reading() as reader:
            rows = reader.execute(SELECT, (run_id, since, most)).fetchall()
        return [_unpacked(row) for row in rows]

    def last_step(self, run_id: str) -> int:
        """Return the step of a run's last sample, written or not; -1 for none."""
        with self._lock:
            waiting = [sample.step for run, sample in self._waiting if run == run_id]
        with self._database.reading() as reader:
            query = "SELECT max(step) FROM samples WHERE run_id = ?"
            (written,) = reader.execute(query, (run_id,)).fetchone()
        return max([*waiting, -1 if written is None else written])

    @staticmethod
    def drop_after(writer: sqlite3.Connection, run_id: str, step: int) -> None:
        """Forget the samples of steps above `step`."""
        writer.execute("DELETE FROM samples WHERE run_id = ? AND step > ?", (run_id, step))

    @staticmethod
    def copy(writer: sqlite3.Connection, source: str, target: str, *, until: int) -> None:
        """Give run `target` the samples of run `source` up to step `until`."""
        writer.execute(COPY, (target, source, until))


def _packed(sample: ScheduledSample) -> tuple[int | float | str, ...]:
    return (
        sample.step, sample.at, sample.schedule.model_dump_json(), sample.text,
        json.dumps(sample.surprise_bits), sample.bits_per_byte, sample.K, sample.C, sample.S,
    )  # fmt: skip


def _unpacked(row: sqlite3.Row) -> ScheduledSample:
    parts = {"schedule": json.loads(row["schedule"]), "surprise_bits": json.loads(row["surprise_bits"])}
    return ScheduledSample(**{**dict(row), **parts})
