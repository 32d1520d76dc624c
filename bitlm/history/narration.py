"""What happened to a run, in words: one sentence for a table, a few characters for a chart."""

from collections.abc import Callable
from typing import Any

from bitlm.session import Event, Origin
from bitlm.session.events import EventKind
from bitlm.session.learner import JOURNAL_KINDS
from bitlm.session.records import ChangeLeftOut

FIELD_NAMES = {
    "lambda_K": "λK",
    "lambda_C": "λC",
    "lambda_S": "λS",
    "c_floor": "C floor",
    "s_floor": "S floor",
    "causal_share": "causal share",
}
SOURCE_NAMES = {"ui": "page", "rest": "REST", "cli": "command line", "mcp": "MCP", "session": "run"}
ALERTS = ("diverged", "checkpoint_damaged", "failed")
"""Kinds that tell of trouble, beside all that end in _alert."""

TOLD_KINDS: tuple[EventKind, ...] = (
    *JOURNAL_KINDS,
    "training_started",
    "training_paused",
    "training_stopped",
)
"""Commands that decide what is computed, and those that decide when."""

Payload = dict[str, Any]

GROWN = {"layer": "a layer more", "width": "twice as wide", "context": "twice the window"}
"""How a branch's model is larger, in words."""


def is_alert(event: Event) -> bool:
    """Whether the event tells of trouble."""
    return event.kind.endswith("_alert") or event.kind in ALERTS


def sentence(event: Event) -> str:
    """Return what happened, with the old and the new value of what was changed."""
    tell = _SENTENCES.get(event.kind)
    return tell(event.payload) if tell else event.kind.replace("_", " ").capitalize()


def branch_of(origin: Origin) -> str:
    """Return what a run is a branch of, and how it differs."""
    change = origin.change
    if change is None:
        made = "rollback" if origin.rolled_back else "fork"
        made = "student" if origin.distillation else made
        larger = f", {GROWN[origin.growth.by]}" if origin.growth else ""
        return f"{made} of {origin.run_id} at step {origin.step}{larger}"
    told = f"{_SENTENCES[change.kind](change.payload)} (step {change.step})"
    if origin.undo:
        return f"{origin.run_id} before {told}"
    other = "with another value than" if origin.instead is not None else "without"
    return f"twin of {origin.run_id} {other} {told}"


def short_label(event: Event | ChangeLeftOut) -> str:
    """Return a few characters for the line of an event on a chart."""
    payload = event.payload
    if event.kind == "telemetry_changed" and payload["changes"]:
        first, *others = payload["changes"]
        more = f" +{len(others)}" if others else ""
        return f"{field_name(first['field'])} {figure(first['new'])}{more}"
    if event.kind == "drift_alert":
        return f"drift {payload['metric']}"
    if event.kind == "spike_alert":
        return f"spike {payload['metric']}"
    return _LABELS.get(event.kind, event.kind.replace("_", " "))


def source_name(event: Event) -> str:
    """Return who asked for it."""
    return SOURCE_NAMES[event.source]


def duration(seconds: float) -> str:
    """Return seconds as people say them: 42 s, 1 m 12 s, 2 h 05 m."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} m"
    return f"{minutes} m {rest:02d} s" if minutes else f"{rest} s"


def percent(share: float) -> str:
    """Return a share of a text as a percentage of which something is left: 0.34 %, 47.1 %."""
    return f"{100 * share:.3g} %"


def field_name(name: str) -> str:
    """Return a setting's name as people write it."""
    return FIELD_NAMES.get(name, name)


