"""Every error a user can meet.

BitLMError
├── ConfigError            a setting is wrong: names field, value and fix
├── BitFormatError         bits are not what they should be
│   └── ParityError        a frame's parity bit disagrees with its payload
├── CorpusError            a text cannot be read or is too short
├── MissingReferenceError  S or mixing was asked for without a reference model
├── GridOverflowError      an activation left the fixed-point grid
├── SafetyGateError        a strict gate refused what was emitted
├── RunNotFoundError       no such run in the data folder
├── RunBusyError           another process is writing this run
├── UnattendedError        nobody trains this run who looks at letters
├── UnansweredError        whoever trains this run did not answer a letter in time
├── ChangedMeanwhileError  what was to be changed is no longer what the asker saw
├── CheckpointError        a checkpoint is damaged, or needed where it is
│   └── CheckpointNotFoundError  there is none of that step
├── ModelFileError         a model file is damaged, none of ours, or of another version
├── HubError               a hub for models does not answer, refuses, or has no model of ours
├── CompressionError       a compressed file is damaged, or none of ours
│   └── OtherModelError    it was made with another model, or this machine computes otherwise
├── StorageFullError       the disk is full
├── StoreVersionError      the data folder was written by a newer BitLM
├── StoreUnreadyError      the data folder was not made yet, or not brought up to date
├── JournalError           a run's journal cannot be followed, or not as asked
└── HaltedError            the run stopped itself and will not step

Warnings: MetricDriftWarning, SafetyGateWarning.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from bitlm.complaints import did_you_mean, fix_of


class BitLMError(Exception):
    """Something a user can put right; the message says how."""


class ConfigError(BitLMError, ValueError):
    """A setting has a value it cannot have."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field}={value!r}: {fix}")
        self.field = field
        self.value = value
        self.fix = fix

    @classmethod
    def unknown(cls, field: str, value: object, known: Iterable[str]) -> "ConfigError":
        """Return that there is no setting of this name, with the one that may be meant."""
        names = list(known)
        return cls(
            field,
            value,
            f"there is no such setting; {did_you_mean(field, names)}there are {', '.join(names)}.",
        )

    @classmethod
    def of(cls, error: ValidationError, model: type[BaseModel]) -> "ConfigError":
        """Return the first complaint of `model` as an error of ours."""
        complaint = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in complaint["loc"])
        if complaint["type"] == "extra_forbidden":
            known = [name for name in model.model_fields if name != "kind"]
            return cls.unknown(field, complaint["input"], known)
        return cls(field, complaint["input"], fix_of(complaint, model))


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
    """The counts of the training text are needed, and the model carries none."""

    def __init__(self) -> None:
        super().__init__(
            "S and mixing need the counts of the training text, and this model has none; "
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
    """There is no such run in the data folder."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"there is no run {run_id!r} in this data folder; "
            "`python -m bitlm runs list` and GET /runs list those there are."
        )
        self.run_id = run_id


class RunBusyError(BitLMError):
    """Another process is writing this run."""

    def __init__(self, run_id: str, writer: str) -> None:
        super().__init__(
            f"run {run_id!r} is open in another process, {writer}; "
            "end it there, watch it with `bitlm serve --viewer`, or work with another run."
        )
        self.run_id = run_id


class UnattendedError(BitLMError):
    """Nobody trains the run who could be asked; nothing was changed, and nothing will be."""


class UnansweredError(BitLMError):
    """Whoever trains the run did not answer in time; the message says what became of what was asked."""


class ChangedMeanwhileError(BitLMError):
    """What was to be changed is no longer what the asker saw."""

    def __init__(self) -> None:
        super().__init__(
            "this was changed since you read it; read it again, and send If-Match with its new ETag."
        )


class CheckpointError(BitLMError):
    """A checkpoint's files do not match their hashes, or it cannot be done without."""


class CheckpointNotFoundError(CheckpointError, LookupError):
    """A run has no checkpoint of that step."""


class ModelFileError(BitLMError, ValueError):
    """A model file is not what `save_model` of this version writes, to the last byte."""


class HubError(BitLMError):
    """A hub for models does not answer, refuses, or has no model of ours; or its library is not installed."""


class CompressionError(BitLMError, ValueError):
    """A compressed file does not give back what went into it; nothing is written in its place."""


class OtherModelError(CompressionError):
    """A compressed file was made with another model, or on a machine that computes otherwise."""


class StorageFullError(BitLMError, OSError):
    """The disk is full; what was to be written is not, and nothing else changed."""

    def __init__(self) -> None:
        super().__init__("the disk is full: nothing was changed; make room, then repeat the request.")


class StoreVersionError(BitLMError):
    """The data folder was written by a newer BitLM."""

    def __init__(self, path: object, version: int, known: int) -> None:
        super().__init__(
            f"{path} has layout {version} and this BitLM knows layouts up to {known}; "
            "use the BitLM that wrote it, or another data folder."
        )


class StoreUnreadyError(BitLMError):
    """The data folder can be read only once somebody who may write has made it, or brought it up to date."""

    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path} is not there yet, or of an earlier BitLM; whoever only watches writes nothing: first "
            "start the service or the training that owns the runs, or choose another folder with "
            "BITLM_DATA_DIR."
        )


class JournalError(BitLMError):
    """A run's journal does not allow what was asked."""


class HaltedError(BitLMError):
    """The run stopped itself; its weights are those of the last good step."""


class MetricDriftWarning(UserWarning):
    """A metric's mean moved by more than the threshold between two windows."""


class SafetyGateWarning(UserWarning):
    """A sample fell below a floor and was let through marked, because the gate is not strict."""
