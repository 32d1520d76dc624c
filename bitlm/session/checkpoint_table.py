"""Which checkpoints a run has, by the rows that were written once their files were safe.

A folder counts only with its row: files aside, fsync, rename, fsync the parent, then the row together
with its event (docs/architecture.md). A folder without a row is left alone; it costs disk, never truth.
"""

import json
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bitlm.errors import CheckpointError, CheckpointNotFoundError
from bitlm.session.checkpoint import (
    Checkpoint,
    Snapshot,
    Written,
    read_checkpoint,
    read_files,
    read_state,
)
from bitlm.session.database import Database, full_disk_named
from bitlm.session.durability import Reached, folder_written_durably, sweep
from bitlm.session.events import Event, Source

Writing = Callable[[], AbstractContextManager[sqlite3.Connection]]


class CheckpointRecord(BaseModel):
    """A checkpoint as the list shows it.

    Attributes:
        event_id: Of its `checkpoint_saved` (or `run_forked`) event; commands with lower ids are in it.
        folder: Name of its folder among the run's checkpoints.
        name: What people call it; a named one is kept until it is deleted.
        bytes: Size of its files.
        validation_bits_per_byte: The quick estimate on held-out text at this very step, if one was made.
        state: "damaged" once its files were found to be other than recorded; "leaving" while it is deleted.
    """

    model_config = ConfigDict(frozen=True)

    event_id: int
    run_id: str
    step: int
    at: float
    folder: str
    name: str | None
    manifest_sha256: str
    weights_sha256: str
    optimizer_sha256: str
    bytes: int
    validation_bits_per_byte: float | None
    state: Literal["good", "damaged", "leaving"]


COLUMNS = tuple(CheckpointRecord.model_fields)


def best_of(records: Sequence[CheckpointRecord]) -> CheckpointRecord | None:
    """Return the undamaged one of the lowest estimate on held-out text, or None where none has one."""
    measured = [one for one in records if one.state == "good" and one.validation_bits_per_byte is not None]
    return min(measured, key=lambda one: one.validation_bits_per_byte or 0.0, default=None)


