"""One run whose layers are shared among processes, each of which learns from all of a step with its own.

Rank 0 has the session, its stage, and a copy of all weights for whoever looks at the model: it is brought up
to date when somebody does, not with each step.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8
from safetensors.torch import load, save
from torch import Tensor

from bitlm.context_index import Counts
from bitlm.data import Corpus
from bitlm.distributed import Group, Schedule
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, MemoryChoice, Stage
from bitlm.reference import ReferenceModel
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.config import RunConfig
from bitlm.session.events import EventKind
from bitlm.session.leading import tell
from bitlm.session.learner import Texts, Update
from bitlm.session.partial import LeadingPartialLearner, PartialLearner
from bitlm.training import StagedTrainer

TOLD = ("gather_weights", "snapshot", "write_shard")
"""What rank 0 tells the others to do beside what any learner does."""


class StagedLearner(PartialLearner):
    """The learner of one process of a pipeline.

    Args:
        group: Its processes, in the order of their stages.
        schedule: When a step's parts go back.
    """

    _trainer: StagedTrainer

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        reference: ReferenceModel,
        group: Group,
        *,
        schedule: Schedule,
    ) -> None:
        self._stage = Stage.share(config.model, group.rank, group.size)
        self._schedule = schedule
        super().__init__(config, corpus, reference, group)

    def _make_trainer(self) -> StagedTrainer:
        if self._group.rank:
            self._stage.drop_others(self._model)
        return StagedTrainer(self._model, self.config.training, self._stage, self._schedule)

    def choose_memory(self) -> MemoryChoice | None:
        """As the learner's; rank 0, which has all layers, chooses for all."""
        if self.config.model.memory != "auto":
            return None
        choice = super().choose_memory() if self._group.rank == 0 else None
        self._model.trunk.memory = self._group.broadcast(self._model.trunk.memory.encode()).decode()
        return choice

    def gather_weights(self) -> None:
        """Bring rank 0's copy of the others' weights up to date."""
        for theirs in self._gathered(self._weights()):
            self._model.load_state_dict(theirs, strict=False)

    def snapshot(self) -> Checkpoint:
        """Return all that is needed to go on from here, in any number of stages or none; rank 0's has it."""
        self.gather_weights()
        own = super().snapshot()
        optimizer = dict(own.optimizer)
        for theirs in self._gathered(own.optimizer):
            optimizer |= theirs
        return replace(own, optimizer=optimizer)

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight for name, weight in self._model.state_dict().items() if self._stage.has(name)}

    def _own_state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        return self._weights(), self._trainer.optimizer.tensors()

    def _load(self, checkpoint: Checkpoint) -> None:
        is_own = self._stage.has
        weights = {
            name: one for name, one in checkpoint.weights.items() if not self._group.rank or is_own(name)
        }
        self._model.load_state_dict(weights, strict=False)
        self._trainer.load_optimizer(checkpoint.optimizer)

    def _gathered(self, own: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Yield the tensors of each other process in rank 0; there are none to see for the others."""
        for data in self._group.collected(save(dict(own)) if self._group.rank else b""):
            yield load(data)

    def _own(self, parts: int) -> range:
        return range(parts)

    def _counts(
        self, batch: UInt8[Tensor, "batch byte"], starts: Int64[np.ndarray, "step"] | None, first: int
    ) -> Counts | None:
        return super()._counts(batch, starts, first) if self._stage.is_last else None

    def _reference_probabilities(
        self, batch: UInt8[Tensor, "batch byte"]
    ) -> Float[Tensor, "batch bit"] | None:
        return super()._reference_probabilities(batch) if self._stage.is_last else None


class LeadingStagedLearner(LeadingPartialLearner, StagedLearner):
    """Rank 0's."""

    _is_current = True

    @property
    def model(self) -> BitTransformer:
        """The whole model, as the last update left it; the others are asked for their weights if need be."""
        if not self._is_current:
            tell(self._group, "gather_weights")
            self.gather_weights()
        return self._model

    def update(self) -> Update:
        """As the learner's."""
        self._is_current = False
        return super().update()

    def gather_weights(self) -> None:
        """As the staged learner's."""
        super().gather_weights()
        self._is_current = True

    def snapshot(self) -> Checkpoint:
        """As the staged learner's."""
        tell(self._group, "snapshot")
        return StagedLearner.snapshot(self)

    def follow(self, kind: EventKind, payload: dict[str, Any], texts: Texts) -> None:
        """As the learner's.

        Raises:
            ConfigError: Steps on another text are asked for.
        """
        _refuse_text(payload if kind == "steps_requested" else {})
        super().follow(kind, payload, texts)

    def restore(self, checkpoint: Checkpoint, texts: Texts) -> None:
        """As the learner's.

        Raises:
            ConfigError: It was made amid steps on another text.
        """
        _refuse_text(checkpoint.state.get("request") or {})
        super().restore(checkpoint, texts)


def _refuse_text(request: dict[str, Any]) -> None:
    """Check that steps are not asked for on a text of their own, which may be too short for all parts."""
    if request.get("sha256"):
        fix = "go on with this run in one process until these steps are done."
        raise ConfigError("text", request["sha256"], fix)
