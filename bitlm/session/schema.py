"""The database's layout, as the steps that lead to it: `PRAGMA user_version` counts those taken."""

import json
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

Migration = Callable[[sqlite3.Connection, Path], None]
"""Takes the connection, inside a transaction, and the data folder."""

FIRST_LAYOUT = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, created_at REAL NOT NULL, parameters INTEGER NOT NULL, config TEXT NOT NULL);
CREATE TABLE metrics (
    run_id TEXT NOT NULL, step INTEGER NOT NULL, at REAL NOT NULL, elapsed_s REAL NOT NULL,
    bytes_seen INTEGER NOT NULL, loss REAL NOT NULL, bits_per_byte REAL NOT NULL,
    validation_bits_per_byte REAL, K REAL NOT NULL, C REAL, S REAL, gradient_norm REAL NOT NULL,
    learning_rate REAL NOT NULL, bytes_per_s REAL NOT NULL, PRIMARY KEY (run_id, step)) WITHOUT ROWID;
CREATE TABLE events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step INTEGER NOT NULL, at REAL NOT NULL,
    kind TEXT NOT NULL, source TEXT NOT NULL, payload TEXT NOT NULL);
CREATE INDEX events_by_run ON events (run_id, event_id);
CREATE TABLE baselines (fingerprint TEXT PRIMARY KEY, bits_per_byte TEXT NOT NULL);
"""

CHECKPOINTS_PLANS_AND_NAMES = """
ALTER TABLE runs ADD COLUMN name TEXT;
ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE runs ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN origin TEXT;
CREATE TABLE checkpoints (
    event_id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, step INTEGER NOT NULL, at REAL NOT NULL,
    folder TEXT NOT NULL, name TEXT, manifest_sha256 TEXT NOT NULL, weights_sha256 TEXT NOT NULL,
    optimizer_sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, validation_bits_per_byte REAL,
    state TEXT NOT NULL DEFAULT 'good');
CREATE INDEX checkpoints_by_run ON checkpoints (run_id, step);
CREATE TABLE plans (
    plan_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step INTEGER NOT NULL,
    kind TEXT NOT NULL, source TEXT NOT NULL, payload TEXT NOT NULL);
CREATE INDEX plans_by_run ON plans (run_id, step, plan_id);
CREATE INDEX events_by_key ON events (json_extract(payload, '$.idempotency_key'))
    WHERE json_extract(payload, '$.idempotency_key') IS NOT NULL;
CREATE TABLE metric_extremes (
    run_id TEXT NOT NULL, measure TEXT NOT NULL, width INTEGER NOT NULL, bucket INTEGER NOT NULL,
    min_step INTEGER NOT NULL, min_value REAL NOT NULL, max_step INTEGER NOT NULL, max_value REAL NOT NULL,
    PRIMARY KEY (run_id, measure, width, bucket)) WITHOUT ROWID;
CREATE INDEX metrics_with_validation ON metrics (run_id, step, validation_bits_per_byte)
    WHERE validation_bits_per_byte IS NOT NULL;
CREATE INDEX metrics_with_probe ON metrics (run_id, step, C, S) WHERE C IS NOT NULL;
UPDATE events SET kind = 'run_resumed' WHERE kind = 'run_reopened';
UPDATE events SET kind = 'steps_requested', payload = json_set(payload, '$.steps', 1)
    WHERE kind = 'data_supplied';
"""

LOOKS_AND_COSTS = """
ALTER TABLE metrics ADD COLUMN attention_entropy REAL;
ALTER TABLE metrics ADD COLUMN attention_entropy_layers TEXT;
ALTER TABLE metrics ADD COLUMN inversion_error REAL;
ALTER TABLE metrics ADD COLUMN gradient_agreement REAL;
ALTER TABLE metrics ADD COLUMN depth_mean REAL;
ALTER TABLE metrics ADD COLUMN resident_bytes INTEGER;
ALTER TABLE metrics ADD COLUMN telemetry_share REAL;
CREATE INDEX metrics_with_attention ON metrics (run_id, step, attention_entropy)
    WHERE attention_entropy IS NOT NULL;
"""

ANATOMY = """
ALTER TABLE metrics ADD COLUMN validation_bits_per_bit TEXT;
ALTER TABLE metrics ADD COLUMN symbiosis_kl REAL;
ALTER TABLE metrics ADD COLUMN utf8_validity REAL;
ALTER TABLE metrics ADD COLUMN gradient_norm_blocks TEXT;
ALTER TABLE metrics ADD COLUMN attention_entropy_heads TEXT;
"""

TRASH = "ALTER TABLE runs ADD COLUMN trashed_at REAL;"
SAMPLES = """
CREATE TABLE samples (
    run_id TEXT NOT NULL, step INTEGER NOT NULL, at REAL NOT NULL, schedule TEXT NOT NULL, text TEXT NOT NULL,
    surprise_bits TEXT NOT NULL, bits_per_byte REAL NOT NULL,
    K REAL NOT NULL, C REAL NOT NULL, S REAL NOT NULL, PRIMARY KEY (run_id, step)) WITHOUT ROWID;
