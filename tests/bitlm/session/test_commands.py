"""What can be asked for, to the last number that is allowed, and what nobody can change afterwards."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import bitlm.session
from bitlm.model import ModelConfig
from bitlm.session import (
    Anneal,
    RunConfig,
    SampleSchedule,
    ScheduleSamples,
    SetAlertAction,
    SetTelemetry,
    TelemetrySettings,
)
from bitlm.session.checkpoint_table import CheckpointRecord
from bitlm.session.records import ChangeLeftOut
from bitlm.session.scheduled_samples import ScheduledSample
from bitlm.training import TrainingConfig

ASKED = (Anneal, SampleSchedule, ScheduleSamples, SetAlertAction, SetTelemetry, TelemetrySettings, RunConfig)
KEPT = (
    CheckpointRecord,
    ChangeLeftOut,
    ScheduledSample,
    *(getattr(bitlm.session, name) for name in ("Event", "StepEvent", "Origin", "Planned", "RunRecord")),
)

RUN: dict[str, Any] = {
    "model": ModelConfig(), "training": TrainingConfig(), "corpus": "", "corpus_fingerprint": "", "seed": 0,
    "threads": 1, "version": "",
}  # fmt: skip


@pytest.mark.parametrize("kind", [*ASKED, *KEPT], ids=lambda kind: kind.__name__)
def test_no_field_of_what_is_asked_or_kept_can_be_changed(kind: type[BaseModel]) -> None:
    made = kind.model_construct()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(kind.model_fields)), None)


@pytest.mark.parametrize("kind", ASKED, ids=lambda kind: kind.__name__)
def test_a_field_that_there_is_not_is_refused(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind(unheard_of=1)


@pytest.mark.parametrize(
    ("kind", "field", "allowed", "refused"),
    [
        (Anneal, "steps", (1, 1_000_000), (0, 1_000_001)),
        (SampleSchedule, "every", (1, 1_000_000), (0, 1_000_001)),
        (SampleSchedule, "max_new_bytes", (1, 1024), (0, 1025)),
        (SampleSchedule, "temperature", (0.0, 5.0), (-0.01, 5.01)),
        (SampleSchedule, "top_p", (0.01, 1.0), (0.0, 1.01)),
        (SampleSchedule, "seed", (0, 2**63 - 1), (-1, 2**63)),
        (SampleSchedule, "prompt", ("", "a" * 4096), (None, "a" * 4097)),
        (SetTelemetry, "lambda_K", (0.0, 1.0), (-0.01, 1.01)),
        (TelemetrySettings, "s_floor", (0.0, 1.0), (-0.01, 1.01)),
        (RunConfig, "seed", (0, 2**63 - 1), (-1, 2**63)),
        (RunConfig, "threads", (1, 256), (0, 257)),
    ],
)
def test_a_field_takes_what_lies_in_its_range_and_nothing_beyond(
    kind: type[BaseModel], field: str, allowed: tuple[object, object], refused: tuple[object, object]
) -> None:
    others = {SampleSchedule: {"every": 1}, RunConfig: RUN}.get(kind, {})
    for value in allowed:
        assert getattr(kind(**{**others, field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError, match=field):
            kind(**{**others, field: value})


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Anneal, "steps"),
        (SampleSchedule, "every"),
        (SampleSchedule, "max_new_bytes"),
        (SampleSchedule, "seed"),
    ],
)
def test_a_count_is_a_whole_number_and_no_text(kind: type[BaseModel], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        kind(**{"every": 1, field: "7"})


@pytest.mark.parametrize("field", ["lambda_K", "lambda_C", "lambda_S", "c_floor", "s_floor"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_share_is_a_number(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        SetTelemetry(**{field: value})


@pytest.mark.parametrize("field", ["temperature", "top_p"])
def test_how_to_draw_is_a_number(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        SampleSchedule(**{"every": 1, field: float("nan")})


def test_what_is_not_said_is_as_documented() -> None:
    assert SampleSchedule(every=10) == SampleSchedule(
        every=10, prompt="", max_new_bytes=128, temperature=0.8, top_p=1.0, seed=0
    )
    assert TelemetrySettings() == TelemetrySettings(
        lambda_K=0.0, lambda_C=0.0, lambda_S=0.0, c_floor=0.3, s_floor=0.5
    )


def test_each_weight_of_the_objective_is_its_own() -> None:
    weights = TelemetrySettings(lambda_K=0.1, lambda_C=0.2, lambda_S=0.3).lambdas
    assert (weights.K, weights.C, weights.S) == (0.1, 0.2, 0.3)


def test_a_command_changes_its_fields_alone_and_the_difference_says_which() -> None:
    before = TelemetrySettings(lambda_K=0.1)
    after = SetTelemetry(lambda_K=0.2, c_floor=0.0).changed(before)
    assert after == TelemetrySettings(lambda_K=0.2, c_floor=0.0)
    assert before.differences(after) == [
        {"field": "lambda_K", "old": 0.1, "new": 0.2},
        {"field": "c_floor", "old": 0.3, "new": 0.0},
    ]
    assert before.differences(before) == []


def test_a_run_is_not_made_before_its_autocast_is_settled() -> None:
    with pytest.raises(ValidationError, match="autocast='auto' is settled when a run is made"):
        RunConfig(**{**RUN, "training": TrainingConfig(autocast="auto")})
