"""What is written to whoever trains a run by others that only watch it, and what he answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_jsonable_python

from bitlm.errors import (
    BitLMError,
    ChangedMeanwhileError,
    ConfigError,
    HaltedError,
    JournalError,
    StorageFullError,
    UnansweredError,
    UnattendedError,
)
from bitlm.session.commands import (
    AlertAction,
    Command,
    GrowthRule,
    SampleSchedule,
    ScheduleSamples,
    SetAlertAction,
    SetGrowthRule,
    SetTelemetry,
    TelemetrySettings,
)
from bitlm.session.events import Source


class SaveCheckpoint(BaseModel):
    """Save the run now, under a name if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["save_checkpoint"] = "save_checkpoint"
    name: str | None = None


class StopTraining(BaseModel):
    """End training after the step at hand; what was learned is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["stop_training"] = "stop_training"


Wish = Annotated[Command | SaveCheckpoint | StopTraining, Field(discriminator="kind")]
WISH: TypeAdapter[Wish] = TypeAdapter(Wish)

SETTINGS: Mapping[type[BaseModel], str] = {
    SetTelemetry: "telemetry",
    SetAlertAction: "alert_action",
    ScheduleSamples: "sample_schedule",
    SetGrowthRule: "growth_rule",
}
"""What a command changes, by the attribute that has it."""

REFUSALS: Mapping[str, type[BitLMError]] = {
    kind.__name__: kind
    for kind in (
        ChangedMeanwhileError,
        ConfigError,
        HaltedError,
        JournalError,
        StorageFullError,
        UnansweredError,
        UnattendedError,
    )
}
"""The errors that keep their kind in an answer; others become a BitLMError of the same words."""


@runtime_checkable
class Steered(Protocol):
    """What has settings that a command changes: a session, or what is told of one."""

    @property
    def telemetry(self) -> TelemetrySettings:
        """λ and floors in force."""
        ...

    @property
    def alert_action(self) -> AlertAction:
        """What an alert leads to."""
        ...

    @property
    def sample_schedule(self) -> SampleSchedule | None:
        """What is drawn along training."""
        ...

    @property
    def growth_rule(self) -> GrowthRule | None:
        """When the run goes on as a larger one."""
        ...


def seen_in(run: Steered, wish: Wish) -> dict[str, Any]:
    """Return the setting that a wish would change, by its name, as it is now; nothing if it changes none."""
    name = SETTINGS.get(type(wish))
    return {} if name is None else {name: to_jsonable_python(getattr(run, name))}


@dataclass(frozen=True)
class Letter:
    """What is asked of who trains a run.

    Attributes:
        source: Who asks, as the journal will have it.
        wish: None where another version of BitLM asks for what this one does not know.
        seen: Of `seen_in`: it is refused where that is another by now. Empty to change what there is.
    """

    letter_id: int
    source: Source
    wish: Wish | None
    seen: Mapping[str, Any]


class Refusal(BaseModel):
    """Why nothing was done: an error in its own words, to be raised where it was asked for.

    Attributes:
        error: Name of its class.
        about: Its attributes.
    """

    error: str
    detail: str
    about: dict[str, Any]

    @classmethod
    def of(cls, error: BitLMError) -> "Refusal":
        """Write an error down."""
        return cls(error=type(error).__name__, detail=str(error), about=to_jsonable_python(vars(error)))

    def to_raise(self) -> BitLMError:
        """Return the error, not made anew: that would word it anew."""
        kind = REFUSALS.get(self.error, BitLMError)
        error = kind.__new__(kind)
        Exception.__init__(error, self.detail)
        vars(error).update(self.about)
        return error


class Done(BaseModel):
    """What became of a letter.

    Attributes:
        step: Updates done then.
        event_id: Of what it became in the journal; None where all was so already.
    """

    step: int
    event_id: int | None


ANSWER: TypeAdapter[Done | Refusal] = TypeAdapter(Done | Refusal)
