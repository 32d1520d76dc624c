"""One optimizer update, as a pure function of weights, batch, step and settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS
from bitlm.context_index import Counts
from bitlm.machine import keep_freed_memory
from bitlm.model import BitTransformer, ModelOutput, choose_autocast, cpu_autocast
from bitlm.randomness import counter_seed
from bitlm.training.config import TrainingConfig
from bitlm.training.denoising import MaskedBatch, denoising_objective
from bitlm.training.objective import NO_LAMBDAS, Lambdas, Objective, SoftTargets, causal_objective
from bitlm.training.optimizer import HybridOptimizer


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
        bound: What was denoised costs at most so many nats per payload bit, by these masks; None where
            nothing was.
        compressed: Cross-entropy of what was compressed, in nats per payload bit of its code; None where
            nothing was.
    """

    loss: float
    negentropy: float
    gradient_norm: float
    finite: bool
    depth_mean: float | None = None
    bound: float | None = None
    compressed: float | None = None


class Trainer:
    """Owns the optimizer of one model; from its making on the process keeps what a step frees for the next.

    With `qat` it rounds the model's weights, at its making and after each update.

    Attributes:
        config: As given, but with autocast="auto" settled.
    """

    def __init__(self, model: BitTransformer, config: TrainingConfig) -> None:
        if config.autocast == "auto":
            config = replace(config, autocast=choose_autocast(model.config, config.batch_size).autocast)
        keep_freed_memory()
        self.model = model
        self.config = config
        self.optimizer = HybridOptimizer(
            model,
            learning_rate=config.learning_rate,
            matrix_learning_rate=config.matrix_learning_rate,
            weight_decay=config.weight_decay,
            qat=config.qat,
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
            bits: The causal batch, frames in the model's format; None where everything is denoised.
            rate_factor: Share of the peak learning rates to use.
            dropout_seed: Key of this step's dropout masks and halting thresholds.
            lambdas: Weights of K, C̃ and S̃ in the causal objective.
            counts: What is mixed in, as for the model.
            ponder_cost: With ACT, weight of the mean layers run, in nats per payload bit. At 0 depth is free:
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
        self.optimizer.zero_grad()
        self.model.train()
        parts = []
        try:
            if bits is not None:
                output = self._predicted(bits, dropout_seed, counts, ponder_cost)
                aims = (lambdas, ponder_cost, reference_probabilities)
                parts.append(causal_objective(output, bits, *aims, soft_targets=soft_targets))
            if masked is not None:
                parts.append(self._denoising(masked, dropout_seed))
            elif compressed is not None:
                parts.append(self._beside_text(compressed, dropout_seed, ponder_cost))
            share = _causal_share(bits, compressed if masked is None else masked.values)
            _weighed(share, parts).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        finally:
            self.model.eval()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip).item()
        losses = [part.cross_entropy.item() for part in parts]
        finite = all(map(isfinite, (*losses, norm)))
        if finite:
            self.optimizer.set_learning_rate_factor(rate_factor)
            self.optimizer.step()
        of_rows = {"bound": masked, "compressed": compressed}
        beside = {name: losses[-1] for name, rows in of_rows.items() if rows is not None}
        depth_mean = None if parts[0].depth_mean is None else parts[0].depth_mean.item()
        return StepResult(losses[0], parts[0].negentropy.item(), norm, finite, depth_mean, **beside)

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
        return causal_objective(output, bits, ponder_cost=ponder_cost)

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


def _weighed(share: float, parts: Sequence[Objective]) -> Float[Tensor, ""]:
    """Return what a step minimises, of one part or of two, the first of which has this share of the rows."""
    totals = [part.total for part in parts]
    return totals[0] if len(totals) == 1 else share * totals[0] + (1 - share) * totals[1]


def _causal_share(bits: Tensor | None, beside: Tensor | None) -> float:
    """Return the share of a step's rows that are causal text."""
    causal, others = (0 if rows is None else len(rows) for rows in (bits, beside))
    assert causal + others, "a step has something to learn from"
    return causal / (causal + others)
