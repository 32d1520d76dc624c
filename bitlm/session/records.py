"""What the store knows of a run."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bitlm.session.config import RunConfig
from bitlm.session.events import EventKind, Source


class ChangeLeftOut(BaseModel):
    """The entry of another run's journal that a twin does without, or does otherwise."""

    model_config = ConfigDict(frozen=True)

    event_id: int
    step: int
    kind: EventKind
    payload: dict[str, Any]


class GrowthReceipt(BaseModel):
    """What a branch's model has grown by; of each pair the first is before, the second after.

    Attributes:
        by: A layer more, twice the width, or twice the window.
        logit_difference: Greatest |difference| of two logits on the same bits; 0.0 is equal to the last bit.
        parameters: Weights.
        weight_bytes: What they take.
        bits_per_byte: On held-out text, at most 64 KiB of it; with a longer window over longer windows.
        ms_per_byte: Processor time of predicting it.
    """

    model_config = ConfigDict(frozen=True)

    by: Literal["layer", "width", "context"]
    logit_difference: float
    parameters: tuple[int, int]
    weight_bytes: tuple[int, int]
    bits_per_byte: tuple[float, float]
    ms_per_byte: tuple[float, float]


class DistillationReceipt(BaseModel):
    """What became of a branch's model when it was made a student of its parent's.

    Of each pair the first is the teacher's, the second the student's.

    Attributes:
        logit_difference: Greatest |difference| of two logits on the same bits.
        parameters: Weights.
        weight_bytes: What they take.
        bits_per_byte: On held-out text, at most 64 KiB of it.
        ms_per_byte: Processor time of predicting it.
        steps: Updates of all rounds.
        rounds: Students that were tried; the last is this one.
        C: LZ complexity of texts that it draws, the mean.
        S: Geometric-mean probability that the reference gives them, the mean.
        c_floor: Least C it was to have.
        s_floor: Least S it was to have.
        most_worse: Bits per byte that it was to cost more at most.
        met: Whether it is as it was to be.
        heads: Of each layer; None of a student made when heads were not cut yet.
    """

    model_config = ConfigDict(frozen=True)

    logit_difference: float
    parameters: tuple[int, int]
    weight_bytes: tuple[int, int]
    bits_per_byte: tuple[float, float]
    ms_per_byte: tuple[float, float]
    steps: int
    rounds: int
    C: float
    S: float
    c_floor: float
    s_floor: float
    most_worse: float
    met: bool
    heads: tuple[int, int] | None = None


class Origin(BaseModel):
    """Where a branch comes from.

    Attributes:
        run_id: The run it began as.
        step: The step of the checkpoint it began at.
        after_event: The last event of that run which is this run's past as well.
        config_changes: Settings that differ from that run's.
        growth: How the model is larger than that run's; None where it is not.
        distillation: How it is that run's student; None where it is not.
        change: What that run was told and this one was not; None for a fork.
        instead: What is done in the change's place; None for nothing.
        undo: Whether the plan ends where the change was, instead of going on as the other did.
        rolled_back: Whether it was made to go back from trouble.
        until: The step up to which the plan reaches, if there is a plan.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    step: int
    after_event: int
    config_changes: dict[str, Any] = {}
    growth: GrowthReceipt | None = None
    distillation: DistillationReceipt | None = None
    change: ChangeLeftOut | None = None
    instead: dict[str, Any] | None = None
    undo: bool = False
    rolled_back: bool = False
    until: int | None = None


class Planned(BaseModel):
    """A command that a run will be given at a step, as its parent was."""

    model_config = ConfigDict(frozen=True)

    plan_id: int = 0
    run_id: str
    step: int
    kind: EventKind
    source: Source
    payload: dict[str, Any]


class RunRecord(BaseModel):
    """A run as the list of runs shows it.

    Attributes:
        name: What people call it, beside its id.
        tags: Words to sort by.
        archived: Put away: not taken up by itself, and listed last.
        origin: Where it branched off, if it did.
        trashed_at: When it was thrown away, in Unix seconds; None for a run that was not, or was taken back.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    created_at: float
    parameters: int
    config: RunConfig
    last_step: int
    bits_per_byte: float | None
    validation_bits_per_byte: float | None
    name: str | None = None
    tags: tuple[str, ...] = ()
    archived: bool = False
    origin: Origin | None = None
    trashed_at: float | None = None
