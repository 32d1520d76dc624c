"""What differs between runs: their settings, what they were told, and from which step on."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from bitlm.errors import ConfigError
from bitlm.history.past import events_with_past
from bitlm.session import Event, RunRecord, RunStore
from bitlm.session.events import EventKind
from bitlm.session.learner import JOURNAL_KINDS

MOST_RUNS = 8
"""Runs that can be compared at once."""


class ComparedRun(BaseModel):
    """A run among those compared; `baselines` are of its own text."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    name: str | None
    step: int
    bits_per_byte: float | None
    validation_bits_per_byte: float | None
    baselines: dict[str, float] | None


class SettingDifference(BaseModel):
    """A setting that is not the same in all runs; one value for each run, in their order."""

    model_config = ConfigDict(frozen=True)

    field: str
    values: list[Any]


class JournalDifference(BaseModel):
    """A command that not all runs were given; its payload for those that were, in their order."""

    model_config = ConfigDict(frozen=True)

    step: int
    kind: EventKind
    values: list[dict[str, Any] | None]


class Comparison(BaseModel):
    """Runs side by side.

    Attributes:
        first_difference: The first step whose loss is not the same in all; None if none that all did differs.
        compared_steps: How many steps all of them did.
    """

    model_config = ConfigDict(frozen=True)

    runs: list[ComparedRun]
    config: list[SettingDifference]
    journal: list[JournalDifference]
    first_difference: int | None
    compared_steps: int


class Difference(BaseModel):
    """One run minus another, in bits per byte, at the steps both did.

    Twins see the same batches, so what a batch happens to be cancels out: what is left is the change.

    Attributes:
        first_difference: The first step whose loss is not the same; None if there is none.
        compared_steps: How many steps both did.
        mean: Mean difference of the training figure from `first_difference` on.
        training: Mean, lowest and highest difference in stretches of steps; `step` is a stretch's last.
        validation: Difference of the quick estimate on held-out text, where both made one.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    other_id: str
    first_difference: int | None
    compared_steps: int
    mean: float | None
    training: dict[str, list[int | float]]
    validation: dict[str, list[int | float]]


def difference(store: RunStore, run_id: str, other_id: str, *, max_points: int) -> Difference:
    """Return by how much a run's bits per byte differ from another's; below 0 is better.

    Args:
        store: Holds both.
        run_id: The run.
        other_id: The run it is compared with.
        max_points: Most stretches of steps.

    Raises:
        RunNotFoundError: One of them is not there.
        ConfigError: They are one and the same.
    """
    if run_id == other_id:
        raise ConfigError("other", other_id, "name another run; a run does not differ from itself.")
    ours, theirs = store.run(run_id), store.run(other_id)
    first, shared = store.pairs.first_difference(run_id, other_id)
    width = max(1, -(-min(ours.last_step, theirs.last_step) // max_points))
    return Difference(
        run_id=run_id,
        other_id=other_id,
        first_difference=first,
        compared_steps=shared,
        mean=None if first is None else store.pairs.mean_difference(run_id, other_id, since=first),
        training=store.pairs.training(run_id, other_id, width=width),
        validation=store.pairs.validation(run_id, other_id),
    )


def compare(store: RunStore, run_ids: Sequence[str]) -> Comparison:
    """Return what differs between some runs.

    Raises:
        RunNotFoundError: One of them is not there.
        ConfigError: They are fewer than two or too many, or one is named twice.
    """
    if not 2 <= len(run_ids) <= MOST_RUNS or len(set(run_ids)) < len(run_ids):  # noqa: PLR2004 - a pair
        raise ConfigError("runs", ",".join(run_ids), f"name 2 to {MOST_RUNS} different runs.")
    records = [store.run(run_id) for run_id in run_ids]
    first, shared = _first_difference(store, run_ids)
    return Comparison(
        runs=[_compared(store, record) for record in records],
        config=_settings(records),
        journal=_journal([events_with_past(store, record, kinds=JOURNAL_KINDS) for record in records]),
        first_difference=first,
        compared_steps=shared,
    )


def _compared(store: RunStore, record: RunRecord) -> ComparedRun:
    return ComparedRun(
        run_id=record.run_id,
        name=record.name,
        step=record.last_step,
        bits_per_byte=record.bits_per_byte,
        validation_bits_per_byte=record.validation_bits_per_byte,
        baselines=store.baselines(record.config.baselines_key),
    )


def _settings(records: Sequence[RunRecord]) -> list[SettingDifference]:
    flat = []
    for record in records:
        settings = record.config.model_dump(mode="json")
        flat.append({**settings.pop("model"), **settings.pop("training"), **settings})
    names = {name: None for settings in flat for name in settings}
    rows = [SettingDifference(field=name, values=[one.get(name) for one in flat]) for name in names]
    return [row for row in rows if any(value != row.values[0] for value in row.values)]


def _journal(journals: Sequence[Sequence[Event]]) -> list[JournalDifference]:
    keyed = [{_key(event): event for event in journal} for journal in journals]
    keys = {key: None for entries in keyed for key in entries}
    rows = []
    for key in sorted(keys, key=lambda key: (key[0], key[1])):
        found = [entries.get(key) for entries in keyed]
        if any(event is None for event in found):
            values = [event.payload if event else None for event in found]
            rows.append(JournalDifference(step=key[0], kind=key[1], values=values))
    return rows


def _key(event: Event) -> tuple[int, EventKind, str]:
    """Return what makes two entries the same command: its step, its kind and what it sets."""
    told = event.payload
    if event.kind == "telemetry_changed":
        return event.step, event.kind, str(sorted((one["field"], one["new"]) for one in told["changes"]))
    kept = {name: told[name] for name in ("steps", "sha256", "done") if name in told}
    return event.step, event.kind, str(sorted(kept.items()))


def _first_difference(store: RunStore, run_ids: Sequence[str]) -> tuple[int | None, int]:
    """Return the first step that not all did alike, and how many steps all of them did."""
    pairs = [store.pairs.first_difference(run_ids[0], other) for other in run_ids[1:]]
    steps = [step for step, _ in pairs if step is not None]
    return min(steps, default=None), min(shared for _, shared in pairs)
