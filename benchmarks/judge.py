"""Holds what a killed service left against what it had acknowledged, for benchmarks/crash.py."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.victim import Asked
from bitlm.errors import CheckpointError
from bitlm.session import Event, RunStore, TelemetrySettings
from bitlm.session.durability import ASIDE

SAVED = ("pause", "train-step", "checkpoints")
"""What is answered with a step that is on the disk; elsewhere it is one that may have to be done again."""


@dataclass
class Report:
    """What came of it.

    Attributes:
        kills: How often the service was killed.
        moments: How often at which moment.
        in_a_checkpoint: Deaths that left a checkpoint half-written, or written and not recorded.
        acknowledged: Requests that were answered.
        in_doubt: Requests that were not; each may have been done or not, but not by halves.
        lost: Acknowledged requests that were not found, or not as they were.
        corrupt_stores: Restarts after which SQLite's own check found something.
        damaged_checkpoints: Files of checkpoints that were not what their row says.
        steps: Length of the run.
        recomputed: Steps that were done again after a death.
        checkpoints_compared: Checkpoints ever saved, which the replay came to.
        checkpoints_equal: Those whose weights and optimizer came out again.
        bit_equal: Whether the same journal without any interruption ends in the same bits.
        median_resume_s: From the start of the process to the run being taken up.
        broken: Each promise that was not kept.
    """

    kills: int = 0
    moments: dict[str, int] = field(default_factory=dict)
    in_a_checkpoint: int = 0
    acknowledged: int = 0
    in_doubt: int = 0
    lost: int = 0
    corrupt_stores: int = 0
    damaged_checkpoints: int = 0
    steps: int = 0
    recomputed: int = 0
    checkpoints_compared: int = 0
    checkpoints_equal: int = 0
    bit_equal: bool = False
    median_resume_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    def expect(self, is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - the fact itself
        """Take down `otherwise` unless it is so."""
        if not is_so:
            self.broken.append(f"after kill {self.kills}: {otherwise}")


class Judge:
    """Looks at the data folder after each restart, and writes what it finds into the report."""

    def __init__(self, data_dir: Path, report: Report) -> None:
        self._data_dir = data_dir
        self._report = report
        self._events: list[Event] = []
        self._unrecorded: set[str] = set()
        self._lost: set[str] = set()

    def look(self, status: dict[str, Any], asked: list[Asked]) -> None:
        """Check everything, with the service up again and nothing under way."""
        self._check_database()
        store = RunStore(self._data_dir)
        try:
            self._check_events(store, status, asked)
            self._check_checkpoints(store, status["run_id"], asked)
        finally:
            store.close()
        for loss in losses(self._events, asked):
            self._lose(loss)

    def _lose(self, what: str) -> None:
        if what not in self._lost:
            self._lost.add(what)
            self._report.lost += 1
            self._report.broken.append(f"after kill {self._report.kills}: lost: {what}")

    def _check_database(self) -> None:
        connection = sqlite3.connect(self._data_dir / RunStore.FILE_NAME)
        found = connection.execute("PRAGMA integrity_check").fetchall()
        connection.close()
        self._report.corrupt_stores += found != [("ok",)]
        self._report.expect(found == [("ok",)], f"integrity_check says {found}")

    def _check_events(self, store: RunStore, status: dict[str, Any], asked: list[Asked]) -> None:
        """Nothing that was recorded has changed, and what came since is what a death leads to."""
        expect = self._report.expect
        before, self._events = self._events, store.all_events(status["run_id"])
        new = Counter(event.kind for event in self._events[len(before) :])
        expect(self._events[: len(before)] == before, "events that were recorded are others now")
        expect(not before or new["run_resumed"] > 0, "no run_resumed")
        expect(new["diverged"] == 0, "diverged")
        expect(new["checkpoint_damaged"] == 0, "checkpoint_damaged")
        expect(status["telemetry"] == in_force(self._events), "λ or a floor is not what the journal says")
        saved = max((one.step for one in asked if one.answered_at and one.what in SAVED), default=0)
        expect(status["step"] >= saved, f"step {status['step']}, but {saved} was acknowledged")

    def _check_checkpoints(self, store: RunStore, run_id: str, asked: list[Asked]) -> None:
        """Each is whole, none is half there, and each name that was given is there."""
        folders, names = set(), dict[int, set[str | None]]()
        for record in store.checkpoints.of(run_id):
            folders.add(record.folder)
            names.setdefault(record.step, set()).add(record.name)
            try:
                store.checkpoints.files(record)
            except CheckpointError as error:
                self._report.damaged_checkpoints += 1
                self._report.expect(record.state == "damaged", str(error))
        left = list(store.run_dir(run_id).rglob(f"{ASIDE}*"))
        self._report.expect(not left, f"half-written and not swept: {left}")
        there = {path.name for path in (store.run_dir(run_id) / "checkpoints").iterdir()}
        self._report.in_a_checkpoint += len(there - folders - self._unrecorded)
        self._unrecorded = there - folders
        named = [one for one in asked if one.what == "checkpoints"]
        doubtful = {one.body["name"] for one in named if not one.answered_at}
        for step, name in {one.step: one.body["name"] for one in named if one.answered_at}.items():
            if not names.get(step, set()) & {name, *doubtful}:
                self._lose(f"the checkpoint {name!r} of step {step}")


def in_force(events: list[Event]) -> dict[str, float]:
    """Return λ and floors after these events."""
    settings = TelemetrySettings().model_dump()
    for event in events:
        if event.kind == "telemetry_changed":
            settings |= {change["field"]: change["new"] for change in event.payload["changes"]}
    return settings


def losses(events: list[Event], asked: list[Asked]) -> Iterator[str]:
    """Yield each thing that was asked and is not in the journal as it must be.

    What was acknowledged is there once, with its values, and was so before it was acknowledged; what is in
    doubt is there once or not at all.
    """
    entries: dict[object, list[Event]] = {}
    for event in events:
        entries.setdefault(_identity(event), []).append(event)
    requests = _requests(events)
    for one in asked:
        if one.what in {"telemetry", "anneal"}:
            found = entries.get((one.what, frozenset(one.body.items())), [])
            if len(found) > 1 or (one.answered_at and not found):
                yield f"{one} is in the journal {len(found)} times"
            elif found and one.answered_at and found[0].at > one.answered_at:
                yield f"{one} was acknowledged before it was recorded"
        elif one.what == "train-step":
            yield from _wrong_steps(one, requests.get(one.key, []))
    for what, kind in (("start", "training_started"), ("pause", "training_paused")):
        told = [one.answered_at is not None for one in asked if one.what == what]
        there = len(entries.get(kind, []))
        if not sum(told) <= there <= len(told):
            yield f"{what}: acknowledged {sum(told)} times of {len(told)}, {kind} is there {there} times"


def _identity(event: Event) -> object:
    """Return what tells an event from others: no two commands were alike."""
    if event.kind == "telemetry_changed":
        return "telemetry", frozenset((one["field"], one["new"]) for one in event.payload["changes"])
    if event.kind == "anneal_started":
        return "anneal", frozenset({("steps", event.payload["steps"])})
    return event.kind


def _requests(events: list[Event]) -> dict[str | None, list[tuple[Event, int]]]:
    """Return by its key each try of a request for steps, with how many of them were done."""
    found: dict[str | None, list[tuple[Event, int]]] = {}
    related = [event for event in events if event.kind in {"steps_requested", "steps_ended"}]
    for entry, following in zip_longest(related, related[1:]):
        if entry.kind == "steps_requested":
            is_short = following is not None and following.kind == "steps_ended"
            done = following.payload["done"] if following and is_short else entry.payload["steps"]
            found.setdefault(entry.payload["idempotency_key"], []).append((entry, done))
    return found


def _wrong_steps(one: Asked, tries: list[tuple[Event, int]]) -> Iterator[str]:
    """Yield what is wrong with the tries of a request: each asks for what the ones before left undone."""
    remaining = one.body["steps"]
    text = sha256(one.body["text"].encode()).hexdigest()
    for entry, done in tries:
        if (entry.payload["steps"], entry.payload["sha256"]) != (remaining, text):
            yield f"{one} was entered as {entry}"
        remaining -= done
    if one.answered_at and (remaining or one.step != tries[-1][0].step + tries[-1][1]):
        yield f"{one} was acknowledged with {remaining} steps to do"
