"""Runs, metrics and events in one SQLite file; texts and checkpoints in folders beside it."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bitlm.errors import CorpusError, RunNotFoundError
from bitlm.session.config import RunConfig
from bitlm.session.durability import write_durably
from bitlm.session.events import METRIC_COLUMNS, Event, EventKind, Source, StepEvent
from bitlm.session.thinning import thin

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, created_at REAL NOT NULL, parameters INTEGER NOT NULL, config TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS metrics (
    run_id TEXT NOT NULL, step INTEGER NOT NULL, at REAL NOT NULL, elapsed_s REAL NOT NULL,
    bytes_seen INTEGER NOT NULL, loss REAL NOT NULL, bits_per_byte REAL NOT NULL,
    validation_bits_per_byte REAL, K REAL NOT NULL, C REAL, S REAL, gradient_norm REAL NOT NULL,
    learning_rate REAL NOT NULL, bytes_per_s REAL NOT NULL, PRIMARY KEY (run_id, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step INTEGER NOT NULL, at REAL NOT NULL,
    kind TEXT NOT NULL, source TEXT NOT NULL, payload TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id, event_id);
CREATE TABLE IF NOT EXISTS baselines (fingerprint TEXT PRIMARY KEY, bits_per_byte TEXT NOT NULL);
"""
INSERT_METRICS = (
    f"INSERT OR REPLACE INTO metrics (run_id, {', '.join(METRIC_COLUMNS)}) "  # noqa: S608 # our own column names
    f"VALUES (?{', ?' * len(METRIC_COLUMNS)})"
)
FLUSH_INTERVAL_S = 0.2
"""Longest time a metric row waits in memory while steps go on; events never wait."""


