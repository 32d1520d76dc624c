"""What can be asked of the thread that owns the model; each request names the type of its answer."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from app.service.answers import InferAnswer, RunCreated, StepAnswer
from bitlm.model import ModelConfig
from bitlm.session import Command, TelemetrySettings
from bitlm.session.events import Source
from bitlm.training import TrainingConfig

Answer = TypeVar("Answer")


class Request(Generic[Answer]):
    """Something asked of the worker; `Answer` is what its future resolves to."""


@dataclass(frozen=True)
class Init(Request[RunCreated]):
    """Make a run and take it live.

    Attributes:
        corpus: "embedded", or the path of a file or folder.
        text: A text to use instead of `corpus`.
        seed: Key of every random draw of the run.
    """

    model: ModelConfig
    training: TrainingConfig
    corpus: str = "embedded"
    text: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class TrainStep(Request[StepAnswer]):
    """Do `steps` updates, on the corpus or on the data given as text or as bits in the model's format."""

    steps: int = 1
    text: str | None = None
    bits: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Infer(Request[InferAnswer]):
    """Emit bytes after a prompt given as text or as bits in the model's format, through the gate.

    Attributes:
        seed: Key of the draws; None to have one chosen.
        strict: Whether a sample below a floor is refused rather than marked.
    """

    prompt: str = ""
    bits: tuple[int, ...] | None = None
    max_new_bytes: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    strict: bool = False


@dataclass(frozen=True)
class Apply(Request[TelemetrySettings]):
    """Apply a command to the run from its next step on."""

    command: Command


@dataclass(frozen=True)
class Control(Request[None]):
    """Start, pause or stop training."""

    action: Literal["start", "pause", "stop"]


@dataclass(frozen=True)
class RecordBaselines(Request[None]):
    """Keep what other compressors reach on the text of that fingerprint."""

    fingerprint: str
    bits_per_byte: dict[str, float]


@dataclass(frozen=True)
class Ticket:
    """A request on its way, with who asked and where the answer goes."""

    request: Request[Any]
    source: Source
    future: Future[Any]
