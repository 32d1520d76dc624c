"""One optimizer update, as a pure function of weights, batch, step and settings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from bitlm.context_index import Counts
from bitlm.machine import keep_freed_memory
from bitlm.model import BitTransformer, choose_autocast, cpu_autocast
from bitlm.training.config import TrainingConfig
from bitlm.training.denoising import Masks, denoising_objective
from bitlm.training.objective import NO_LAMBDAS, Lambdas, Objective, causal_objective
from bitlm.training.optimizer import HybridOptimizer


@dataclass(frozen=True)
class StepResult:
    """What one update saw.

    Attributes:
        loss: Cross-entropy in nats per payload bit, λ terms excluded.
        negentropy: K of the batch's predictive probabilities.
        gradient_norm: Norm of the whole gradient before clipping.
        finite: False when loss or gradient was not finite; then the weights were left alone.
        depth_mean: With ACT the mean number of layers a position ran, over all thresholds that could have
            been drawn: from 1 to num_layers. None without.
    """

    loss: float
    negentropy: float
    gradient_norm: float
    finite: bool
    depth_mean: float | None = None


class Trainer:
    """Owns the optimizer of one model; from its making on the process keeps what a step frees for the next.

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
        )

    def update(
        self,
        bits: Integer[Tensor, "batch bit"],
        *,
        rate_factor: float,
        dropout_seed: int,
        lambdas: Lambdas = NO_LAMBDAS,
        counts: Counts | None = None,
        ponder_cost: float = 0.0,
        reference_probabilities: Float[Tensor, "batch payload"] | None = None,
    ) -> StepResult:
        """Do one update on a batch of whole frames; leave the weights alone if anything is not finite.

        Args:
            bits: The batch, frames in the model's format.
            rate_factor: Share of the peak learning rates to use.
            dropout_seed: Key of this step's dropout masks and halting thresholds.
            lambdas: Weights of K, C̃ and S̃ in the objective.
            counts: What is mixed in, as for the model.
            ponder_cost: With ACT, weight of the mean layers run, in nats per payload bit. At 0 depth is free:
                every layer is run, and the update is the one without ACT.
            reference_probabilities: As for `causal_objective`.

        Raises:
            MissingReferenceError: λ_S is above 0 without them; weights and optimizer are as they were.
            GridOverflowError: An activation left the exact range; weights and optimizer are as they were.
        """

        def objective() -> Objective:
            with cpu_autocast(self.model, self.config.autocast):
                output = self.model(
                    bits, dropout_seed=dropout_seed, counts=counts, full_depth=ponder_cost == 0
                )
            return causal_objective(output, bits, lambdas, ponder_cost, reference_probabilities)

        return self._descend(objective, rate_factor)

    def update_denoising(
        self,
        values: UInt8[Tensor, "batch byte"],
        masks: Masks,
        *,
        rate_factor: float,
        dropout_seed: int,
    ) -> StepResult:
        """Do one update on masked bytes; leave the weights alone if anything is not finite.

        Args:
            values: The batch.
            masks: What is masked of it.
            rate_factor: As for `update`.
            dropout_seed: As for `update`.

        Returns:
            With the batch's estimate of the bound as its loss, see `denoising_objective`.

        Raises:
            ConfigError: The model was not made to denoise.
            GridOverflowError: As for `update`.
        """

        def objective() -> Objective:
            with cpu_autocast(self.model, self.config.autocast):
                return denoising_objective(
                    self.model,
                    values,
                    masks,
                    mask_floor=self.config.mask_floor,
                    dropout_seed=dropout_seed,
                )

        return self._descend(objective, rate_factor)

    def _descend(self, compute: Callable[[], Objective], rate_factor: float) -> StepResult:
        """Go down the gradient of an objective."""
        self.optimizer.zero_grad()
        self.model.train()
        try:
            objective = compute()
            objective.total.backward()  # type: ignore[no-untyped-call] # torch leaves backward untyped
        finally:
            self.model.eval()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        loss, gradient_norm = objective.cross_entropy.item(), norm.item()
        finite = isfinite(loss) and isfinite(gradient_norm)
        if finite:
            self.optimizer.set_learning_rate_factor(rate_factor)
            self.optimizer.step()
        depth_mean = None if objective.depth_mean is None else objective.depth_mean.item()
        return StepResult(loss, objective.negentropy.item(), gradient_norm, finite, depth_mean)
