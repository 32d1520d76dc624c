"""What the address of a request may say behind its `?`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bitlm.calibration.floors import FALSE_REJECT_RATE, HIGHEST_RATE
from bitlm.quantisation import Precision

Limit = Annotated[int, Field(ge=1, le=1000)] | None
Number = Annotated[int, Field(ge=0, lt=2**63)]
"""A step, or an event's id: a whole number that a database holds."""


class Query(BaseModel):
    """A query string: no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricsQuery(Query):
    """Which steps, and how many rows.

    Attributes:
        since: Those above this one.
        max_points: About so many at most.
    """

    since: Annotated[int, Field(ge=-1, lt=2**63)] = -1
    max_points: Annotated[int, Field(ge=2, le=3000)] = 1000


class SamplesQuery(Query):
    """Which samples along training to return: those of steps above `since`."""

    since: Annotated[int, Field(ge=-1, lt=2**63)] = -1


class EventsQuery(Query):
    """Which events: those with ids above `since`."""

    since: Number = 0


class CalibrationQuery(Query):
    """The share of real text that the floors may refuse."""

    false_reject_rate: Annotated[float, Field(gt=0, le=HIGHEST_RATE)] = FALSE_REJECT_RATE


class ModelQuery(Query):
    """What to keep a model's weights as, and the step of its checkpoint; None for the newest."""

    weights: Precision = "float32"
    step: Number | None = None


class RunsQuery(Query):
    """Which runs: those there are, or those in the trash.

    Attributes:
        trashed: Whether those in the trash.
        limit: So many at most; without it, all.
        after: Those that follow this one in the list.
    """

    trashed: bool = False
    limit: Limit = None
    after: Annotated[str, Field(max_length=64)] | None = None


class JournalQuery(Query):
    """Which commands.

    Attributes:
        limit: So many at most; without it, all.
        after: Those with ids above it.
    """

    limit: Limit = None
    after: Number = 0


class CompareQuery(Query):
    """Ids of runs, with commas between."""

    runs: Annotated[str, Field(max_length=600)]


class DifferenceQuery(Query):
    """What to compare with, and how closely.

    Attributes:
        other: The other run's id.
        max_points: Stretches of steps at most.
    """

    other: Annotated[str, Field(max_length=64)]
    max_points: Annotated[int, Field(ge=2, le=3000)] = 500


class EffectQuery(Query):
    """The event to look before and after."""

    event: Annotated[int, Field(ge=1, lt=2**63)]


class ExportQuery(Query):
    """Which columns of a `csv`, with commas between; all where none is named."""

    columns: str = ""
