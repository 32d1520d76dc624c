"""What a run is a function of, beside its journal."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bitlm.model import ModelConfig
from bitlm.reference import MOST_BYTES
from bitlm.training import TrainingConfig


class RunConfig(BaseModel):
    """Everything that decides a run's bits, fixed when the run is made.

    Attributes:
        model: The model's shape.
        training: How it is trained.
        corpus: Where the text came from, in words.
        corpus_fingerprint: SHA-256 of the text.
        seed: Key of every random draw.
        threads: Threads torch computes with; another count may round differently.
        version: The BitLM version that made the run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    training: TrainingConfig
    corpus: str
    corpus_fingerprint: str
    seed: int = Field(ge=0, lt=2**63)
    threads: int = Field(ge=1, le=256)
    version: str

    @property
    def baselines_key(self) -> str:
        """What baselines are kept by: the text's SHA-256, and how much is counted if not the usual."""
        counted = self.training.reference_bytes
        return self.corpus_fingerprint + (f"-{counted}" if counted != MOST_BYTES else "")

    @field_validator("training", mode="before")
    @classmethod
    def _without_a_budget(cls, training: Any) -> Any:
        """A run from before there was a ponder budget was charged for every layer, and is from there on."""
        return {"ponder_budget": 0.0} | training if isinstance(training, dict) else training

    @field_validator("training")
    @classmethod
    def _is_settled(cls, training: TrainingConfig) -> TrainingConfig:
        if training.autocast == "auto":
            raise ValueError("autocast='auto' is settled when a run is made; use 'off' or 'bf16'")
        return training
