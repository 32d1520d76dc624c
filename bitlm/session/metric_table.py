"""What every step measured, kept in full and read at the resolution a chart has."""

import json
import sqlite3
import threading
from typing import Any

from bitlm.session.database import Database
from bitlm.session.events import METRIC_COLUMNS, StepEvent
from bitlm.session.thinning import chosen_steps, refresh_extremes

NAMES = ", ".join(METRIC_COLUMNS)
MARKS = ", ".join("?" * len(METRIC_COLUMNS))
INSERT = f"INSERT OR REPLACE INTO metrics (run_id, {NAMES}) VALUES (?, {MARKS})"  # noqa: S608 # our own column names
COPY = (
    f"INSERT INTO metrics (run_id, {NAMES}) "  # noqa: S608 # our own column names
    f"SELECT ?, {NAMES} FROM metrics WHERE run_id = ? AND step <= ?"
)
SELECT = f"SELECT {NAMES} FROM metrics WHERE run_id = ? AND"  # noqa: S608 # our own column names
SELECT_CHOSEN = f"{SELECT} step IN (SELECT value FROM json_each(?)) ORDER BY step"  # noqa: S608 # the same

BY_PART = (
    "validation_bits_per_bit",
    "gradient_norm_blocks",
    "attention_entropy_layers",
    "attention_entropy_heads",
)
"""Columns with a figure for each part of something, kept as a JSON array."""

Row = tuple[Any, ...]
"""A run's id and the values of METRIC_COLUMNS."""


class MetricTable:
    """The rows of all runs; those just measured wait in memory until a transaction takes them along."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: list[Row] = []

    def add(self, run_id: str, step: StepEvent) -> None:
        """Keep one step's metrics, to be written by the next `write_waiting`."""
        with self._lock:
            self._waiting.append((run_id, *(_packed(getattr(step, column)) for column in METRIC_COLUMNS)))

    @property
    def waits(self) -> bool:
        """Whether rows wait to be written."""
        return bool(self._waiting)

    def write_waiting(self, writer: sqlite3.Connection) -> list[Row]:
        """Write the rows that wait and return them; `forget` them once that is committed."""
        with self._lock:
            rows = list(self._waiting)
        writer.executemany(INSERT, rows)
        for run_id in {row[0] for row in rows}:
            steps = [row[1] for row in rows if row[0] == run_id]
            refresh_extremes(writer, run_id, min(steps), max(steps))
        return rows

    def forget(self, rows: list[Row]) -> None:
        """Let go of these very rows: they are on the disk.

        Another thread may have written some of them again in the meantime, and more may wait by now.
        """
        written = {id(row) for row in rows}
        with self._lock:
            self._waiting = [row for row in self._waiting if id(row) not in written]

    def row(self, run_id: str, step: int) -> dict[str, Any] | None:
        """Return what one step measured, or None."""
        with self._database.reading() as reader:
            row = reader.execute(f"{SELECT} step = ?", (run_id, step)).fetchone()
        return _unpacked(dict(row)) if row else None

    def page(self, run_id: str, *, since: int, most: int) -> list[dict[str, Any]]:
        """Return the first `most` rows of steps after `since`, in order of step."""
        with self._database.reading() as reader:
            rows = reader.execute(f"{SELECT} step > ? ORDER BY step LIMIT ?", (run_id, since, most))
            return [_unpacked(dict(row)) for row in rows]

    def values(
        self, run_id: str, column: str, *, after: int, until: int, most: int | None, newest: bool
    ) -> list[tuple[int, float]]:
        """Return steps and values of one column where it has any, in order of step.

        Args:
            run_id: The run.
            column: One of METRIC_COLUMNS with a single figure in each row.
            after: Only steps above this one.
            until: Only steps up to this one.
            most: At most so many values; None for all.
            newest: Whether the last of them count if there are more, instead of the first.
        """
        assert column in METRIC_COLUMNS, f"{column} is no column"
        query = (
            f"SELECT step, {column} FROM metrics WHERE run_id = ? AND step > ? AND step <= ? "  # noqa: S608 # our own column names
            f"AND {column} IS NOT NULL ORDER BY step {'DESC' if newest else 'ASC'} LIMIT ?"
        )
        with self._database.reading() as reader:
            rows = reader.execute(query, (run_id, after, until, -1 if most is None else most)).fetchall()
        return sorted((row["step"], row[column]) for row in rows)

    def rows(self, run_id: str, *, since: int = -1, max_points: int | None = None) -> dict[str, list[Any]]:
        """Return the metrics of steps after `since`, by column, in order of step.

        Args:
            run_id: The run.
            since: Only steps above this one.
            max_points: At most this many rows, at least 2: those that `chosen_steps` names. None for all.
        """
        with self._database.reading() as reader:
            reader.row_factory = None  # plain tuples: of a thousand rows, any other kind is felt
            reader.execute("BEGIN")  # one snapshot: what is chosen is still there, and nothing is added
            if max_points is None or not _exceeds(reader, run_id, since, max_points):
                rows = reader.execute(f"{SELECT} step > ? ORDER BY step", (run_id, since)).fetchall()
            else:
                steps = chosen_steps(reader, run_id, since, max_points)
                rows = reader.execute(SELECT_CHOSEN, (run_id, json.dumps(steps))).fetchall()
        if not rows:
            return {name: [] for name in METRIC_COLUMNS}
        columns = dict(zip(METRIC_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        for name in BY_PART:
            columns[name] = [_figures(text) for text in columns[name]]
        return columns

    def drop_after(self, writer: sqlite3.Connection, run_id: str, step: int) -> None:
        """Forget the metrics of steps above `step`."""
        writer.execute("DELETE FROM metrics WHERE run_id = ? AND step > ?", (run_id, step))
        refresh_extremes(writer, run_id, step)

    def copy(self, writer: sqlite3.Connection, source: str, target: str, *, until: int) -> None:
        """Give run `target` the metrics of run `source` up to step `until`."""
        writer.execute(COPY, (target, source, until))
        refresh_extremes(writer, target, 0)

    def delete(self, writer: sqlite3.Connection, run_id: str) -> None:
        """Forget a run's metrics."""
        writer.execute("DELETE FROM metrics WHERE run_id = ?", (run_id,))
        writer.execute("DELETE FROM metric_extremes WHERE run_id = ?", (run_id,))


def _packed(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value


def _figures(text: str | None) -> list[Any] | None:
    return None if text is None else json.loads(text)


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: _figures(row[name]) for name in BY_PART}


def _exceeds(reader: sqlite3.Connection, run_id: str, since: int, count: int) -> bool:
    """Whether more than `count` steps come after `since`."""
    query = "SELECT 1 FROM metrics WHERE run_id = ? AND step > ? ORDER BY step LIMIT 1 OFFSET ?"
    return reader.execute(query, (run_id, since, count)).fetchone() is not None
