"""Training: what a step minimises, how the weights move, and how quality is measured."""

from bitlm.training.bound import Bound, bound_of_steps, denoising_bound
from bitlm.training.config import TrainingConfig
from bitlm.training.denoising import MaskedBatch, masked_batch
from bitlm.training.estimate import HeldOutEstimate
from bitlm.training.evaluation import held_out_bits_per_byte
from bitlm.training.objective import NO_LAMBDAS, Lambdas, SoftTargets, bits_per_byte
from bitlm.training.optimizer import HybridOptimizer, Muon, adjust_learning_rate
from bitlm.training.schedule import Annealing, learning_rate_factor
from bitlm.training.staged import StagedTrainer, least_parts, require_stages
from bitlm.training.trainer import Aims, Batch, StepResult, Trainer

__all__ = [
    "NO_LAMBDAS",
    "Aims",
    "Annealing",
    "Batch",
    "Bound",
    "HeldOutEstimate",
    "HybridOptimizer",
    "Lambdas",
    "MaskedBatch",
    "Muon",
    "SoftTargets",
    "StagedTrainer",
    "StepResult",
    "Trainer",
    "TrainingConfig",
    "adjust_learning_rate",
    "bits_per_byte",
    "bound_of_steps",
    "denoising_bound",
    "held_out_bits_per_byte",
    "learning_rate_factor",
    "least_parts",
    "masked_batch",
    "require_stages",
]
