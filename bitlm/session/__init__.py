"""A run as a single-threaded, deterministic state machine."""

from bitlm.session.commands import Anneal, Command, SetTelemetry, TelemetrySettings
from bitlm.session.config import RunConfig
from bitlm.session.events import Event, StepEvent
from bitlm.session.presets import SIZES, preset
from bitlm.session.session import Session
from bitlm.session.store import RunRecord, RunStore

__all__ = [
    "SIZES",
    "Anneal",
    "Command",
    "Event",
    "RunConfig",
    "RunRecord",
    "RunStore",
    "Session",
    "SetTelemetry",
    "StepEvent",
    "TelemetrySettings",
    "preset",
]
