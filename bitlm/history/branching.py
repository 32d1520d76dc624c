"""A new run that begins inside another: a fork, a counterfactual twin, an undone change.

A run's past is never rewritten. Going back means a new run that shares the past up to a checkpoint;
what the other run was told after that is planned for it, with one change left out or made otherwise.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from pydantic import ValidationError
from safetensors.torch import load

from bitlm.complaints import did_you_mean
from bitlm.data import Corpus
from bitlm.errors import CheckpointError, ConfigError, JournalError
from bitlm.growth import Growth, grown_config
from bitlm.history.enlarging import enlarged
from bitlm.history.naming import branch_name
from bitlm.history.past import listed
from bitlm.model import BitTransformer, ModelConfig
from bitlm.session import (
    Anneal,
    Event,
    Origin,
    Planned,
    RunConfig,
    RunRecord,
    RunStore,
    SetTelemetry,
    TelemetrySettings,
)
from bitlm.session.alerts import TROUBLES
from bitlm.session.checkpoint import MANIFEST, WEIGHTS, written_of
from bitlm.session.checkpoint_table import CheckpointRecord, row_of
from bitlm.session.durability import make_folder, write_folder_durably
from bitlm.session.entries import changes_course
from bitlm.session.events import Source
from bitlm.session.learner import JOURNAL_KINDS, require_fitting
from bitlm.session.policy import new_run_id
from bitlm.session.records import ChangeLeftOut
from bitlm.session.reference_file import read_reference, write_reference
from bitlm.training import TrainingConfig
from bitlm.version import VERSION

RATES = frozenset({"learning_rate", "matrix_learning_rate"})
"""Settings that end an anneal when a fork changes them: who sets a rate wants that rate."""

OF_THE_REQUEST = ("idempotency_key", "request_sha256")
"""What an event keeps of the request that made it, beside the command."""

CHANGEABLE_MODEL_FIELDS = ("dropout", "act_threshold", "memory")
"""What of the model can differ from a fork on: all that leaves the weights' shapes alone."""


FIXED_TRAINING_FIELDS = frozenset({"reference_bytes"})
"""What of the training cannot: the weights have learned to read these very counts."""


def fork(
    store: RunStore,
    run_id: str,
    *,
    step: int | None = None,
    settings: Mapping[str, Any] | None = None,
    telemetry: SetTelemetry | None = None,
    growth: Growth | None = None,
    source: Source,
) -> str:
    """Make a run that begins at a checkpoint of another, and return its id.

    Args:
        store: Holds both.
        run_id: The run to branch off.
        step: Of the checkpoint; None for the newest.
        settings: Training settings, dropout, act_threshold, memory or seed that shall differ from here on. A
            new learning rate also ends an anneal.
        telemetry: λ and floors that shall differ; they are the new run's first command.
        growth: Which way its model shall be larger, while it predicts the same; its optimizer is carried
            over, and the origin has the receipt.
        source: Who asks.

    Raises:
        RunNotFoundError: There is no such run.
        CheckpointError: There is no whole checkpoint of that step.
        ConfigError: A setting cannot be changed, or not to that value; or the model is too large to grow so.
        CorpusError: The text is too short for a window that has grown.
    """
    parent = store.run(run_id)
    changes = dict(settings or {})
    config = _changed(parent.config, changes)
    told = {} if telemetry is None else _changes(telemetry, parent.config.model.objective)
    record = chosen_checkpoint(store, run_id, step)
    files, receipt = store.checkpoints.files(record), None
    if growth is not None:
        shape = grown_config(config.model, growth)
        changes |= {name: value for name, value in vars(shape).items() if value != vars(config.model)[name]}
        config = config.model_copy(update={"model": shape})
        files, receipt = enlarged(store, parent, record, growth)
    origin = Origin(
        run_id=run_id, step=record.step, after_event=record.event_id, config_changes=changes, growth=receipt
    )
    first = {"run_id": run_id, "step": record.step, "kind": "telemetry_changed", "source": source}
    plan = [Planned(**first, payload=told)] if told else []
    return add_branch(
        store,
        parent=parent,
        record=record,
        config=config,
        origin=origin,
        plan=plan,
        files=files,
        source=source,
    )


