"""A run's past for other programs: every step and every event, at full precision, piece by piece."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bitlm.errors import ConfigError
from bitlm.session import Event, RunStore
from bitlm.session.events import METRIC_COLUMNS
from bitlm.session.scheduled_samples import ScheduledSample

PIECE_ROWS = 1000
EVENTS_AT_ONCE = 1000
SAMPLES_AT_ONCE = 100

TAGS = {
    "loss": "loss/train",
    "bits_per_byte": "bits_per_byte/train",
    "validation_bits_per_byte": "bits_per_byte/validation",
    "validation_bits_per_bit": "bits_per_byte/validation/bit_{}",
    "K": "telemetry/K",
    "C": "telemetry/C",
    "S": "telemetry/S",
    "symbiosis_kl": "telemetry/symbiosis_kl",
    "utf8_validity": "telemetry/utf8_validity",
    "gradient_norm": "optimizer/gradient_norm",
    "gradient_norm_blocks": "optimizer/gradient_norm/block_{}",
    "learning_rate": "optimizer/learning_rate",
    "bytes_per_s": "throughput/bytes_per_s",
    "bytes_seen": "progress/bytes_seen",
    "elapsed_s": "progress/elapsed_s",
    "attention_entropy": "attention/entropy",
    "attention_entropy_layers": "attention/entropy/layer_{}",
    "attention_entropy_heads": "attention/entropy/layer_{}/head_{}",
    "inversion_error": "reversibility/inversion_error",
    "gradient_agreement": "reversibility/gradient_agreement",
    "depth_mean": "depth/mean",
    "bound_bits_per_byte": "bits_per_byte/bound/train",
    "validation_bound_bits_per_byte": "bits_per_byte/bound/validation",
    "compressed_bits_per_byte": "bits_per_byte/compressed/train",
    "resident_bytes": "cost/resident_bytes",
    "telemetry_share": "cost/telemetry_share",
}
"""TensorBoard's tag of each column; `step` and `at` are the step and the wall time of every scalar.

A column with a figure for each part of something has as many tags, in the column's order from 0 on: bit_0 is
the most significant.
"""

Row = dict[str, Any]


def export_csv(store: RunStore, run_id: str, columns: Sequence[str] = METRIC_COLUMNS) -> Iterator[str]:
    """Yield the metrics of every step as CSV, the column names first.

    A figure that was not measured is an empty cell; every float reads back as the same 64 bits. Figures by
    layer, head, block or bit are a JSON array in one cell.

    Raises:
        RunNotFoundError: There is no such run.
        ConfigError: There is no column of one of these names.
    """
    store.run(run_id)
    unknown = [name for name in columns if name not in METRIC_COLUMNS]
    if unknown:
        known = ", ".join(METRIC_COLUMNS)
        raise ConfigError("columns", ",".join(unknown), f"there is no such column; the columns are {known}.")
    return _csv_pieces(store, run_id, columns)


def _csv_pieces(store: RunStore, run_id: str, columns: Sequence[str]) -> Iterator[str]:
    yield ",".join(columns) + "\n"
    rows = store.metric_rows(run_id)
    yield from _joined(",".join(_cell(row[name]) for name in columns) for row in rows)


def _cell(value: float | list[Any] | None) -> str:
    if value is None:
        return ""
    return f'"{value!r}"' if isinstance(value, list) else repr(value)


def export_jsonl(store: RunStore, run_id: str) -> Iterator[str]:
    """Yield a run as one JSON object a line: the run, its metrics, its events, its samples along training.

    `kind` tells them apart: "run", "metrics", the event's kind, or "scheduled_sample".

    Raises:
        RunNotFoundError: There is no such run.
    """
    record = store.run(run_id)
    return _jsonl_pieces(store, run_id, {"kind": "run", **record.model_dump(mode="json")})


def _jsonl_pieces(store: RunStore, run_id: str, first: Row) -> Iterator[str]:
    yield json.dumps(first) + "\n"
    yield from _joined(json.dumps({"kind": "metrics", **row}) for row in store.metric_rows(run_id))
    yield from _joined(json.dumps(event_line(event)) for event in all_events(store, run_id))
    samples = (one.model_dump(mode="json") for one in all_samples(store, run_id))
    yield from _joined(json.dumps({"kind": "scheduled_sample", **sample}) for sample in samples)


def event_line(event: Event) -> Row:
    """Return an event as a line of JSONL holds it, its kind first."""
    return {"kind": event.kind, **event.model_dump(mode="json", exclude={"kind"})}


def export_tensorboard(store: RunStore, run_id: str, folder: Path) -> Path:
    """Write a run for TensorBoard below `folder` and return the folder of the run.

    TensorBoard keeps 32-bit floats; `export_csv` keeps them all.

    Raises:
        RunNotFoundError: There is no such run.
        ConfigError: The package tensorboard is not installed.
    """
    record = store.run(run_id)
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ConfigError(
            "format",
            "tensorboard",
            f"the package tensorboard is missing: {sys.executable} -m pip install tensorboard",
        ) from error
    place = folder / run_id
    with SummaryWriter(str(place)) as writer:
        config = json.dumps(record.config.model_dump(mode="json"), indent=2)
        writer.add_text("config", _preformatted(config), 0, record.created_at)
        for row in store.metric_rows(run_id):
            for tag, value in _scalars(row):
                writer.add_scalar(tag, value, row["step"], row["at"])
        for event in all_events(store, run_id):
            text = _preformatted(json.dumps({"source": event.source, **event.payload}))
            writer.add_text(f"events/{event.kind}", text, event.step, event.at)
        for sample in all_samples(store, run_id):
            writer.add_text(
                "samples", _preformatted(sample.schedule.prompt + sample.text), sample.step, sample.at
            )
    return place


def _scalars(row: Row) -> Iterator[tuple[str, float]]:
    for column, tag in TAGS.items():
        for place, figure in _figures(row[column]):
            yield tag.format(*place), figure


def _figures(value: float | list[Any] | None) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield the figures of a cell with their places in it."""
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from (((index, *place), figure) for place, figure in _figures(part))
    elif value is not None:
        yield (), value


def _preformatted(text: str) -> str:
    """Return it as Markdown that shows every character as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def all_events(store: RunStore, run_id: str) -> Iterator[Event]:
    """Yield every event of a run, oldest first."""
    since = 0
    while page := store.events(run_id, since=since, limit=EVENTS_AT_ONCE):
        yield from page
        since = page[-1].event_id


def all_samples(store: RunStore, run_id: str) -> Iterator[ScheduledSample]:
    """Yield every sample drawn along training, oldest first."""
    since = -1
    while page := store.samples.page(run_id, since=since, most=SAMPLES_AT_ONCE):
        yield from page
        since = page[-1].step


def _joined(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines in pieces worth a write each."""
    while piece := list(islice(lines, PIECE_ROWS)):
        yield "\n".join(piece) + "\n"