class CheckpointTable:
    """The checkpoints of all runs: their rows, and with them their folders."""

    def __init__(self, database: Database, writing: Writing, run_dir: Callable[[str], Path]) -> None:
        self._database = database
        self._writing = writing
        self._run_dir = run_dir

    def folder(self, record: CheckpointRecord) -> Path:
        """Return where a checkpoint's files lie."""
        return self._folders(record.run_id) / record.folder

    def _folders(self, run_id: str) -> Path:
        return self._run_dir(run_id) / "checkpoints"

    def of(self, run_id: str) -> list[CheckpointRecord]:
        """Return a run's checkpoints, the newest first, those being deleted left out."""
        query = (
            f"SELECT {', '.join(COLUMNS)} FROM checkpoints "  # noqa: S608 # our own column names
            "WHERE run_id = ? AND state <> 'leaving' ORDER BY step DESC, event_id DESC"
        )
        with self._database.reading() as reader:
            return [CheckpointRecord(**dict(row)) for row in reader.execute(query, (run_id,)).fetchall()]

    def at(self, run_id: str, step: int, *, damaged: bool = False) -> CheckpointRecord:
        """Return the newest undamaged checkpoint of that step, or a damaged one if that will do.

        Raises:
            CheckpointNotFoundError: There is none; the message names those there are.
        """
        found = [record for record in self.of(run_id) if damaged or record.state == "good"]
        for record in found:
            if record.step == step:
                return record
        steps = ", ".join(str(record.step) for record in found) or "none"
        raise CheckpointNotFoundError(f"run {run_id!r} has no checkpoint of step {step}; it has {steps}.")

    def save(
        self,
        run_id: str,
        snapshot: Snapshot,
        *,
        at: float,
        source: Source,
        name: str | None = None,
        validation_bits_per_byte: float | None = None,
        reached: Reached,
    ) -> Event:
        """Write a checkpoint by the commit protocol; it counts once this returns.

        Raises:
            StorageFullError: It did not fit; the ones before are as they were.
        """
        step = snapshot.state["step"]
        folder = f"{step:010d}-{token_hex(3)}"
        whole = folder_written_durably(self._folders(run_id) / folder, reached=reached)
        with full_disk_named(), whole as aside:
            written = snapshot.write(aside, reached)
        row = row_of(folder, written, step, name, validation_bits_per_byte)
        payload: dict[str, Any] = {
            "path": f"runs/{run_id}/checkpoints/{folder}",
            "weights_sha256": row["weights_sha256"],
            "optimizer_sha256": row["optimizer_sha256"],
            **({"name": name} if name else {}),
        }
        with self._writing() as writer:
            cursor = writer.execute(
                "INSERT INTO events (run_id, step, at, kind, source, payload) "
                "VALUES (?, ?, ?, 'checkpoint_saved', ?, ?)",
                (run_id, step, at, source, json.dumps(payload)),
            )
            event_id = cursor.lastrowid or 0
            self.insert(writer, event_id, run_id, at, row)
        reached("row written")
        return Event(
            event_id=event_id,
            run_id=run_id,
            step=step,
            at=at,
            kind="checkpoint_saved",
            source=source,
            payload=payload,
        )

    @staticmethod
    def insert(
        writer: sqlite3.Connection, event_id: int, run_id: str, at: float, row: dict[str, Any]
    ) -> None:
        """Enter a checkpoint whose files are safe."""
        values = {"event_id": event_id, "run_id": run_id, "at": at, "state": "good", **row}
        marks = ", ".join(f":{column}" for column in COLUMNS)
        writer.execute(f"INSERT INTO checkpoints ({', '.join(COLUMNS)}) VALUES ({marks})", values)  # noqa: S608 # our own column names

    def load(self, record: CheckpointRecord) -> Checkpoint:
        """Return a checkpoint, verified.

        Raises:
            CheckpointError: It is damaged.
        """
        return read_checkpoint(self.folder(record), record.manifest_sha256)

    def files(self, record: CheckpointRecord) -> dict[str, bytes]:
        """Return a checkpoint's files by name, verified.

        Raises:
            CheckpointError: It is damaged, or was deleted meanwhile.
        """
        return read_files(self.folder(record), record.manifest_sha256)

    def state(self, record: CheckpointRecord) -> dict[str, Any]:
        """Return a checkpoint's state without its tensors.

        Raises:
            CheckpointError: The manifest is damaged.
        """
        return read_state(self.folder(record), record.manifest_sha256)

    def good_ones(self, run_id: str) -> Iterator[tuple[CheckpointRecord, Checkpoint | CheckpointError]]:
        """Yield each checkpoint from the newest, loaded, or what is wrong with it.

        The run may be written meanwhile: where one was deleted before it was read, they are listed again.
        """
        waiting, seen = deque(self.of(run_id)), set[int]()
        while waiting:
            record = waiting.popleft()
            if record.event_id in seen:
                continue
            seen.add(record.event_id)
            try:
                loaded: Checkpoint | CheckpointError = self.load(record)
            except CheckpointError as error:
                listed = self.of(run_id)
                if all(one.event_id != record.event_id for one in listed):
                    waiting = deque(listed)
                    continue
                loaded = error
            yield record, loaded

    def mark_damaged(self, record: CheckpointRecord) -> None:
        """Remember that a checkpoint's files are not what was recorded; they stay for whoever looks."""
        query = "UPDATE checkpoints SET state = 'damaged' WHERE event_id = ? AND state = 'good'"
        with self._writing() as writer:
            writer.execute(query, (record.event_id,))

    def rename(self, record: CheckpointRecord, name: str | None) -> None:
        """Give a checkpoint a name, which keeps it, or take the name away.

        Raises:
            CheckpointError: It was deleted meanwhile.
        """
        query = "UPDATE checkpoints SET name = ? WHERE event_id = ? AND state <> 'leaving'"
        with self._writing() as writer:
            found = writer.execute(query, (name, record.event_id)).rowcount
        if not found:
            raise CheckpointError(
                f"run {record.run_id!r} has no checkpoint of step {record.step} any more; save it again."
            )

    def delete(self, record: CheckpointRecord) -> None:
        """Delete a checkpoint; begun is done, even if the process dies in between."""
        self._delete(record, "UPDATE checkpoints SET state = 'leaving' WHERE event_id = ?")

    def delete_unnamed(self, record: CheckpointRecord) -> None:
        """Delete a checkpoint unless somebody has named it since it was listed."""
        self._delete(record, "UPDATE checkpoints SET state = 'leaving' WHERE event_id = ? AND name IS NULL")

    def _delete(self, record: CheckpointRecord, mark_as_leaving: str) -> None:
        with self._writing() as writer:
            leaves = writer.execute(mark_as_leaving, (record.event_id,)).rowcount
        if leaves:
            self._finish_deleting(record.event_id, self.folder(record))

    def _finish_deleting(self, event_id: int, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with self._writing() as writer:
            writer.execute("DELETE FROM checkpoints WHERE event_id = ?", (event_id,))

    def prune(self, run_id: str, keep: int) -> None:
        """Keep the newest `keep`, the best, the first and the named ones; delete the others."""
        records = [record for record in self.of(run_id) if record.state == "good"]
        best = best_of(records)
        kept = {record.event_id for record in [*records[:keep], *records[-1:]]}
        kept.update(record.event_id for record in records if record.name is not None or record is best)
        for record in records:
            if record.event_id not in kept:
                self.delete_unnamed(record)

    def tidy(self, run_id: str) -> None:
        """Finish what a process that died had begun; only for whoever may write the run."""
        for folder in (self._run_dir(run_id), self._folders(run_id)):
            sweep(folder)
        query = "SELECT event_id, folder FROM checkpoints WHERE run_id = ? AND state = 'leaving'"
        with self._database.reading() as reader:
            leaving = reader.execute(query, (run_id,)).fetchall()
        for row in leaving:
            self._finish_deleting(row["event_id"], self._folders(run_id) / row["folder"])


def row_of(
    folder: str,
    written: Written,
    step: int,
    name: str | None = None,
    validation_bits_per_byte: float | None = None,
) -> dict[str, Any]:
    """Return what the table says of a checkpoint that is so written."""
    return {
        "folder": folder,
        "step": step,
        "name": name,
        **asdict(written),
        "validation_bits_per_byte": validation_bits_per_byte,
    }
