"""A run as one page that opens anywhere: no network, no server, nothing beside it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from bitlm.history.milestones import Milestone, milestones
from bitlm.history.narration import (
    TOLD_KINDS,
    branch_of,
    duration,
    is_alert,
    sentence,
    short_label,
    source_name,
)
from bitlm.session import Event, RunRecord, RunStore

MOST_POINTS = 1000
"""Rows of metrics that the charts are drawn from; `export_csv` has them all."""

DRAWN_COLUMNS = (
    "step",
    "bits_per_byte",
    "validation_bits_per_byte",
    "K",
    "C",
    "S",
    "learning_rate",
    "validation_bits_per_bit",
    "gradient_norm",
    "gradient_norm_blocks",
    "attention_entropy_heads",
)

DEFINITIONS = {
    "bits per byte": "What a byte of the text would take in a file, compressed with this model; 8 is a coin, "
    "and lower is better.",
    "training": "Bits per byte of the batch of that very step, before the step learned from it.",
    "held out": "Bits per byte of a part of the last tenth of the text, which is never trained on: an "
    "estimate of the whole tenth's.",
    "gzip, bzip2, xz": "What the held-out tenth adds to the compressed training part, at each one's best "
    "level, in bits per byte; gzip looks back 32 KB only.",
    "order-k": "Bits per byte of the held-out tenth by a model that has counted the training part and looks "
    "back at most k bytes.",
    "K (negentropy)": "1 minus the mean entropy of the model's predictions, from 0 (a coin) to 1 (certain); "
    "it does not say whether the certainty is justified.",
    "C (complexity)": "Lempel–Ziv phrases of a 128-byte sample as a share of those of random bits, near 0 "
    "for a loop and near 1 for noise; one sample scatters.",
    "S (symbiosis)": "The mean probability, per bit, that a counting model of the training text gives the "
    "same sample: 0.5 is a coin, text has about 0.85; it does not say whether the sample is true or good.",
    "learning rate": "AdamW's step size, as that update used it.",
    "bits of a byte": "What each bit has in the held-out figure, b7 the most significant; a coin costs 1.",
    "gradient norm": "How strongly a step's batch pulls at the weights, before clipping: at all of them, "
    "and at each part.",
    "attention entropy": "How widely a head looks, in bits: two to that power is the number of "
    "positions it amounts to.",
}


def report_html(store: RunStore, run_id: str) -> str:
    """Return a run as one self-contained page with its charts, journal, alerts and definitions.

    Raises:
        RunNotFoundError: There is no such run.
    """
    record = store.run(run_id)
    events = store.all_events(run_id)
    told = [event for event in events if event.kind in TOLD_KINDS]
    alerts = [event for event in events if is_alert(event)]
    metrics = store.metrics(run_id, max_points=MOST_POINTS)
    baselines = store.baselines(record.config.baselines_key) or {}
    quality, quality_note = _held_out(record, events)
    return Template(_asset("report.html")).substitute(
        title=escape(record.name or record.run_id),
        subtitle=_subtitle(record),
        tiles=_tiles(record, metrics, quality),
        comparison=_bars(baselines, quality),
        milestones=_passed(milestones(store, run_id)),
        comparison_note=escape(quality_note if baselines else f"{quality_note} {_NO_BASELINES}"),
        chart_note=escape(_chart_note(record.last_step, len(metrics["step"]))),
        journal_count=len(told),
        journal=_table(told),
        alert_count=len(alerts),
        alerts=_table(alerts) if alerts else "<p class='quiet'>None.</p>",
        config=_settings(_config_groups(record)),
        corpus=_settings({"": _text_facts(store, record)}),
        definitions=_definitions(),
        footer=escape(
            f"Run {record.run_id} · made by BitLM {record.config.version} · this page needs no network."
        ),
        css=_asset("report.css"),
        data=_script_json(
            {
                "metrics": {name: metrics[name] for name in DRAWN_COLUMNS},
                "baselines": baselines,
                "layers": record.config.model.num_layers,
                "markers": _markers([*told, *alerts]),
            }
        ),
        plotly=files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8"),
        js=_asset("report.js"),
    )


_NO_BASELINES = "The baselines of this text have not been computed: `python -m bitlm evaluate` does."


def _asset(name: str) -> str:
    return files("bitlm.history").joinpath(name).read_text(encoding="utf-8")


def _script_json(value: object) -> str:
    """Return JSON that cannot end the script element that holds it."""
    return json.dumps(value).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _held_out(record: RunRecord, events: Iterable[Event]) -> tuple[float | None, str]:
    """Return the best measurement of the held-out part there is, and what it is."""
    evaluated = [event for event in events if event.kind == "evaluated" and "bits_per_byte" in event.payload]
    if evaluated:
        last = evaluated[-1]
        return last.payload[
            "bits_per_byte"
        ], f"Of the whole held-out tenth, at step {last.step}. Lower is better."
    if record.validation_bits_per_byte is not None:
        note = "The run's figure is the latest estimate of that of the held-out tenth. Lower is better."
        return record.validation_bits_per_byte, note
    return None, "The run has not been measured on the held-out tenth yet."


def _subtitle(record: RunRecord) -> str:
    named = f"{record.run_id} · " if record.name else ""
    tags = "".join(f" · {tag}" for tag in record.tags)
    branch = f" · {branch_of(record.origin)}" if record.origin else ""
    return escape(f"{named}made {_time(record.created_at)} UTC{branch}{tags}")


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def _tiles(record: RunRecord, metrics: dict[str, list[Any]], quality: float | None) -> str:
    bytes_seen = metrics["bytes_seen"][-1] if metrics["step"] else 0
    elapsed_s = metrics["elapsed_s"][-1] if metrics["step"] else 0.0
    tiles = {
        "held-out bits per byte": "–" if quality is None else f"{quality:.3f}",
        "steps": f"{record.last_step:,}",
        "bytes trained on": f"{bytes_seen:,}",
        "spent stepping": duration(elapsed_s),
        "parameters": f"{record.parameters:,}",
    }
    return "".join(
        f"<div class='tile'><b>{value}</b><span>{name}</span></div>" for name, value in tiles.items()
    )


def _bars(baselines: dict[str, float], quality: float | None) -> str:
    ours = [("this run", quality, True)] if quality is not None else []
    rows = sorted(
        [*((name, value, False) for name, value in baselines.items()), *ours], key=lambda row: -row[1]
    )
    longest = max((value for _, value, _ in rows), default=1.0) or 1.0
    return f"<table class='bars'>{''.join(_bar(*row, longest) for row in rows)}</table>"


def _passed(found: Sequence[Milestone]) -> str:
    """Return when the run got below each baseline, by its quick estimate; nothing if it passed none."""
    if not found:
        return ""
    told = ", ".join(f"{one.name} at {duration(one.elapsed_s)} (step {one.step:,})" for one in found)
    return f"<p class='quiet passed'>Passed on the way, by the quick estimate: {escape(told)}.</p>"


def _bar(name: str, value: float, is_ours: bool, longest: float) -> str:  # noqa: FBT001 - a row of `_bars`
    bar = f"<div class='bar' style='width:{100 * value / longest:.2f}%'></div>"
    row = f"<th scope='row'>{escape(name)}</th><td>{bar}</td><td>{value:.3f}</td>"
    return f"<tr class='{'ours' if is_ours else ''}'>{row}</tr>"


def _chart_note(steps: int, drawn: int) -> str:
    note = (
        "Dotted vertical lines are the journal's entries and the alerts; pointing at one tells what it was."
    )
    if drawn >= steps:
        return note
    thinned = f"{drawn:,} of {steps:,} steps are drawn, the extremes among them"
    return f"{note} {thinned}; a strong line is the average of those drawn."


def _markers(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return one marker for each step at which something was asked or went wrong."""
    markers: dict[int, dict[str, Any]] = {}
    for event in sorted(events, key=lambda event: event.event_id):
        marker = markers.setdefault(
            event.step, {"step": event.step, "label": "", "story": [], "alert": False}
        )
        marker["story"].append(f"{sentence(event)} ({source_name(event)})")
        if is_alert(event) or not marker["alert"]:
            marker["label"] = short_label(event)
        marker["alert"] = marker["alert"] or is_alert(event)
    return [markers[step] for step in sorted(markers)]


