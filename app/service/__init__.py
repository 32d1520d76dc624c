"""One thread owns the live model; everyone else asks it and is answered."""

from app.service.answers import (
    CharacterSurprise,
    CorpusSummary,
    GateReport,
    InferAnswer,
    RunCreated,
    Status,
    StepAnswer,
)
from app.service.broadcaster import Broadcaster
from app.service.calibration import CalibrationAnswer
from app.service.errors import NoRunError, ServiceStoppingError, StateConflictError
from app.service.estimate import RunEstimate
from app.service.manager import ModelManager

__all__ = [
    "Broadcaster",
    "CalibrationAnswer",
    "CharacterSurprise",
    "CorpusSummary",
    "GateReport",
    "InferAnswer",
    "ModelManager",
    "NoRunError",
    "RunCreated",
    "RunEstimate",
    "ServiceStoppingError",
    "StateConflictError",
    "Status",
    "StepAnswer",
]
