"""Training: what a step minimises, how the weights move, and how quality is measured."""

from bitlm.training.config import TrainingConfig
from bitlm.training.estimate import HeldOutEstimate
from bitlm.training.evaluation import held_out_bits_per_byte
from bitlm.training.objective import NO_LAMBDAS, Lambdas, bits_per_byte
from bitlm.training.optimizer import HybridOptimizer, Muon
from bitlm.training.schedule import Annealing, learning_rate_factor
from bitlm.training.trainer import StepResult, Trainer

__all__ = [
    "NO_LAMBDAS",
    "Annealing",
    "HeldOutEstimate",
    "HybridOptimizer",
    "Lambdas",
    "Muon",
    "StepResult",
    "Trainer",
    "TrainingConfig",
    "bits_per_byte",
    "held_out_bits_per_byte",
    "learning_rate_factor",
]
