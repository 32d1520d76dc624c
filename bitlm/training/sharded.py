"""Updates of weights of which each process keeps a share, to the bits of updates in one process."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn import Module, Parameter

from bitlm.distributed import ALONE, Group, PairwiseSum
from bitlm.distributed.sharding import Sharding, owners_of, share_of
from bitlm.errors import GridOverflowError
from bitlm.model import BitTransformer
from bitlm.training.config import TrainingConfig
from bitlm.training.optimizer import AdamW, HybridOptimizer, Moving, Muon, orthogonalize
from bitlm.training.parts import Seen
from bitlm.training.trainer import Aims, Batch, StepResult, Trainer

Cost = tuple[Float[Tensor, ""], list[Seen]]
"""What is minimised of a part of a step, and what the part cost."""


class ShardedMuon(Muon):
    """Muon on matrices in shares: one process finds where a matrix moves, all move their rows of it."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        sharding: Sharding,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, learning_rate=learning_rate, weight_decay=weight_decay)
        self._sharding = sharding

    def _directions(self, momenta: Sequence[Tensor]) -> Sequence[Tensor]:
        return self._sharding.computed_whole(
            momenta, lambda own: orthogonalize(list(own.values())) if own else []
        )


class ShardedAdamW(AdamW):
    """AdamW on tensors in shares: each process moves its rows, or one all where rows round otherwise."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        sharding: Sharding,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, learning_rate=learning_rate, weight_decay=weight_decay)
        self._sharding = sharding

    def _move(self, moving: Sequence[Moving], steps: list[Tensor]) -> None:
        even: list[tuple[Moving, Tensor]] = []
        uneven: list[tuple[Moving, Tensor]] = []
        for one, step in zip(moving, steps, strict=True):
            (even if self._sharding.is_even(one[0]) else uneven).append((one, step))
        if even:
            shares = [cast("Moving", tuple(map(share_of, one))) for one, _ in even]
            super()._move(shares, [step for _, step in even])
        moved = self._sharding.computed_whole(
            [self._sharding.stacked(one) for one, _ in uneven],
            partial(self._moved, [step for _, step in uneven]),
        )
        for (one, _), stack in zip(uneven, moved, strict=True):
            for kept, new in zip(one, share_of(stack).unbind(-1), strict=True):
                share_of(kept).copy_(new)

    def _moved(self, steps: Sequence[Tensor], stacks: dict[int, Tensor]) -> list[Tensor]:
        """Return what an update makes of whole tensors, each stacked as it was moved."""
        if not stacks:
            return []
        wholes = [
            cast("Moving", tuple(one.contiguous() for one in stack.unbind(-1))) for stack in stacks.values()
        ]
        super()._move(wholes, [steps[place] for place in stacks])
        return [torch.stack(whole, dim=-1) for whole in wholes]


class Gathered(Module):
    """A model whose weights are whole while something is computed.

    Attributes:
        reached: The places of the weights that had a gradient, until it is cleared.
    """

    def __init__(self, model: BitTransformer) -> None:
        super().__init__()
        self.model = model
        self.reached: set[int] = set()
        self._is_watched = False

    def forward(self, compute: Callable[[], Cost]) -> Cost:
        """Return what is computed."""
        if not self._is_watched:  # the whole weights are the same objects at every call
            for place, weight in enumerate(self.model.parameters()):
                weight.register_post_accumulate_grad_hook(partial(self._note, place))  # type: ignore[no-untyped-call] # torch leaves it untyped
            self._is_watched = True
        return compute()

    def _note(self, place: int, _weight: Tensor) -> None:
        self.reached.add(place)


class ShardedTrainer(Trainer):
    """Owns a share of a model's weights, gradients and optimizer; the other processes own the others.

    The model's parameters become shares, and are whole within an update only.

    Args:
        model: The same in all processes.
        config: As given to all.
        group: Of more than one process, which make the same calls.
    """

    def __init__(self, model: BitTransformer, config: TrainingConfig, group: Group) -> None:
        self.sharding = Sharding(group)
        self._group = group
        self._gathered = Gathered(model)
        self.sharding.shard(self._gathered)
        super().__init__(model, config)

    def _make_optimizer(self) -> HybridOptimizer:
        return HybridOptimizer(
            self.model,
            learning_rate=self.config.learning_rate,
            matrix_learning_rate=self.config.matrix_learning_rate,
            weight_decay=self.config.weight_decay,
            muon=partial(ShardedMuon, sharding=self.sharding),
            adamw=partial(ShardedAdamW, sharding=self.sharding),
        )

    def update_in_parts(
        self,
        parts: Iterable[Batch | None],
        *,
        rows: int,
        aims: Aims,
        rate_factor: float,
        group: Group = ALONE,  # noqa: ARG002 - that of the trainer
    ) -> StepResult:
        """Do one update, of which each process learns from every `group.size`-th part.

        As many neighbours are learned from at once as there are processes, and the sum of their gradients is
        dealt out before the next: so none is ever kept whole, and all are added in the order of one process.

        Args:
            parts: As many in each process; as for `Trainer.update_in_parts`, like the others.
            rows: Of all parts of all processes.
            aims: What is minimised beside the cross-entropy.
            rate_factor: As for `update`.
            group: Who computes the others; the trainer's, whatever is given.

        Raises:
            MissingReferenceError: As `update`, like the others.
            GridOverflowError: An activation left the exact range, here or in another process.
        """
        seen: list[Seen] = []
        gradients = PairwiseSum()
        self._gathered.reached.clear()
        self.model.train()
        try:
            for part in parts:
                self.optimizer.zero_grad()
                seen += self._learn_together(part, rows, aims)
                gradients.add(torch.cat([share_of(gradient).flatten() for gradient in self._gradients]))
        finally:
            self.model.eval()
        self._set_gradients(gradients.total)
        return self._moved(seen, self._norms(), rate_factor)

    def _learn_together(self, part: Batch | None, rows: int, aims: Aims) -> list[Seen]:
        """Learn from a part while each other process does from one; return what all of them cost."""

        def cost() -> Cost:
            if part is None:
                return torch.zeros((), requires_grad=True), []
            return self._cost(part, part.rows / rows, aims)

        found: Cost | None = None
        failure: GridOverflowError | None = None
        try:
            found = self._gathered(cost)
        except GridOverflowError as error:
            failure = error
        seen = [] if found is None else [asdict(one) for one in found[1]]
        told = self._group.gathered({"failure": failure and str(failure), "seen": seen})
        for each in told:
            if each["failure"]:
                cast("FSDPModule", self._gathered).reset_iter_state()
                raise GridOverflowError(each["failure"]) from failure
        assert found is not None, "nobody failed"
        found[0].backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return [Seen(**one) for each in told for one in each["seen"]]

    @property
    def _gradients(self) -> list[Tensor]:
        return [cast("Tensor", weight.grad) for weight in self.model.parameters()]

    def _set_gradients(self, shares: Float[Tensor, " element"]) -> None:
        """Take these as the gradients of this process's shares."""
        weights = list(self.model.parameters())
        pieces = torch.split(shares, [share_of(weight).numel() for weight in weights])
        for weight, piece in zip(weights, pieces, strict=True):
            weight.grad = self.sharding.like(piece.reshape(share_of(weight).shape), weight)

    def _norms(self) -> list[float | None]:
        """Return the norm of each weight's gradient, as one process finds it of the whole.

        A weight that no process had a gradient of has no norm, and no gradient any more.
        """
        owners = owners_of([gradient.numel() for gradient in self._gradients], self._group.size)
        own = self.sharding.owned(self._gradients, owners)
        norms = [(place, torch.linalg.vector_norm(whole).item()) for place, whole in own.items()]
        told = self._group.gathered({"reached": sorted(self._gathered.reached), "norms": norms})
        reached = {place for each in told for place in each["reached"]}
        found = {place: norm for each in told for place, norm in each["norms"] if place in reached}
        for place, weight in enumerate(self.model.parameters()):
            if place not in reached:
                weight.grad = None
        return [found.get(place) for place in range(len(owners))]