def figure(value: object) -> str:
    """Return a value with at most four significant figures."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _changes(payload: Payload) -> str:
    told = [
        f"{field_name(change['field'])}: {figure(change['old'])} → {figure(change['new'])}"
        for change in payload["changes"]
    ]
    return ", ".join(told) or "Telemetry settings confirmed, none changed"


def _anneal(payload: Payload) -> str:
    rate = figure(payload["from_learning_rate"])
    why = ", after an alert" if "cause" in payload else ""
    return f"Learning rate: {rate} → 1 % of it, over {payload['steps']} steps{why}"


def _requested(payload: Payload) -> str:
    asked = f"{payload['steps']} step{'s' if payload['steps'] != 1 else ''} asked for"
    return f"{asked}, on a text of {payload['bytes']:,} bytes" if payload.get("sha256") else asked


def _ended(payload: Payload) -> str:
    return f"Ended after {payload['done']} of {payload['requested']} steps: {payload['reason']}"


def _growing(payload: Payload) -> str:
    rule = payload["new"]
    if rule is None:
        why = f": {payload['reason']}" if "reason" in payload else ""
        return f"The run is not to grow any more{why}"
    return (
        f"The run grows when held-out text gains less than {rule['improve_thresh']:g} bits per byte an "
        f"estimate, up to {rule['most_memory_mb']:,} MB"
    )


def _scheduled(payload: Payload) -> str:
    new = payload["new"]
    return f"Samples along training: every {new['every']:,} steps" if new else "Samples along training: none"


def _stalled(payload: Payload) -> str:
    return (
        f"Held-out text has not improved since step {payload['best_step']:,}: {payload['best']:.3f} then, "
        f"{payload['now']:.3f} now; the run learns its text by heart"
    )


def _thinned(payload: Payload) -> str:
    if "sample_interval" in payload:
        budget = f"below {50 * payload['budget']:.3g} % of the time"
        return (
            f"Samples along training are being brought {budget}: every {payload['sample_interval']:,} steps"
        )
    every = f"C and S every {payload['probe_interval']:,} steps, attention and reversibility every"
    return (
        f"Telemetry is being brought below {100 * payload['budget']:.3g} % of the time: "
        f"{every} {payload['diagnostics_interval']:,}"
    )


def _drifted(payload: Payload) -> str:
    before, after = figure(payload["before"]), figure(payload["after"])
    return f"The mean of {payload['metric']} drifted: {before} → {after}"


def _diverged(payload: Payload) -> str:
    recorded, recomputed = payload["recorded"], payload["recomputed"]
    return f"Computed again, {payload['metric']} came out otherwise: {recorded!r} → {recomputed!r}"


def _paused(payload: Payload) -> str:
    return f"Training paused: {payload['reason']}" if "reason" in payload else "Training paused"


def _damaged(payload: Payload) -> str:
    return f"The checkpoint of step {payload['step']} is damaged: {payload['detail']}"


def _disk(payload: Payload) -> str:
    return f"The disk is short of room ({payload['free_bytes']:,} bytes left): {payload.get('detail', '')}"


def _spiked(payload: Payload) -> str:
    before, value = figure(payload["before"]), figure(payload["value"])
    return f"{payload['metric'].replace('_', ' ')} spiked: {before} → {value}".capitalize()


def _created(payload: Payload) -> str:
    share = payload.get("not_utf8")
    return (
        f"Run created; {percent(share)} of its text is no UTF-8: taken as bytes" if share else "Run created"
    )


_SENTENCES: dict[str, Callable[[Payload], str]] = {
    "run_created": _created,
    "telemetry_changed": _changes,
    "telemetry_thinned": _thinned,
    "held_out_stalled": _stalled,
    "anneal_started": _anneal,
    "steps_requested": _requested,
    "steps_ended": _ended,
    "drift_alert": _drifted,
    "spike_alert": _spiked,
    "alert_action_changed": lambda payload: f"On an alert: {payload['old']} → {payload['new']}",
    "samples_scheduled": _scheduled,
    "growth_rule_changed": _growing,
    "nonfinite_alert": lambda payload: f"Halted: {payload['detail']}",
    "disk_alert": _disk,
    "training_started": lambda _: "Training started",
    "training_paused": _paused,
    "diverged": _diverged,
    "checkpoint_damaged": _damaged,
    "failed": lambda payload: f"Failed: {payload['detail']}",
}
_LABELS = {
    "alert_action_changed": "on alert",
    "samples_scheduled": "samples",
    "growth_rule_changed": "growing",
    "anneal_started": "anneal",
    "steps_requested": "steps",
    "steps_ended": "steps end",
    "training_started": "start",
    "training_paused": "pause",
    "training_stopped": "stop",
    "nonfinite_alert": "halted",
    "disk_alert": "disk",
    "checkpoint_damaged": "damaged",
}
