"""Runs, metrics and events in one SQLite file; texts and checkpoints in folders beside it."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from bitlm.data import Text
from bitlm.errors import RunNotFoundError
from bitlm.session.checkpoint_table import CheckpointTable
from bitlm.session.config import RunConfig
from bitlm.session.database import FILE_NAME, Database
from bitlm.session.durability import make_folder, sync_folder
from bitlm.session.events import Event, EventKind, Source, StepEvent
from bitlm.session.metric_pairs import MetricPairs
from bitlm.session.metric_table import MetricTable
from bitlm.session.policy import require_run_id
from bitlm.session.records import Origin, Planned, RunRecord
from bitlm.session.sample_table import SampleTable
from bitlm.session.scheduled_samples import ScheduledSample
from bitlm.session.texts import Texts
from bitlm.session.thinning import LAST_STEP

ROWS_AT_ONCE = 10_000

FLUSH_INTERVAL_S = 0.2
"""How long metric rows wait in memory while steps go on, if writing them is quick; events never wait."""

FLUSH_SHARE = 0.005
"""Share of the time that writing metric rows may take: on a slow disk they wait longer."""

LONGEST_WAIT_S = 1.0
"""But no longer than this: who watches a run sees what has been written."""


class RunStore:
    """The data folder. One writer at a time; any thread may read, and with `read_only` none writes.

    Everything acknowledged is on the disk first (`synchronous=FULL`): an event is durable when
    `add_event` returns. Metric rows may wait for a moment; a crash costs at most those, and the
    steps they describe are computed again.

    Attributes:
        checkpoints: What is known of the checkpoints of all runs.
        pairs: What two runs measured at the same steps.
        samples: What was drawn along training, on the disk within moments like metrics.
        texts: What runs are trained on.
    """

    FILE_NAME = FILE_NAME

    def __init__(self, data_dir: Path, *, read_only: bool = False) -> None:
        self.data_dir = Path(data_dir)
        if not read_only:
            make_folder(self.data_dir)
            sync_folder(self.data_dir)  # whoever wrote here before may have died before it did
        self._database = Database(self.data_dir, read_only=read_only)
        self._metrics = MetricTable(self._database)
        self._lock = RLock()
        self._flushed_at = time.monotonic()
        self._wait_s = FLUSH_INTERVAL_S
        self.pairs = MetricPairs(self._database)
        self.samples = SampleTable(self._database)
        self.texts = Texts(self.data_dir / "data")
        self.checkpoints = CheckpointTable(self._database, self._writing, self.run_dir)

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction, which also carries the metric rows and samples that wait."""
        with self._lock:  # until the rows are let go of, or another thread would write them again
            with self._database.writing() as writer:
                rows, samples = self._metrics.write_waiting(writer), self.samples.write_waiting(writer)
                yield writer
            self._metrics.forget(rows)
            self.samples.forget(samples)
            self._flushed_at = time.monotonic()

    def flush(self) -> None:
        """Write the metric rows and samples that wait."""
        if self._metrics.waits or self.samples.waits:
            began = time.monotonic()
            with self._writing():
                pass
            self._wait_s = wait_after(self._flushed_at - began)

    # Runs

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run's files; what can be no run's id raises RunNotFoundError."""
        return self.data_dir / "runs" / require_run_id(run_id)

    def add_run(
        self,
        run_id: str,
        *,
        created_at: float,
        parameters: int,
        config: RunConfig,
        source: Source = "session",
        payload: dict[str, Any] | None = None,
    ) -> None:
        """Record a new run and the event that it was made, both or neither."""
        with self._writing() as writer:
            self._insert_run(writer, run_id, created_at, parameters, config, None)
            said = {"parameters": parameters, "corpus": config.corpus, **(payload or {})}
            _insert_event(writer, run_id, 0, created_at, "run_created", source, said)

    def add_branch(
        self,
        run_id: str,
        *,
        created_at: float,
        parent: RunRecord,
        config: RunConfig,
        origin: Origin,
        checkpoint: dict[str, Any],
        plan: list[Planned],
        source: Source,
    ) -> None:
        """Record a run that begins at another's checkpoint, with its metrics so far and a plan.

        `checkpoint` is the row of the copy that already lies in the new run's folder.
        """
        with self._writing() as writer:
            self._insert_run(writer, run_id, created_at, config.model.parameter_count, config, origin)
            said = origin.model_dump(exclude_none=True)
            event_id = _insert_event(writer, run_id, origin.step, created_at, "run_forked", source, said)
            self._metrics.copy(writer, parent.run_id, run_id, until=origin.step)
            self.samples.copy(writer, parent.run_id, run_id, until=origin.step)
            CheckpointTable.insert(writer, event_id, run_id, created_at, checkpoint)
            writer.executemany(
                "INSERT INTO plans (run_id, step, kind, source, payload) VALUES (?, ?, ?, ?, ?)",
                [(run_id, entry.step, entry.kind, entry.source, json.dumps(entry.payload)) for entry in plan],
            )

    @staticmethod
    def _insert_run(  # noqa: PLR0917 - the columns, in their order
        writer: sqlite3.Connection,
        run_id: str,
        created_at: float,
        parameters: int,
        config: RunConfig,
        origin: Origin | None,
    ) -> None:
        row = (
            run_id,
            created_at,
            parameters,
            config.model_dump_json(),
            origin.model_dump_json() if origin else None,
        )
        writer.execute(
            "INSERT INTO runs (run_id, created_at, parameters, config, origin) VALUES (?, ?, ?, ?, ?)", row
        )

    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            RunNotFoundError: There is none of that name.
        """
        with self._database.reading() as reader:
            row = reader.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise RunNotFoundError(run_id)
            return _run_record(reader, row)

    def runs(self, *, trashed: bool = False) -> list[RunRecord]:
        """Return all runs, or all in the trash, the newest first."""
        query = "SELECT * FROM runs WHERE (trashed_at IS NOT NULL) = ? ORDER BY created_at DESC, run_id DESC"
        with self._database.reading() as reader:
            return [_run_record(reader, row) for row in reader.execute(query, (trashed,)).fetchall()]

    def last_active_run(self) -> RunRecord | None:
        """Return the run that something last happened to, archived and trashed ones left out, or None."""
        query = (
            "SELECT run_id FROM runs WHERE archived = 0 AND trashed_at IS NULL "
            "ORDER BY (SELECT max(event_id) FROM events WHERE events.run_id = runs.run_id) DESC LIMIT 1"
        )
        with self._database.reading() as reader:
            row = reader.execute(query).fetchone()
        return self.run(row["run_id"]) if row else None

    def label_run(self, run_id: str, *, name: str | None, tags: tuple[str, ...], archived: bool) -> None:
        """Set what people call a run, how they sort it, and whether it is put away."""
        with self._writing() as writer:
            row = (name, json.dumps(tags), archived, run_id)
            writer.execute("UPDATE runs SET name = ?, tags = ?, archived = ? WHERE run_id = ?", row)

    def trash_run(self, run_id: str, at: float | None) -> None:
        """Throw a run away at that time, or take it back (None); all it has stays until it is deleted."""
        with self._writing() as writer:
            writer.execute("UPDATE runs SET trashed_at = ? WHERE run_id = ?", (at, run_id))

    def delete_run(self, run_id: str) -> None:
        """Forget a run for good, its rows first and then its files; texts stay, others may use them."""
        with self._writing() as writer:
            self._metrics.delete(writer, run_id)
            for table in ("events", "plans", "checkpoints", "samples", "letters", "runs"):
                writer.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608 # our own names
        shutil.rmtree(self.run_dir(run_id), ignore_errors=True)

    # Metrics

    def add_metrics(self, run_id: str, step: StepEvent, sample: ScheduledSample | None = None) -> None:
        """Keep one step's metrics, and the sample drawn after it, on the disk within moments."""
        self._metrics.add(run_id, step)
        if sample is not None:
            self.samples.add(run_id, sample)
        if time.monotonic() - self._flushed_at >= self._wait_s:
            self.flush()

    def metrics(self, run_id: str, *, since: int = -1, max_points: int | None = None) -> dict[str, list[Any]]:
        """Return the metrics of steps after `since`, by column; at most `max_points` rows if given."""
        return self._metrics.rows(run_id, since=since, max_points=max_points)

    def metric_rows(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield what every step of a run measured, in order of step, a page in memory at a time."""
        since = -1
        while page := self._metrics.page(run_id, since=since, most=ROWS_AT_ONCE):
            yield from page
            since = page[-1]["step"]

    def metrics_of_step(self, run_id: str, step: int) -> dict[str, Any] | None:
        """Return what one step measured, or None if there is no such step."""
        return self._metrics.row(run_id, step)

    def values(
        self, run_id: str, column: str, *, after: int = -1, until: int = LAST_STEP, most: int | None = None,
        newest: bool = False,
    ) -> list[tuple[int, float]]:  # fmt: skip
        """Return steps and values of one column where it has any; see `MetricTable.values`."""
        return self._metrics.values(run_id, column, after=after, until=until, most=most, newest=newest)

    def drop_metrics_after(self, run_id: str, step: int) -> None:
        """Forget the metrics and samples of steps that turned out otherwise."""
        with self._writing() as writer:
            self._metrics.drop_after(writer, run_id, step)
            self.samples.drop_after(writer, run_id, step)

    # Events

    def add_event(
        self, run_id: str, *, step: int, at: float, kind: EventKind, source: Source, payload: dict[str, Any],
        plan_id: int | None = None,
    ) -> Event:  # fmt: skip
        """Keep an event; it is on the disk when this returns. `plan_id` is the plan's entry it fulfils."""
        with self._writing() as writer:
            event_id = _insert_event(writer, run_id, step, at, kind, source, payload)
            if plan_id is not None:
                writer.execute("DELETE FROM plans WHERE plan_id = ?", (plan_id,))
        return Event(
            event_id=event_id, run_id=run_id, step=step, at=at, kind=kind, source=source, payload=payload
        )

    def events(
        self, run_id: str, *, since: int = 0, limit: int = 1000, kinds: tuple[str, ...] = ()
    ) -> list[Event]:
        """Return the first `limit` events of a run after `since`, oldest first; of those kinds if any."""
        chosen = f"AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        where = f"run_id = ? AND event_id > ? {chosen}"
        query = f"SELECT * FROM events WHERE {where} ORDER BY event_id LIMIT ?"  # noqa: S608 # question marks
        with self._database.reading() as reader:
            rows = reader.execute(query, (run_id, since, *kinds, limit)).fetchall()
        return [_event(row) for row in rows]

    def all_events(self, run_id: str, *, kinds: tuple[str, ...] = (), since: int = 0) -> list[Event]:
        """Return every event of a run with an id above `since`, oldest first."""
        return self.events(run_id, since=since, kinds=kinds, limit=-1)

    def events_with_key(self, kind: EventKind, idempotency_key: str) -> list[Event]:
        """Return the events of that kind that carry the key, oldest first, of whatever run."""
        query = (
            "SELECT * FROM events WHERE json_extract(payload, '$.idempotency_key') = ? "
            "AND json_extract(payload, '$.idempotency_key') IS NOT NULL AND kind = ? ORDER BY event_id"
        )
        with self._database.reading() as reader:
            return [_event(row) for row in reader.execute(query, (idempotency_key, kind)).fetchall()]

    def last_event_id(self, run_id: str) -> int:
        """Return the id of a run's last event, or 0."""
        query = "SELECT max(event_id) FROM events WHERE run_id = ?"
        with self._database.reading() as reader:
            return reader.execute(query, (run_id,)).fetchone()[0] or 0

    def last_known_step(self, run_id: str) -> int:
        """Return the highest step that metrics or events of a run speak of."""
        query = (
            "SELECT max(step) FROM (SELECT max(step) AS step FROM metrics WHERE run_id = :run_id "
            "UNION ALL SELECT max(step) FROM events WHERE run_id = :run_id)"
        )
        with self._database.reading() as reader:
            return reader.execute(query, {"run_id": run_id}).fetchone()[0] or 0

    def plan(self, run_id: str) -> list[Planned]:
        """Return the commands that a run is still to be given, in the order of their steps."""
        query = "SELECT * FROM plans WHERE run_id = ? ORDER BY step, plan_id"
        with self._database.reading() as reader:
            rows = reader.execute(query, (run_id,)).fetchall()
        return [Planned(**{**dict(row), "payload": json.loads(row["payload"])}) for row in rows]

    # Baselines

    def set_baselines(self, key: str, bits_per_byte: dict[str, float]) -> None:
        """Keep what other compressors reach on a text, by `RunConfig.baselines_key`."""
        with self._writing() as writer:
            row = (key, json.dumps(bits_per_byte))
            writer.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?)", row)

    def baselines(self, key: str) -> dict[str, float] | None:
        """Return them, or None when they have not been computed."""
        query = "SELECT bits_per_byte FROM baselines WHERE fingerprint = ?"
        with self._database.reading() as reader:
            row = reader.execute(query, (key,)).fetchone()
        return json.loads(row[0]) if row else None

    # Texts

    def put_data(self, data: Text) -> str:
        """Keep a text by its SHA-256 and return that; the same text twice is kept once."""
        return self.texts.put(data)

    def data(self, digest: str) -> Text:
        """Return a kept text.

        Raises:
            CorpusError: It is not there, or not what it was.
        """
        return self.texts.get(digest)


def wait_after(writing_s: float) -> float:
    """Return for how many seconds metric rows wait when writing them took `writing_s` last time."""
    return min(LONGEST_WAIT_S, max(FLUSH_INTERVAL_S, writing_s / FLUSH_SHARE))


def _insert_event(  # noqa: PLR0917 - the columns, in their order
    writer: sqlite3.Connection,
    run_id: str,
    step: int,
    at: float,
    kind: EventKind,
    source: Source,
    payload: dict[str, Any],
) -> int:
    row = (run_id, step, at, kind, source, json.dumps(payload))
    cursor = writer.execute(
        "INSERT INTO events (run_id, step, at, kind, source, payload) VALUES (?, ?, ?, ?, ?, ?)", row
    )
    return cursor.lastrowid or 0


def _event(row: sqlite3.Row) -> Event:
    return Event(**{**dict(row), "payload": json.loads(row["payload"])})


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
        name=row["name"],
        tags=tuple(json.loads(row["tags"])),
        archived=bool(row["archived"]),
        origin=Origin.model_validate_json(row["origin"]) if row["origin"] else None,
        trashed_at=row["trashed_at"],
    )
