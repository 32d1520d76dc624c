"""Every error a user can meet.

BitLMError
├── ConfigError            a setting is wrong: names field, value and fix
├── BitFormatError         bits are not what they should be
│   └── ParityError        a frame's parity bit disagrees with its payload
├── CorpusError            a text cannot be read or is too short
├── MissingReferenceError  S was asked for without a reference model
├── GridOverflowError      an activation left the fixed-point grid
├── SafetyGateError        a strict gate refused what was emitted
├── RunNotFoundError       no such run in the data folder
├── RunBusyError           another process is writing this run
├── CheckpointError        a checkpoint is missing or damaged
└── HaltedError            the run stopped itself and will not step

Warnings: MetricDriftWarning, SafetyGateWarning.
"""

from collections.abc import Sequence
from typing import Any


class BitLMError(Exception):
    """Something a user can put right; the message says how."""


class ConfigError(BitLMError, ValueError):
    """A setting has a value it cannot have."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field}={value!r}: {fix}")
        self.field = field
        self.value = value
        self.fix = fix


class BitFormatError(BitLMError, ValueError):
    """Bits are not 0 or 1, not whole frames, or not the text they should be."""


class ParityError(BitFormatError):
    """Frames whose parity bit disagrees with their payload."""

    def __init__(self, frames: Sequence[int]) -> None:
        first = ", ".join(str(frame) for frame in frames[:5])
        super().__init__(
            f"{len(frames)} frame(s) fail even parity (first: {first}); "
            "the bits were changed on the way. enforce_parity() recomputes the parity bits and counts them."
        )
        self.frames = tuple(frames)


class CorpusError(BitLMError, ValueError):
    """A text cannot be read, or is too short to train on."""


class MissingReferenceError(BitLMError):
    """S compares with a reference model, and the model carries none."""

    def __init__(self) -> None:
        super().__init__(
            "S needs a reference model and this model has none; "
            "set model.reference = ReferenceModel.fit(training_bytes) first."
        )


class GridOverflowError(BitLMError, ArithmeticError):
    """An activation is not finite or has left the range in which addition is exact."""


class SafetyGateError(BitLMError):
    """A strict gate refused what the model emitted."""

    def __init__(self, verdict: Any, attempts: Sequence[Any] = ()) -> None:
        super().__init__("the safety gate refused the sample: " + "; ".join(verdict.reasons))
        self.verdict = verdict
        self.attempts = tuple(attempts)


class RunNotFoundError(BitLMError, LookupError):
    """There is no run of that name in the data folder."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r} in this data folder; list the runs to see their names.")
        self.run_id = run_id


class RunBusyError(BitLMError):
    """Another process is writing this run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} is being trained by another process; end it there, or make another run."
        )
        self.run_id = run_id


class CheckpointError(BitLMError):
    """A checkpoint is missing, or its files do not match their hashes."""


class HaltedError(BitLMError):
    """The run stopped itself; its weights are those of the last good step."""


class MetricDriftWarning(UserWarning):
    """A metric's mean moved by more than the threshold between two windows."""


class SafetyGateWarning(UserWarning):
    """A sample fell below a floor and was let through marked, because the gate is not strict."""
