"""What requests are answered with, as JSON. A field is what its description or its class says."""

from typing import Any, Literal

from pydantic import BaseModel

from app.service.distillations import DistillationReport
from app.service.replays import ReplayReport
from app.service.roundings import RoundingReport
from bitlm.history.milestones import Milestone
from bitlm.session import Event, Origin
from bitlm.session.scheduled_samples import ScheduledSample


class RunSummary(BaseModel):
    """A run as the list shows it.

    Attributes:
        created_at: Unix time in seconds.
        step: The last step that has metrics.
        config: The run's settings, flat.
        origin: Where it branched off, if it did.
        trashed_at: When it was thrown away, in Unix seconds; None for a run that was not.
        live: Whether it is the run the service holds.
        replay: How far its last replay since the service started is, or how it ended; None without one.
        distillation: The same of its last distillation.
        rounding: The same of the last measurement of what its model costs in fewer bits.
    """

    run_id: str
    created_at: float
    parameters: int
    step: int
    bits_per_byte: float | None
    validation_bits_per_byte: float | None
    config: dict[str, Any]
    name: str | None
    tags: tuple[str, ...]
    archived: bool
    origin: Origin | None
    trashed_at: float | None
    live: bool
    replay: ReplayReport | None
    distillation: DistillationReport | None
    rounding: RoundingReport | None


class RunDeleted(BaseModel):
    """The run that is no more."""

    run_id: str


class JournalAnswer(BaseModel):
    """Commands a run was given, the oldest first; `next` is the `after` of those that follow, if any do."""

    run_id: str
    entries: list[Event]
    next: int | None


class CheckpointSummary(BaseModel):
    """A checkpoint as the list shows it.

    Attributes:
        bytes: Size of its files.
        validation_bits_per_byte: The quick estimate on held-out text at this very step, if one was made.
        state: "damaged" once its files were found to be other than recorded.
        is_best: Whether its estimate is the lowest of those kept.
    """

    step: int
    at: float
    name: str | None
    bytes: int
    validation_bits_per_byte: float | None
    state: Literal["good", "damaged"]
    weights_sha256: str
    is_best: bool


class CheckpointList(BaseModel):
    """A run's checkpoints, the newest first."""

    run_id: str
    checkpoints: list[CheckpointSummary]


class RunList(BaseModel):
    """Runs in the data folder, the newest first; `next` is the `after` of those that follow, if any do."""

    runs: list[RunSummary]
    next: str | None


class MetricsAnswer(BaseModel):
    """Metrics by column; `cursor` is the `since` of the next request."""

    run_id: str
    columns: dict[str, list[float | int | list[float] | list[list[float]] | None]]
    cursor: int


class MilestonesAnswer(BaseModel):
    """The baselines that a run has passed, the earliest first."""

    run_id: str
    milestones: list[Milestone]


class EventsAnswer(BaseModel):
    """Events, the oldest first; `cursor` is the `since` of the next request."""

    run_id: str
    events: list[Event]
    cursor: int


class SamplesAnswer(BaseModel):
    """What was drawn along training, in order of step; `cursor` is the `since` of the next request."""

    run_id: str
    samples: list[ScheduledSample]
    cursor: int


class Health(BaseModel):
    """Whether requests are being answered."""

    status: Literal["ok"]
    version: str


class Readiness(Health):
    """Whether the service can do its work.

    Attributes:
        redis: Why Redis, or what is to be heard from there, is missing, which keeps nobody from working; else
            None.
    """

    redis: str | None