class RunRecord(BaseModel):
    """A run as the list of runs shows it."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    created_at: float
    parameters: int
    config: RunConfig
    last_step: int
    bits_per_byte: float | None
    validation_bits_per_byte: float | None


class RunStore:
    """The data folder. One writer at a time; any thread may read.

    Everything acknowledged is on the disk first (`synchronous=FULL`): an event is durable when
    `add_event` returns. Metric rows may wait for a moment; a crash costs at most those, and the
    steps they describe can be computed again.
    """

    FILE_NAME = "bitlm.sqlite3"

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._path = self.data_dir / self.FILE_NAME
        self._lock = threading.RLock()
        self._pending: list[tuple[Any, ...]] = []
        self._flushed_at = time.monotonic()
        self._writer = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=FULL")
        self._writer.executescript(SCHEMA)
        self._writer.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Write what waits and close the file."""
        with self._lock:
            self.flush()
            self._writer.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction, which also carries the metric rows that wait."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._writer.executemany(INSERT_METRICS, self._pending)
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._pending.clear()
            self._flushed_at = time.monotonic()

    def flush(self) -> None:
        """Write the metric rows that wait."""
        with self._lock:
            if self._pending:
                with self._writing():
                    pass

    # Runs

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run's files."""
        return self.data_dir / "runs" / run_id

    def add_run(self, run_id: str, *, created_at: float, parameters: int, config: RunConfig) -> None:
        """Record a new run."""
        with self._writing() as writer:
            row = (run_id, created_at, parameters, config.model_dump_json())
            writer.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", row)

    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            RunNotFoundError: There is none of that name.
        """
        with self._reading() as reader:
            row = reader.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise RunNotFoundError(run_id)
            return _run_record(reader, row)

    def runs(self) -> list[RunRecord]:
        """Return all runs, the newest first."""
        with self._reading() as reader:
            rows = reader.execute("SELECT * FROM runs ORDER BY created_at DESC, run_id DESC").fetchall()
            return [_run_record(reader, row) for row in rows]

    # Metrics

    def add_metrics(self, run_id: str, step: StepEvent) -> None:
        """Keep one step's metrics, on the disk within moments."""
        with self._lock:
            self._pending.append((run_id, *(getattr(step, column) for column in METRIC_COLUMNS)))
            if time.monotonic() - self._flushed_at >= FLUSH_INTERVAL_S:
                self.flush()

    def metrics(self, run_id: str, *, since: int = -1, max_points: int | None = None) -> dict[str, list[Any]]:
        """Return the metrics of steps after `since`, by column, in order of step.

        Args:
            run_id: The run.
            since: Only steps above this one.
            max_points: At most about this many rows, chosen by `thin`; None for all.
        """
        names = ", ".join(METRIC_COLUMNS)
        query = f"SELECT {names} FROM metrics WHERE run_id = ? AND step > ? ORDER BY step"  # noqa: S608 # our own names
        with self._reading() as reader:
            rows = reader.execute(query, (run_id, since)).fetchall()
        columns = dict(zip(METRIC_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
        if columns and max_points is not None and len(rows) > max_points:
            kept = thin(columns, max_points)
            columns = {name: [values[i] for i in kept] for name, values in columns.items()}
        return columns or {name: [] for name in METRIC_COLUMNS}

    def drop_metrics_after(self, run_id: str, step: int) -> None:
        """Forget the metrics of steps that are about to be computed again."""
        with self._writing() as writer:
            writer.execute("DELETE FROM metrics WHERE run_id = ? AND step > ?", (run_id, step))

    # Events

    def add_event(
        self, run_id: str, *, step: int, at: float, kind: EventKind, source: Source, payload: dict[str, Any]
    ) -> Event:
        """Keep an event; it is on the disk when this returns."""
        with self._writing() as writer:
            row = (run_id, step, at, kind, source, json.dumps(payload))
            cursor = writer.execute(
                "INSERT INTO events (run_id, step, at, kind, source, payload) VALUES (?, ?, ?, ?, ?, ?)", row
            )
        return Event(
            event_id=cursor.lastrowid or 0,
            run_id=run_id,
            step=step,
            at=at,
            kind=kind,
            source=source,
            payload=payload,
        )

    def events(self, run_id: str, *, since: int = 0, limit: int = 1000) -> list[Event]:
        """Return the first `limit` events of a run with an id above `since`, oldest first."""
        query = "SELECT * FROM events WHERE run_id = ? AND event_id > ? ORDER BY event_id LIMIT ?"
        with self._reading() as reader:
            rows = reader.execute(query, (run_id, since, limit)).fetchall()
        return [Event(**{**dict(row), "payload": json.loads(row["payload"])}) for row in rows]

    def acknowledged_telemetry(self, run_id: str) -> dict[str, float]:
        """Return the λ and floors that were last acknowledged, those that were ever changed."""
        query = "SELECT payload FROM events WHERE run_id = ? AND kind = 'telemetry_changed' ORDER BY event_id"
        with self._reading() as reader:
            payloads = [json.loads(row["payload"]) for row in reader.execute(query, (run_id,))]
        return {change["field"]: change["new"] for payload in payloads for change in payload["changes"]}

    # Baselines

    def set_baselines(self, fingerprint: str, bits_per_byte: dict[str, float]) -> None:
        """Keep what other compressors reach on the text of that fingerprint."""
        with self._writing() as writer:
            row = (fingerprint, json.dumps(bits_per_byte))
            writer.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?)", row)

    def baselines(self, fingerprint: str) -> dict[str, float] | None:
        """Return them, or None when they have not been computed."""
        query = "SELECT bits_per_byte FROM baselines WHERE fingerprint = ?"
        with self._reading() as reader:
            row = reader.execute(query, (fingerprint,)).fetchone()
        return json.loads(row[0]) if row else None

    # Texts

    def put_data(self, data: bytes) -> str:
        """Keep a text by its SHA-256 and return that; the same text twice is kept once."""
        digest = sha256(data).hexdigest()
        path = self.data_dir / "data" / digest
        if not path.exists():
            write_durably(path, data)
        return digest

    def data(self, digest: str) -> bytes:
        """Return a kept text.

        Raises:
            CorpusError: It is not there, or not what it was.
        """
        path = self.data_dir / "data" / digest
        data = path.read_bytes() if path.exists() else b""
        if sha256(data).hexdigest() != digest:
            raise CorpusError(
                f"the text {digest[:12]} in {path.parent} is missing or was changed; restore it."
            )
        return data


def _run_record(reader: sqlite3.Connection, row: sqlite3.Row) -> RunRecord:
    last = reader.execute(
        "SELECT step, bits_per_byte FROM metrics WHERE run_id = ? ORDER BY step DESC LIMIT 1",
        (row["run_id"],),
    ).fetchone()
    validation = reader.execute(
        "SELECT validation_bits_per_byte FROM metrics "
        "WHERE run_id = ? AND validation_bits_per_byte IS NOT NULL ORDER BY step DESC LIMIT 1",
        (row["run_id"],),
    ).fetchone()
    return RunRecord(
        run_id=row["run_id"],
        created_at=row["created_at"],
        parameters=row["parameters"],
        config=RunConfig.model_validate_json(row["config"]),
        last_step=last["step"] if last else 0,
        bits_per_byte=last["bits_per_byte"] if last else None,
        validation_bits_per_byte=validation[0] if validation else None,
    )