def twin(
    store: RunStore,
    run_id: str,
    event_id: int,
    *,
    instead: Mapping[str, Any] | None = None,
    undo: bool = False,
    source: Source,
) -> str:
    """Make a run that does without one change of another run, or with another in its place; return its id.

    It begins at the newest checkpoint before the change, repeats what led up to it, and then goes on
    under the same commands as the other did up to its last step. With `undo` it ends where the change was.

    Args:
        store: Holds both.
        run_id: The run to differ from.
        event_id: The entry of its journal to leave out.
        instead: Fields of the command to give in its place.
        undo: End there and let the user go on, instead of repeating what came after.
        source: Who asks.

    Raises:
        RunNotFoundError: There is no such run.
        JournalError: There is no such entry, or it is not a change that can be left out.
        ConfigError: `instead` is not such a command.
        CheckpointError: No checkpoint before the change is whole.
    """
    parent = store.run(run_id)
    journal = store.all_events(run_id, kinds=JOURNAL_KINDS)
    change = _change(run_id, journal, event_id)
    if undo and instead is not None:
        raise ConfigError("instead", dict(instead), "to undo a change is to put nothing in its place.")
    record = _newest_whole(store, run_id, step=change.step, event_id=event_id)
    plan = [_planned(event) for event in journal if record.event_id < event.event_id < event_id]
    if instead is not None:
        payload = _payload(change, instead, parent.config)
        plan.append(_planned(change).model_copy(update={"payload": payload}))
    if not undo:
        plan += [_planned(event) for event in journal if event.event_id > event_id]
    store.flush()
    origin = Origin(
        run_id=run_id,
        step=record.step,
        after_event=record.event_id,
        change=ChangeLeftOut(event_id=event_id, step=change.step, kind=change.kind, payload=change.payload),
        instead=dict(instead) if instead is not None else None,
        undo=undo,
        until=change.step if undo else max(store.last_known_step(run_id), change.step),
    )
    return add_branch(
        store, parent=parent, record=record, config=parent.config, origin=origin, plan=plan, source=source
    )


def roll_back(store: RunStore, run_id: str, *, since: int | None = None, source: Source) -> str:
    """Make a run that begins where another was still well and learns half as fast; return its id.

    What the other learned after that stays with it. Half the rates, because the same steps at the same
    rates would come out the same. The new run pauses at its next alert instead of rolling back once more.

    Args:
        store: Holds both.
        run_id: The run to go back in.
        since: The last step that was well; the newest whole checkpoint up to there is taken. None for what
            the run's last alert says; of a run without one, its last step.
        source: Who asks.

    Raises:
        RunNotFoundError: There is no such run.
        CheckpointError: No checkpoint up to there is whole.
    """
    parent = store.run(run_id)
    if since is None:
        alerts = store.all_events(run_id, kinds=TROUBLES)
        since = alerts[-1].payload.get("since", alerts[-1].step) if alerts else None
    record = _newest_whole(store, run_id, step=since, event_id=None)
    changes = {rate: getattr(parent.config.training, rate) / 2 for rate in sorted(RATES)}
    origin = Origin(
        run_id=run_id,
        step=record.step,
        after_event=record.event_id,
        config_changes=changes,
        rolled_back=True,
    )
    pausing = Planned(
        run_id=run_id, step=record.step, kind="alert_action_changed", source=source,
        payload={"old": "rollback", "new": "pause"},
    )  # fmt: skip
    return add_branch(
        store, parent=parent, record=record, config=_changed(parent.config, changes), origin=origin,
        plan=[pausing], source=source,
    )  # fmt: skip


def _change(run_id: str, journal: Sequence[Event], event_id: int) -> Event:
    """Return the entry of the journal that a twin does without."""
    change = next((event for event in journal if event.event_id == event_id), None)
    if change is None or change.kind == "steps_ended":
        changes = [
            one for one in journal if one.kind != "steps_ended" and changes_course(one.kind, one.payload)
        ]
        raise JournalError(
            f"event {event_id} is not a change in the journal of run {run_id!r}; {listed(changes)}."
        )
    if change.kind == "alert_action_changed":
        raise JournalError(
            f"event {event_id} says what an alert leads to; without it the steps are the same, for a twin is "
            "given what its original's alerts led to."
        )
    if change.kind in {"samples_scheduled", "growth_rule_changed"}:
        is_drawing = change.kind == "samples_scheduled"
        what = "what is drawn along training" if is_drawing else "when the run goes on as a larger one"
        raise JournalError(f"event {event_id} says {what}; without it the steps are the same.")
    if change.kind == "steps_requested" and "sha256" not in change.payload:
        raise JournalError(
            f"event {event_id} asked for steps on the run's own text; without it they are the same steps."
        )
    return change


def delete_checkpoint(store: RunStore, run_id: str, step: int, *, source: Source) -> None:
    """Delete a checkpoint for good; what was measured stays.

    Raises:
        RunNotFoundError: There is no such run.
        CheckpointError: It has no checkpoint of that step, or that is the one a branch began at.
    """
    record, run = store.checkpoints.at(run_id, step, damaged=True), store.run(run_id)
    if run.origin is not None and record.event_id == store.checkpoints.of(run_id)[-1].event_id:
        raise CheckpointError(
            f"run {run_id!r} began at this checkpoint and cannot be computed again without it; "
            "delete the run instead."
        )
    store.checkpoints.delete(record)
    last = store.last_known_step(run_id)
    store.add_event(
        run_id, step=last, at=time.time(), kind="checkpoint_deleted", source=source, payload={"step": step}
    )


