import csv
import json
import struct
import sys
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bitlm.data import Corpus
from bitlm.errors import ConfigError, RunNotFoundError
from bitlm.history.export import PIECE_ROWS, TAGS, export_csv, export_jsonl, export_tensorboard
from bitlm.model import ModelConfig
from bitlm.session import RunStore, SampleSchedule, ScheduleSamples, Session, StepEvent
from bitlm.session.events import METRIC_COLUMNS
from bitlm.training import TrainingConfig


def figures(value: float | list[Any] | None) -> list[bytes]:
    """The 64 bits of each figure in a cell."""
    if isinstance(value, list):
        return [bits for one in value for bits in figures(one)]
    return [] if value is None else [struct.pack("<d", value)]


def accumulated(place: Path) -> Any:
    """What TensorBoard reads of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped] # noqa: PLC0415 - takes seconds to import
        EventAccumulator,
    )

    read = EventAccumulator(str(place), {"scalars": 0, "tensors": 0})
    read.Reload()
    return read


def test_csv_holds_every_figure_of_every_step_to_the_last_bit(kept: RunStore, finished: str) -> None:
    rows = list(csv.DictReader(StringIO("".join(export_csv(kept, finished)))))
    recorded = kept.metrics(finished)
    assert tuple(rows[0]) == METRIC_COLUMNS
    assert [int(row["step"]) for row in rows] == recorded["step"] == list(range(1, 17))
    for column, values in recorded.items():
        read = [json.loads(row[column]) if row[column] else None for row in rows]
        assert [figures(cell) for cell in read] == [figures(value) for value in values]
    assert "" in [row["validation_bits_per_byte"] for row in rows]
    assert "[" in rows[0]["attention_entropy_layers"]
    assert "[[" in rows[0]["attention_entropy_heads"]


def test_jsonl_holds_the_run_then_its_metrics_then_its_events(kept: RunStore, finished: str) -> None:
    lines = [json.loads(line) for line in "".join(export_jsonl(kept, finished)).splitlines()]
    events = kept.all_events(finished)
    kinds = [line["kind"] for line in lines]
    assert kinds == ["run", *["metrics"] * 16, *(event.kind for event in events)]
    assert lines[0]["run_id"] == finished
    assert lines[0]["config"]["model"]["d_model"] == 16
    assert [line["loss"] for line in lines[1:17]] == kept.metrics(finished)["loss"]
    assert [line["payload"] for line in lines[17:]] == [event.payload for event in events]
    assert all(next(iter(line)) == "kind" for line in lines)


PARTS = (
    "attention_entropy_layers",
    "attention_entropy_heads",
    "gradient_norm_blocks",
    "validation_bits_per_bit",
)
"""Columns with more than one tag."""

NOT_MEASURED = {
    "depth/mean",
    "bits_per_byte/bound/train",
    "bits_per_byte/bound/validation",
    "bits_per_byte/compressed/train",
}
"""Tags of what this run has no figure for."""


def measured(step: int) -> StepEvent:
    return StepEvent(
        step=step, at=1.0 * step, elapsed_s=0.1 * step, bytes_seen=512 * step, loss=0.7,
        bits_per_byte=1 / step, K=0.1, gradient_norm=1.0, learning_rate=0.01, bytes_per_s=1e3,
    )  # fmt: skip


def test_no_piece_holds_more_than_its_share_of_a_long_run(kept: RunStore, finished: str) -> None:
    record = kept.run(finished)
    kept.add_run("long", created_at=0.0, parameters=1, config=record.config)
    for step in range(1, 2 * PIECE_ROWS + 2):
        kept.add_metrics("long", measured(step))
    kept.flush()
    for pieces in (list(export_csv(kept, "long")), list(export_jsonl(kept, "long"))):
        assert max(piece.count("\n") for piece in pieces) == PIECE_ROWS
        assert sum(piece.count("\n") for piece in pieces) == 2 * PIECE_ROWS + 2 + ("run" in pieces[0])


@pytest.fixture
def sampled(kept: RunStore, corpus: Corpus) -> Iterator[str]:
    """A run with two samples along training, whose prompt has what Markdown would take for markup."""
    model = ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)
    training = TrainingConfig(batch_size=2, telemetry_budget=1.0)
    run = Session.create(kept, model=model, training=training, corpus=corpus, seed=1)
    schedule = SampleSchedule(every=2, prompt="*The* ", max_new_bytes=24)
    run.apply(ScheduleSamples(schedule=schedule), source="ui")
    list(islice(run, 4))
    run.close()
    kept.flush()
    yield run.run_id
    kept.delete_run(run.run_id)


def test_samples_along_training_are_in_jsonl_and_tensorboard(
    kept: RunStore, sampled: str, tmp_path: Path
) -> None:
    drawn = kept.samples.page(sampled)
    lines = [json.loads(line) for line in "".join(export_jsonl(kept, sampled)).splitlines()]
    told = [line for line in lines if line.pop("kind") == "scheduled_sample"]
    assert told == [one.model_dump(mode="json") for one in drawn]
    assert [line["step"] for line in told] == [1, 2, 4]
    texts = accumulated(export_tensorboard(kept, sampled, tmp_path)).Tensors("samples/text_summary")
    assert [(one.step, one.wall_time) for one in texts] == [(one.step, one.at) for one in drawn]
    assert texts[0].tensor_proto.string_val[0].decode().startswith("    *The* ")


@pytest.mark.parametrize("export", [export_csv, export_jsonl])
def test_a_run_that_is_not_there_is_told_before_anything_is_written(kept: RunStore, export: Any) -> None:
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        export(kept, "no-such-run")


def test_tensorboard_finds_a_scalar_for_every_column_and_a_text_for_every_event(
    kept: RunStore, finished: str, tmp_path: Path
) -> None:
    place = export_tensorboard(kept, finished, tmp_path)
    assert place == tmp_path / finished
    read = accumulated(place)
    layers, heads, blocks, bits = (TAGS[column] for column in PARTS)
    by_part = {
        *map(layers.format, range(2)),
        *(heads.format(layer, head) for layer in range(2) for head in range(2)),
        *map(blocks.format, range(4)),
        *map(bits.format, range(8)),
    }
    whole = set(TAGS.values()) - {layers, heads, blocks, bits, *NOT_MEASURED}
    assert set(read.Tags()["scalars"]) == whole | by_part
    assert set(TAGS) == set(METRIC_COLUMNS) - {"step", "at"}
    recorded = kept.metrics(finished)
    written = read.Scalars("bits_per_byte/train")
    assert [(one.step, one.wall_time) for one in written] == list(
        zip(recorded["step"], recorded["at"], strict=True)
    )
    assert [one.value for one in written] == pytest.approx(recorded["bits_per_byte"], rel=1e-6)
    assert [one.step for one in read.Scalars("bits_per_byte/validation")] == [5, 10, 15]
    changed = read.Tensors("events/telemetry_changed/text_summary")
    assert [one.step for one in changed] == [4]
    assert b"lambda_K" in changed[0].tensor_proto.string_val[0]


def test_tensorboard_that_is_not_installed_is_named_with_its_fix(
    kept: RunStore, finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match="-m pip install tensorboard"):
        export_tensorboard(kept, finished, tmp_path)
