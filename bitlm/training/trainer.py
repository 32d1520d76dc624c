"""One optimizer update, as a pure function of weights, batch, step and settings."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_

from bitlm.bits import PAYLOAD_BITS
from bitlm.context_index import Counts
from bitlm.distributed import ALONE, Group, PairwiseSum
from bitlm.errors import GridOverflowError
from bitlm.machine import keep_freed_memory
from bitlm.model import BitTransformer, ModelOutput, choose_autocast, cpu_autocast
from bitlm.randomness import counter_seed
from bitlm.training.config import TrainingConfig
from bitlm.training.denoising import MaskedBatch, denoising_objective
from bitlm.training.objective import NO_LAMBDAS, Lambdas, Objective, SoftTargets, causal_objective
from bitlm.training.optimizer import HybridOptimizer
from bitlm.training.parts import (
    KINDS,
    Kind,
    Seen,
    flat_gradients,
    mean_of,
    norms_of_gradients,
    set_gradients,
)


@dataclass(frozen=True)
class StepResult:
    """What one update saw.

    Attributes:
        loss: Cross-entropy in nats per payload bit, λ terms excluded; the bound where all was denoised.
        negentropy: K of the batch's predictive probabilities; of the masked bits where all was denoised.
        gradient_norm: Norm of the whole gradient before clipping.
        finite: False when loss or gradient was not finite; then the weights were left alone.
        depth_mean: With ACT the mean number of layers a position ran, over all thresholds that could have
            been drawn: from 1 to num_layers. None without.
        gradient_norms: The same of each parameter, in the model's order; None of one without a gradient.
        bound: What was denoised costs at most so many nats per payload bit, by these masks; None where
            nothing was.
        compressed: Cross-entropy of what was compressed, in nats per payload bit of its code; None where
            nothing was.
    """

    loss: float
    negentropy: float
    gradient_norm: float
    finite: bool
    gradient_norms: tuple[float | None, ...]
    depth_mean: float | None = None
    bound: float | None = None
    compressed: float | None = None


@dataclass(frozen=True)
class Batch:
    """Windows that are computed at once, all of a step's or some of them.

    Attributes:
        bits: The causal ones, frames in the model's format; None where everything is denoised.
        dropout_seed: Key of their dropout masks and halting thresholds.
        counts: As for `Trainer.update`, like the others.
    """

    bits: Integer[Tensor, "batch bit"] | None
    dropout_seed: int
    counts: Counts | None = None
    reference_probabilities: Float[Tensor, "batch payload"] | None = None
    masked: MaskedBatch | None = None
    compressed: Integer[Tensor, "compressed bit"] | None = None
    soft_targets: SoftTargets | None = None

    @property
    def rows(self) -> int:
        """Windows, of all kinds together."""
        kinds = (self.bits, None if self.masked is None else self.masked.values, self.compressed)
        return sum(len(windows) for windows in kinds if windows is not None)


@dataclass(frozen=True)
class Aims:
    """What a step minimises beside the cross-entropy.

    Attributes:
        lambdas: As for `Trainer.update`.
        ponder_cost: The same.
    """

    lambdas: Lambdas = NO_LAMBDAS
    ponder_cost: float = 0.0


class Trainer:
    """Owns the optimizer of one model; from its making on the process keeps what a step frees for the next.

    With `qat` it rounds the model's weights, at its making and after each update.

    Attributes:
        config: As given, but with autocast="auto" settled.
    """

    def __init__(self, model: BitTransformer, config: TrainingConfig) -> None:
        if config.autocast == "auto":
            config = replace(config, autocast=choose_autocast(model.config, config.rows_at_once).autocast)
        keep_freed_memory()
        self.model = model
        self.config = config
        self.optimizer = self._make_optimizer()

    def _make_optimizer(self) -> HybridOptimizer:
        return HybridOptimizer(
            self.model,
            learning_rate=self.config.learning_rate,
            matrix_learning_rate=self.config.matrix_learning_rate,
            weight_decay=self.config.weight_decay,
            qat=self.config.qat,
        )

    def update(
        self,
        bits: Integer[Tensor, "batch bit"] | None,
        *,
        rate_factor: float,
        dropout_seed: int,
        lambdas: Lambdas = NO_LAMBDAS,
        counts: Counts | None = None,
        ponder_cost: float = 0.0,
        reference_probabilities: Float[Tensor, "batch payload"] | None = None,
        masked: MaskedBatch | None = None,
        compressed: Integer[Tensor, "compressed bit"] | None = None,
        soft_targets: SoftTargets | None = None,
    ) -> StepResult:
        """Do one update on a batch of whole frames; leave the weights alone if anything is not finite.

        Args:
            bits: As for `Batch`, like what is not named here.
            rate_factor: Share of the peak learning rates to use.
            dropout_seed: Key of this step's dropout masks and halting thresholds.
            lambdas: Weights of K, C̃ and S̃ in the causal objective.
            counts: What is mixed in, as for the model.
            ponder_cost: With ACT, weight of the mean layers run beyond the share of them that is free
                (`TrainingConfig.ponder_budget`), in nats per payload bit. At 0 depth is free:
                every layer is run, and the update is the one without ACT.
            reference_probabilities: As for `causal_objective`.
            masked: What is denoised in the same step; it weighs as much as its rows are of all.
            compressed: Frames of no text, learned without counts and λ; weighed as `masked`, never with it.
            soft_targets: As for `causal_objective`.

        Raises:
            MissingReferenceError: λ_S is above 0 without them; weights and optimizer are as they were.
            ConfigError: Something is to be denoised, and the model was not made for it.
            GridOverflowError: An activation left the exact range; weights and optimizer are as they were.
        """
        batch = Batch(bits, dropout_seed, counts, reference_probabilities, masked, compressed, soft_targets)
        aims = Aims(lambdas, ponder_cost)
        return self.update_in_parts([batch], rows=batch.rows, aims=aims, rate_factor=rate_factor)

    def update_in_parts(
        self,
        parts: Iterable[Batch | None],
        *,
        rows: int,
        aims: Aims,
        rate_factor: float,
        group: Group = ALONE,
    ) -> StepResult:
        """Do one update on windows of which some are computed at a time, or by another process of a group.

        The gradient is the sum of the parts', each weighed by its share of the rows, in an order that is the
        same for any count of processes.

        Args:
            parts: Those of this process; None for one without rows. Their count is a power of two.
            rows: Of all parts of all processes.
            aims: What is minimised beside the cross-entropy.
            rate_factor: As for `update`.
            group: Who computes the others.

        Raises:
            MissingReferenceError: As `update`, like the others.
            GridOverflowError: An activation left the exact range, here or in another process.
        """
        seen: list[Seen] = []
        gradients, failure = PairwiseSum(), None
        is_summed = self.config.accumulation_steps > 1
        self.model.train()
        try:
            for part in parts:
                self.optimizer.zero_grad()
                if part is not None:
                    seen += self._learn(part, part.rows / rows, aims)
                if is_summed:
                    gradients.add(flat_gradients(self.optimizer.parameters))
        except GridOverflowError as error:
            failure = error
        finally:
            self.model.eval()
        told = group.gathered({"failure": failure and str(failure), "seen": [asdict(one) for one in seen]})
        for each in told:
            if each["failure"]:
                raise GridOverflowError(each["failure"]) from failure
        if is_summed:
            set_gradients(self.optimizer.parameters, group.total(gradients.total))
        seen = [Seen(**one) for each in told for one in each["seen"]]
        return self._moved(seen, norms_of_gradients(self.model.parameters()), rate_factor)

    def _learn(self, batch: Batch, share: float, aims: Aims) -> list[Seen]:
        """Add the gradient of a batch, weighed by its share of a step's rows; return what it cost."""
        total, seen = self._cost(batch, share, aims)
        total.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return seen

    def _cost(self, batch: Batch, share: float, aims: Aims) -> tuple[Float[Tensor, ""], list[Seen]]:
        """Return what is minimised of a batch, weighed by its share of a step's rows, and what it cost."""
        parts: list[tuple[Kind, int, Objective]] = []
        if batch.bits is not None:
            output = self._predicted(batch.bits, batch.dropout_seed, batch.counts, aims.ponder_cost)
            objective = causal_objective(
                output, batch.bits, aims.lambdas, aims.ponder_cost, self._free_layers,
                batch.reference_probabilities, soft_targets=batch.soft_targets,
            )  # fmt: skip
            parts.append(("causal", len(batch.bits), objective))
        if batch.masked is not None:
            parts.append(
                ("bound", len(batch.masked.values), self._denoising(batch.masked, batch.dropout_seed))
            )
        elif batch.compressed is not None:
            objective = self._beside_text(batch.compressed, batch.dropout_seed, aims.ponder_cost)
            parts.append(("compressed", len(batch.compressed), objective))
        total = _weighed([(rows / batch.rows, objective) for _, rows, objective in parts])
        return total * share, [Seen.of(kind, rows, objective) for kind, rows, objective in parts]

    def _moved(self, seen: Sequence[Seen], norms: Sequence[float | None], rate_factor: float) -> StepResult:
        """Move the weights by their gradients if all is finite; return what was seen, all parts together."""
        whole = torch.linalg.vector_norm(torch.tensor([norm for norm in norms if norm is not None]))
        clip_grads_with_norm_(self.model.parameters(), self.config.gradient_clip, whole)
        norm = whole.item()
        means = {kind: mean_of([one for one in seen if one.kind == kind]) for kind in KINDS}
        losses = [mean.loss for mean in means.values() if mean is not None]
        finite = all(map(isfinite, (*losses, norm)))
        if finite:
            self.optimizer.set_learning_rate_factor(rate_factor)
            self.optimizer.step()
        first = means["causal"] or means["bound"]
        assert first is not None, "a step has something to learn from"
        beside = {kind: mean.loss for kind, mean in means.items() if kind != "causal" and mean is not None}
        return StepResult(
            first.loss, first.negentropy, norm, finite, tuple(norms), first.depth_mean, **beside
        )

    @property
    def _free_layers(self) -> float:
        return self.config.ponder_budget * self.model.config.num_layers

    def _beside_text(
        self, bits: Integer[Tensor, "batch bit"], dropout_seed: int, ponder_cost: float
    ) -> Objective:
        """Return the objective of rows that the counts of the text know nothing of."""
        key, counts = counter_seed(dropout_seed, 0, "compressed"), None
        if self.model.mixer is not None:
            rows, window = len(bits), self.model.config.window_bytes
            none = np.zeros((rows, window, PAYLOAD_BITS, self.model.mixer.order + 1), dtype=np.float32)
            counts = Counts(none, none)
        output = self._predicted(bits, key, counts, ponder_cost)
        return causal_objective(output, bits, ponder_cost=ponder_cost, free_layers=self._free_layers)

    def _predicted(
        self, bits: Integer[Tensor, "batch bit"], dropout_seed: int, counts: Counts | None, ponder_cost: float
    ) -> ModelOutput:
        with cpu_autocast(self.model, self.config.autocast):
            return self.model(  # type: ignore[no-any-return] # torch leaves what a module returns untyped
                bits, dropout_seed=dropout_seed, counts=counts, full_depth=ponder_cost == 0
            )

    def _denoising(self, masked: MaskedBatch, dropout_seed: int) -> Objective:
        key = counter_seed(dropout_seed, 0, "denoising")
        with cpu_autocast(self.model, self.config.autocast):
            return denoising_objective(
                self.model, masked, mask_floor=self.config.mask_floor, dropout_seed=key
            )


def _weighed(parts: Sequence[tuple[float, Objective]]) -> Float[Tensor, ""]:
    """Return what a batch minimises, of one kind of windows or of two, by their shares of its rows."""
    if len(parts) == 1:
        return parts[0][1].total
    (share, text), (_, beside) = parts
    return share * text.total + (1 - share) * beside.total
