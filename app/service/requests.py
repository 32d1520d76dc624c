"""What can be asked of the thread that owns the model; each request names the type of its answer."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from app.service.answers import InferAnswer, RunCreated, StepAnswer
from app.service.stream import TextStream
from bitlm.data import Corpus
from bitlm.growth import Growth
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import Command, SetTelemetry, TelemetrySettings
from bitlm.session.events import Source
from bitlm.training import TrainingConfig

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class IdempotencyKey:
    """What tells a repeated request from a new one.

    Attributes:
        key: Chosen by whoever asks.
        sha256: Of the request's body: the same key must come with the same request.
    """

    key: str
    sha256: str

    def remembered(self) -> dict[str, str]:
        """Return what is kept of it with the request's event."""
        return {"idempotency_key": self.key, "request_sha256": self.sha256}


class Request(Generic[Answer]):
    """Something asked of the worker; `Answer` is what its future resolves to."""


@dataclass(frozen=True)
class Init(Request[RunCreated]):
    """Make a run and take it live.

    Attributes:
        corpus: "embedded", or the path of a file or folder.
        text: A text to use instead of `corpus`.
        text_name: What to call it.
        seed: Key of every random draw of the run.
        key: What makes a repetition of this request known.
    """

    model: ModelConfig
    training: TrainingConfig
    corpus: str = "embedded"
    text: str | None = None
    text_name: str = "text"
    seed: int = 0
    key: IdempotencyKey | None = None


@dataclass(frozen=True)
class Open(Request[None]):
    """Take a run live where it was."""

    run_id: str


@dataclass(frozen=True)
class Fork(Request[RunCreated]):
    """Make a run that begins at a checkpoint of another, and take it live.

    Attributes:
        step: Of the checkpoint; None for the newest.
        settings: Settings of training that differ from here on.
        telemetry: λ and floors to begin with; None for those of the checkpoint.
        growth: Which way the model shall be larger, if any.
    """

    run_id: str
    step: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    telemetry: SetTelemetry | None = None
    growth: Growth | None = None


@dataclass(frozen=True)
class Twin(Request[RunCreated]):
    """Make a run that does without one change of another, or with another in its place, and train it."""

    run_id: str
    event_id: int
    instead: dict[str, Any] | None = None
    undo: bool = False


@dataclass(frozen=True)
class RollBack(Request[RunCreated]):
    """Make a run that begins at another's last good state and learns half as fast, and take it live.

    Attributes:
        since: The last step that was well; None for what the run's last alert says.
    """

    run_id: str
    since: int | None = None


@dataclass(frozen=True)
class SaveCheckpoint(Request[int]):
    """Save the run now, under a name if there is one; answered with the checkpoint's step."""

    run_id: str
    name: str | None = None


@dataclass(frozen=True)
class DeleteCheckpoint(Request[None]):
    """Delete a run's checkpoint of that step for good."""

    run_id: str
    step: int


@dataclass(frozen=True)
class TrashRun(Request[None]):
    """Throw a run away, saved as it is, so that it can be taken back."""

    run_id: str


@dataclass(frozen=True)
class DeleteRun(Request[None]):
    """Forget a run for good."""

    run_id: str


@dataclass(frozen=True)
class TrainStep(Request[StepAnswer]):
    """Do `steps` updates, on the corpus or on the data given as text or as bits in the model's format."""

    steps: int = 1
    text: str | None = None
    bits: tuple[int, ...] | None = None
    key: IdempotencyKey | None = None


@dataclass(frozen=True)
class Denoise:
    """How a text is denoised instead of written from left to right.

    Attributes:
        steps: Passes of the model, or of each block.
        noise_schedule: Name of the schedule.
        sampler: Name of what chooses.
        block_bytes: Bytes filled in at a time, from left to right; None for all, or half a window where they
            do not fit one.
        suffix: What comes after.
        template: Texts and gaps, each of so many bytes, instead of prompt, max_new_bytes and suffix.
    """

    steps: int = 16
    noise_schedule: str = "cosine"
    sampler: str = "ancestral"
    block_bytes: int | None = None
    suffix: str = ""
    template: tuple[str | int, ...] | None = None


@dataclass(frozen=True)
class Infer:
    """A text that is wanted: bytes after a prompt given as text or as bits in the model's format.

    Attributes:
        seed: Key of the draws; None to have one chosen.
        strict: Whether a sample below a floor is refused rather than marked.
        c_floor: Of this request alone; None for the run's.
        s_floor: The same of S.
        details: Whether each character comes with its bytes, their bits and alternatives.
        denoise: How, if the text is to be denoised.
        switch_modes: Whether every other retry is drawn in the other mode.
        request_id: What the log calls the request; kept with the sample.
    """

    prompt: str = ""
    bits: tuple[int, ...] | None = None
    max_new_bytes: int = 128
    temperature: float = 0.8
    top_p: float = 1.0
    seed: int | None = None
    strict: bool = False
    c_floor: float | None = None
    s_floor: float | None = None
    details: bool = False
    denoise: Denoise | None = None
    switch_modes: bool = False
    request_id: str | None = None


@dataclass(frozen=True)
class InferWhole(Request[InferAnswer]):
    """Emit a text through the gate.

    Attributes:
        is_abandoned: Whether nobody waits for it any more: then it is drawn no further, and nothing is kept.
            Asked by the worker's thread after every byte.
    """

    infer: Infer
    is_abandoned: Callable[[], bool]


@dataclass(frozen=True)
class InferStream(Request[TextStream]):
    """Do the same and tell it as it comes; answered as soon as the first of it is there."""

    infer: Infer
    is_abandoned: Callable[[], bool]


@dataclass(frozen=True)
class LiveText:
    """The text of the live run, and the model of its training part."""

    run_id: str
    corpus: Corpus
    reference: ReferenceModel


@dataclass(frozen=True)
class ReadText(Request[LiveText]):
    """Hand out the live run's text and its counts, which training never changes."""


@dataclass(frozen=True)
class Apply(Request[TelemetrySettings]):
    """Apply a command to the run from its next step on.

    Attributes:
        check: Called right before, when nothing else can change any more; refuses by raising.
    """

    command: Command
    check: Callable[[], None] | None = None


@dataclass(frozen=True)
class Control(Request[None]):
    """Start, pause or stop training."""

    action: Literal["start", "pause", "stop"]


@dataclass(frozen=True)
class RecordBaselines(Request[None]):
    """Keep what other compressors reach on a text, by `RunConfig.baselines_key`."""

    key: str
    bits_per_byte: dict[str, float]


@dataclass(frozen=True)
class Ticket:
    """A request on its way, with who asked and where the answer goes.

    Attributes:
        context: Of the thread that asks: what is logged of the request is logged under its name.
    """

    request: Request[Any]
    source: Source
    future: Future[Any]
    context: Context = field(default_factory=copy_context)