def _table(events: Sequence[Event]) -> str:
    if not events:
        return "<p class='quiet'>Nothing.</p>"
    rows = "".join(
        f"<tr class='{'alert' if is_alert(event) else ''}'><td class='number'>{event.step}</td>"
        f"<td>{_time(event.at)}</td><td>{escape(source_name(event))}</td><td>{escape(sentence(event))}</td></tr>"
        for event in events
    )
    head = "<tr><th class='number'>step</th><th>time (UTC)</th><th>who</th><th>what: old → new</th></tr>"
    return (
        f"<div class='scroll'><table class='events'><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    )


def _config_groups(record: RunRecord) -> dict[str, dict[str, object]]:
    config = record.config
    run = {"seed": config.seed, "threads": config.threads, "version": config.version}
    return {"Model": asdict(config.model), "Training": asdict(config.training), "Run": run}


def _text_facts(store: RunStore, record: RunRecord) -> dict[str, object]:
    fingerprint = record.config.corpus_fingerprint
    kept = store.texts.size(fingerprint)
    size = f"{kept:,} bytes" if kept is not None else "not in the data folder"
    return {"name": record.config.corpus, "size": size, "held out": "the last tenth", "SHA-256": fingerprint}


def _settings(groups: dict[str, dict[str, object]]) -> str:
    parts = []
    for group, settings in groups.items():
        if group:
            parts.append(f"<dt class='group'>{escape(group)}</dt>")
        for name, value in settings.items():
            style = " class='mono'" if name == "SHA-256" else ""
            parts.append(f"<dt>{escape(name)}</dt><dd{style}>{escape(str(value))}</dd>")
    return f"<dl class='settings'>{''.join(parts)}</dl>"


def _definitions() -> str:
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in DEFINITIONS.items())
    return f"<dl class='meanings'>{entries}</dl>"
