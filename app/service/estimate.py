"""What a run would be before it is made, worked out in the asker's thread while no run trains."""

from threading import Lock
from typing import Literal

from app.service.answers import Answered
from bitlm.model import ModelConfig
from bitlm.session.trial import MOST_TRIED_PARAMETERS, Needs, try_settings
from bitlm.training import TrainingConfig

MOST_REMEMBERED = 64

EXPLANATIONS = {
    "tried": "tried just now on this machine",
    "reckoned": "reckoned from a smaller model that was tried just now on this machine",
    "busy": "not tried: training is under way, and the two would slow each other down",
    "large": f"not tried: its layers have too many weights (more than {MOST_TRIED_PARAMETERS:,} in two)",
}

FIGURES = ("training_bytes", "checkpoint_bytes", "bytes_per_s")

Basis = Literal["tried", "reckoned", "busy", "large"]


class RunEstimate(Answered):
    """What a run of some settings would take.

    Attributes:
        memory: The memory mode that was tried; "auto" where none was.
        training_bytes: Weights, gradients, optimizer and what is kept between forward and backward pass.
        checkpoint_bytes: Of each checkpoint on the disk.
        bytes_per_s: Training speed, telemetry left out.
        text_bytes: Length of the text; None for a folder, which is read when the run is made.
        basis: Where the figures come from; "busy" and "large" stand for none but `parameters`.
        explanation: The same in words.
    """

    parameters: int
    memory: str
    training_bytes: int | None = None
    checkpoint_bytes: int | None = None
    bytes_per_s: float | None = None
    text_bytes: int | None = None
    basis: Basis
    explanation: str


class Estimator:
    """Tries one set of settings at a time, and remembers what it found."""

    def __init__(self, torch_threads: int) -> None:
        self._torch_threads = torch_threads
        self._lock = Lock()
        self._known: dict[tuple[ModelConfig, TrainingConfig], Needs | None] = {}

    def estimate(
        self, model: ModelConfig, training: TrainingConfig, *, text_bytes: int | None, is_busy: bool
    ) -> RunEstimate:
        """Return what is known of these settings; a new set takes about a second unless `is_busy`."""
        with self._lock:
            if (model, training) not in self._known and not is_busy:
                if len(self._known) == MOST_REMEMBERED:
                    self._known.clear()
                self._known[model, training] = try_settings(model, training, threads=self._torch_threads)
            found = self._known.get((model, training))
            basis = self._basis(found, is_known=(model, training) in self._known)
        figures = {} if found is None else {name: getattr(found, name) for name in FIGURES}
        return RunEstimate(
            parameters=model.parameter_count,
            memory=found.memory if found else model.memory,
            text_bytes=text_bytes,
            basis=basis,
            explanation=EXPLANATIONS[basis],
            **figures,
        )

    @staticmethod
    def _basis(found: Needs | None, *, is_known: bool) -> Basis:
        if found is None:
            return "large" if is_known else "busy"
        return "tried" if found.is_whole else "reckoned"