def _changed(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Return `config` with some settings changed, made by this version."""
    training = {field.name for field in fields(TrainingConfig)} - FIXED_TRAINING_FIELDS
    everything = {*FIXED_TRAINING_FIELDS, *(field.name for field in fields(ModelConfig))}
    for name, value in changes.items():
        if name in TelemetrySettings.model_fields:
            raise ConfigError(name, value, "it is no setting of training; give it as telemetry.")
        if name not in {*training, *CHANGEABLE_MODEL_FIELDS, "seed"}:
            others = [*sorted(training), *CHANGEABLE_MODEL_FIELDS]
            meant = "" if name in everything else did_you_mean(name, [*others, "seed"])
            raise ConfigError(
                name,
                value,
                f"{meant}a fork can change {', '.join(others)} and seed; anything else needs a new run, "
                "for the weights would not fit.",
            )
    chosen = {name: value for name, value in changes.items() if name in training}
    shape = {name: value for name, value in changes.items() if name in CHANGEABLE_MODEL_FIELDS}
    update = {
        "model": replace(config.model, **shape),
        "training": replace(config.training, **chosen),
        "seed": changes.get("seed", config.seed),
        "version": VERSION,
    }
    try:
        return RunConfig(**{**vars(config), **update})
    except ValidationError as error:
        raise ConfigError.of(error, RunConfig) from error


def chosen_checkpoint(store: RunStore, run_id: str, step: int | None) -> CheckpointRecord:
    """Return the checkpoint of a step, of None the newest whole one; CheckpointError where there is none."""
    if step is not None:
        return store.checkpoints.at(run_id, step)
    return _newest_whole(store, run_id, step=None, event_id=None)


def _newest_whole(
    store: RunStore, run_id: str, *, step: int | None, event_id: int | None
) -> CheckpointRecord:
    """Return the newest checkpoint whose files are whole, of at most `step` and from before `event_id`."""
    for record in store.checkpoints.of(run_id):
        if (step is not None and record.step > step) or (event_id is not None and record.event_id > event_id):
            continue
        try:
            store.checkpoints.load(record)
        except CheckpointError:
            continue
        return record
    where = "" if step is None else f" up to step {step}"
    raise CheckpointError(f"run {run_id!r} has no whole checkpoint{where} to branch off from.")


def _planned(event: Event) -> Planned:
    """Return the command as it is to be given again; a request's key stays with the run that was asked."""
    payload = {name: value for name, value in event.payload.items() if name not in OF_THE_REQUEST}
    return Planned(
        run_id=event.run_id, step=event.step, kind=event.kind, source=event.source, payload=payload
    )


def _changes(command: SetTelemetry, objective: str) -> dict[str, Any]:
    """Return what the journal says of the command, the old values being filled in when it is given."""
    command.require_fitting(objective)
    asked = command.model_dump(exclude={"kind"}, exclude_none=True)
    if not asked:
        raise ConfigError("telemetry", asked, f"name one of {', '.join(TelemetrySettings.model_fields)}.")
    return {"changes": [{"field": name, "old": None, "new": value} for name, value in asked.items()]}


def _payload(change: Event, instead: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """Return what the journal says of the command that is given in place of `change`."""
    kinds: dict[str, type[SetTelemetry | Anneal]] = {
        "telemetry_changed": SetTelemetry,
        "anneal_started": Anneal,
    }
    if change.kind in kinds:
        kind = kinds[change.kind]
        try:
            command = kind(**instead)
        except ValidationError as error:
            raise ConfigError.of(error, kind) from error
        if isinstance(command, SetTelemetry):
            return _changes(command, config.model.objective)
        return {**change.payload, "steps": command.steps}
    raise ConfigError(
        "instead", dict(instead), f"a {change.kind} can be left out, but not be done otherwise."
    )


def _without_annealing(manifest: bytes) -> bytes:
    """Return the manifest of a state whose learning rate has not begun to fall."""
    content = json.loads(manifest)
    content["state"]["annealing"] = None
    return json.dumps(content, indent=2).encode()


def add_branch(
    store: RunStore,
    *,
    parent: RunRecord,
    record: CheckpointRecord,
    config: RunConfig,
    origin: Origin,
    plan: list[Planned],
    files: dict[str, bytes] | None = None,
    source: Source,
) -> str:
    """Copy the checkpoint, or take these files for it, and the reference; then record run and plan at once.

    Raises:
        CheckpointError: Its weights are those of a model that another version made.
    """
    created_at = time.time()
    run_id = new_run_id(created_at)
    files = files or store.checkpoints.files(record)
    if RATES & origin.config_changes.keys():
        files[MANIFEST] = _without_annealing(files[MANIFEST])
    require_fitting(load(files[WEIGHTS]), BitTransformer(config.model), parent.config.version)
    run_dir = store.run_dir(run_id)
    corpus = Corpus(config.corpus, store.data(config.corpus_fingerprint))
    make_folder(run_dir)
    write_reference(run_dir, read_reference(store.run_dir(parent.run_id), corpus, config))
    write_folder_durably(run_dir / "checkpoints" / record.folder, files)
    row = row_of(record.folder, written_of(files), record.step, None, record.validation_bits_per_byte)
    store.add_branch(
        run_id,
        created_at=created_at,
        parent=parent,
        config=config,
        origin=origin,
        checkpoint=row,
        plan=plan,
        source=source,
    )
    told = plan[0].payload["changes"] if plan and origin.change is None and not origin.rolled_back else []
    taken = {other.name for other in store.runs() if other.name is not None}
    store.label_run(run_id, name=branch_name(parent, origin, told, taken), tags=(), archived=False)
    return run_id
