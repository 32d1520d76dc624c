"""One run in processes of which each keeps a share of weights, gradients and optimizer state.

Rank 0 has the session. Whoever looks at the model there is shown one with whole weights, which are gathered
when somebody looks and let go of with the next step.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bitlm.model import BitTransformer, MemoryChoice, choose_memory, cpu_autocast
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.leading import tell
from bitlm.session.learner import Texts, Update, require_fitting
from bitlm.session.partial import LeadingPartialLearner, PartialLearner

if TYPE_CHECKING:
    from bitlm.distributed.sharding import Sharding
    from bitlm.training.sharded import ShardedTrainer

TOLD = ("gather_weights", "snapshot", "write_shard", "receive")
"""What rank 0 tells the others to do beside what any learner does."""


class ShardedLearner(PartialLearner):
    """The learner of one of these processes; what it does, the others' have to do as well."""

    _trainer: "ShardedTrainer"

    def _make_trainer(self) -> "ShardedTrainer":
        from bitlm.training.sharded import ShardedTrainer  # noqa: PLC0415 - seconds, for torch's part of it

        return ShardedTrainer(self._model, self.config.training, self._group)

    @property
    def _sharding(self) -> "Sharding":
        return self._trainer.sharding

    def choose_memory(self) -> MemoryChoice | None:
        """As the learner's; rank 0 chooses for all."""
        if self.config.model.memory != "auto":
            return None
        weights, trunk, choice = self.gather_weights(), self._model.trunk, None
        if self._group.rank == 0:
            whole, training = self._shown(weights), self.config.training
            with cpu_autocast(whole, training.autocast):
                choice = choose_memory(whole, training.rows_at_once)
            trunk.memory = choice.memory
        trunk.memory = self._group.broadcast(trunk.memory.encode()).decode()
        return choice

    def gather_weights(self) -> dict[str, Tensor]:
        """Return all weights whole in rank 0; none in the others."""
        return dict(self._sharding.gathered(self._model.state_dict()))

    def _shown(self, weights: Mapping[str, Tensor]) -> BitTransformer:
        """Return a model with whole weights, to be looked at."""
        whole = BitTransformer(self.config.model)
        whole.load_state_dict(weights)
        whole.reference, whole.trunk.memory = self._model.reference, self._model.trunk.memory
        return whole.eval()

    def snapshot(self) -> Checkpoint:
        """Return all that is needed to go on from here, in any number of processes; rank 0's has it."""
        shares = super().snapshot()
        optimizer = dict(self._sharding.gathered(shares.optimizer))
        return Checkpoint(self.gather_weights(), optimizer, shares.state)

    def _own_state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        optimizer = self._trainer.optimizer.tensors()
        if self._group.rank:  # single numbers are the same in all
            optimizer = {name: tensor for name, tensor in optimizer.items() if tensor.dim()}
        return self._model.state_dict(), optimizer

    def receive(self) -> None:
        """Restore what rank 0 does, of which this process gets its share alone."""
        told = json.loads(self._group.broadcast())
        weights, optimizer = (
            {name: torch.empty(shape, device="meta") for name, shape in told[kind].items()}
            for kind in ("weights", "optimizer")
        )
        self.restore(Checkpoint(weights, optimizer, told["state"]), lambda _: self._group.broadcast())

    def _load(self, checkpoint: Checkpoint) -> None:
        self._model.load_state_dict(self._sharding.dealt_out(checkpoint.weights))
        self._trainer.optimizer.load_tensors(self._sharding.dealt_out(checkpoint.optimizer))

    def _own(self, parts: int) -> range:
        return range(self._group.rank, parts, self._group.size)


class LeadingShardedLearner(LeadingPartialLearner, ShardedLearner):
    """Rank 0's."""

    _whole: BitTransformer | None = None

    @property
    def model(self) -> BitTransformer:
        """The model with whole weights, as the last update left it."""
        if self._whole is None:
            tell(self._group, "gather_weights")
            self._whole = self._shown(self.gather_weights())
        return self._whole

    def update(self) -> Update:
        """As the learner's."""
        self._whole = None
        return super().update()

    def snapshot(self) -> Checkpoint:
        """As the sharded learner's."""
        tell(self._group, "snapshot")
        checkpoint = ShardedLearner.snapshot(self)
        self._whole = self._shown(checkpoint.weights)
        return checkpoint

    def restore(self, checkpoint: Checkpoint, texts: Texts) -> None:
        """As the learner's.

        Raises:
            CheckpointError: As the learner's.
        """
        require_fitting(checkpoint.weights, self._model, self.config.version)
        tell(self._group, "receive")
        outlines = {
            kind: {name: list(tensor.shape) for name, tensor in tensors.items()}
            for kind, tensors in (("weights", checkpoint.weights), ("optimizer", checkpoint.optimizer))
        }
        self._group.broadcast(json.dumps({"state": checkpoint.state, **outlines}).encode())
        ShardedLearner.restore(self, checkpoint, self._telling(texts))

    def _load(self, checkpoint: Checkpoint) -> None:
        super()._load(checkpoint)
        self._whole = None