"""

BOUNDS = """
ALTER TABLE metrics ADD COLUMN bound_bits_per_byte REAL;
ALTER TABLE metrics ADD COLUMN validation_bound_bits_per_byte REAL;
"""

COMPRESSED = "ALTER TABLE metrics ADD COLUMN compressed_bits_per_byte REAL;"

LETTERS = """
CREATE TABLE letters (
    letter_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, at REAL NOT NULL, source TEXT NOT NULL,
    wish TEXT NOT NULL, seen TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0, answer TEXT);
CREATE INDEX letters_unanswered ON letters (run_id, letter_id) WHERE answer IS NULL;
"""

EXTREMES_OF_ALL = """
INSERT INTO metric_extremes
SELECT low.run_id, '{measure}', :width, low.bucket, low.step, low.value, high.step, high.value FROM
    (SELECT run_id, step / :width AS bucket, step, min({measure}) AS value FROM metrics
     WHERE {measure} IS NOT NULL GROUP BY run_id, bucket) AS low JOIN
    (SELECT run_id, step / :width AS bucket, step, max({measure}) AS value FROM metrics
     WHERE {measure} IS NOT NULL GROUP BY run_id, bucket) AS high
    ON low.run_id = high.run_id AND low.bucket = high.bucket
"""


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run a script's statements inside the transaction at hand, which `executescript` would end."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)


def _first(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    _run(connection, FIRST_LAYOUT)


def _second(connection: sqlite3.Connection, data_dir: Path) -> None:
    """Add names, plans and extremes, and enter the checkpoints that lie on the disk."""
    _run(connection, CHECKPOINTS_PLANS_AND_NAMES)
    for measure in ("bits_per_byte", "validation_bits_per_byte", "C", "S"):
        for width in (16, 64, 256, 1024, 4096, 16_384):
            connection.execute(EXTREMES_OF_ALL.format(measure=measure), {"width": width})
    saved = connection.execute(
        "SELECT run_id, step, at, max(event_id) FROM events "
        "WHERE kind = 'checkpoint_saved' GROUP BY run_id, step"
    ).fetchall()
    for run_id, step, at, event_id in saved:
        folder = data_dir / "runs" / run_id / "checkpoints" / f"{step:010d}"
        try:
            manifest = (folder / "manifest.json").read_bytes()
            hashes = json.loads(manifest)["sha256"]
        except (OSError, ValueError, KeyError):
            continue  # pruned, or unreadable and thus not to be counted on
        size = sum(path.stat().st_size for path in folder.iterdir())
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, NULL, 'good')",
            (
                event_id,
                run_id,
                step,
                at,
                folder.name,
                sha256(manifest).hexdigest(),
                hashes["weights.safetensors"],
                hashes["optimizer.safetensors"],
                size,
            ),
        )
        connection.execute(
            "UPDATE events SET payload = json_set(payload, '$.weights_sha256', ?, '$.optimizer_sha256', ?) "
            "WHERE event_id = ?",
            (hashes["weights.safetensors"], hashes["optimizer.safetensors"], event_id),
        )


def _third(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add what is looked at in the model itself, and what telemetry costs; steps before have none of it."""
    _run(connection, LOOKS_AND_COSTS)


def _fourth(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add bits, heads and blocks apart, and what else a probe says; steps before have none of it."""
    _run(connection, ANATOMY)


def _fifth(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add when a run was thrown away; none was before."""
    _run(connection, TRASH)


def _sixth(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add samples along training; runs before have none."""
    _run(connection, SAMPLES)


def _seventh(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add what is denoised; steps before have none of it."""
    _run(connection, BOUNDS)


def _eighth(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add what run lengths cost; steps before have none."""
    _run(connection, COMPRESSED)


def _ninth(connection: sqlite3.Connection, data_dir: Path) -> None:  # noqa: ARG001 - the folder is not needed
    """Add letters to who trains a run; there were none before."""
    _run(connection, LETTERS)


MIGRATIONS: tuple[Migration, ...] = (
    _first,
    _second,
    _third,
    _fourth,
    _fifth,
    _sixth,
    _seventh,
    _eighth,
    _ninth,
)
"""Each leads from the layout of its index to the next; never changed once released, only added to."""
