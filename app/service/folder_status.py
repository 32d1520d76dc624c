"""What the data folder tells of a run's status, to who has not taken the run up."""

from typing import Any

from app.service.answers import CorpusSummary, flat
from bitlm.data import Corpus
from bitlm.errors import CheckpointError, CorpusError
from bitlm.session import RunConfig, RunRecord, RunStore
from bitlm.session.events import EventKind
from bitlm.session.recovery import telemetry_in_force

TOLD_BY: dict[EventKind, str] = {
    "alert_action_changed": "alert_action",
    "samples_scheduled": "sample_schedule",
    "growth_rule_changed": "growth_rule",
}
"""The setting that each of these events gives another value."""


def progress_of(store: RunStore, record: RunRecord, last: dict[str, Any]) -> dict[str, Any]:
    """Return how far a run is, and what it is; `last` is its last row of metrics."""
    return {
        "run_id": record.run_id,
        "name": record.name,
        "parameters": record.parameters,
        "step": record.last_step,
        "bytes_seen": last.get("bytes_seen", 0),
        "elapsed_s": last.get("elapsed_s", 0.0),
        "config": flat(record.config),
        "baselines": store.baselines(record.config.baselines_key),
        "bits_per_byte": record.bits_per_byte,
        "validation_bits_per_byte": record.validation_bits_per_byte,
        "until": record.origin.until if record.origin else None,
        "samples_cursor": store.samples.last_step(record.run_id),
        "metrics_cursor": record.last_step,
        "events_cursor": store.last_event_id(record.run_id),
    }


def corpus_of(store: RunStore, config: RunConfig) -> CorpusSummary | None:
    """Return what a run's text is, which is read; None where it is missing or damaged."""
    try:
        text = store.texts.look(config.corpus_fingerprint)
    except CorpusError:
        return None
    return CorpusSummary.of(Corpus(config.corpus, text)) if text else None


def settings_of(store: RunStore, run_id: str) -> dict[str, Any]:
    """Return what is in force by the journal: other settings only after a further event."""
    found = {"telemetry": telemetry_in_force(store, run_id), **_kept(store, run_id)}
    for event in store.all_events(run_id, kinds=(*TOLD_BY, "anneal_started")):
        if event.kind == "anneal_started":
            found["annealed_at"] = event.step + event.payload["steps"]
        else:
            found[TOLD_BY[event.kind]] = event.payload["new"]
    return found


def _kept(store: RunStore, run_id: str) -> dict[str, Any]:
    """Return what the run's newest readable checkpoint says was told; a branch's, of its past too."""
    for record in store.checkpoints.of(run_id):
        try:
            state = store.checkpoints.state(record)
        except CheckpointError:
            continue
        kept = {name: state[name] for name in TOLD_BY.values() if state.get(name) is not None}
        annealing = state["annealing"]
        return kept | ({"annealed_at": annealing["start_step"] + annealing["steps"]} if annealing else {})
    return {}
