"""A run as a single-threaded, deterministic state machine."""

from bitlm.session.commands import (
    AlertAction,
    Anneal,
    Command,
    GrowthRule,
    SampleSchedule,
    ScheduleSamples,
    SetAlertAction,
    SetGrowthRule,
    SetTelemetry,
    TelemetrySettings,
)
from bitlm.session.config import RunConfig
from bitlm.session.events import Event, StepEvent
from bitlm.session.policy import CheckpointPolicy
from bitlm.session.presets import SIZES, preset
from bitlm.session.records import Origin, Planned, RunRecord
from bitlm.session.session import Session
from bitlm.session.store import RunStore

__all__ = [
    "SIZES",
    "AlertAction",
    "Anneal",
    "CheckpointPolicy",
    "Command",
    "Event",
    "GrowthRule",
    "Origin",
    "Planned",
    "RunConfig",
    "RunRecord",
    "RunStore",
    "SampleSchedule",
    "ScheduleSamples",
    "Session",
    "SetAlertAction",
    "SetGrowthRule",
    "SetTelemetry",
    "StepEvent",
    "TelemetrySettings",
    "preset",
]
