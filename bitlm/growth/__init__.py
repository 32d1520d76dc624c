"""Making a model larger without changing what it predicts: deeper, wider, or with a longer window."""

from bitlm.growth.carrying import carry_over, only_new_weights, require_growable
from bitlm.growth.growing import GROWTHS, Growth, add_layer, double_length, double_width, grow, grown_config
from bitlm.growth.memory import TrainingMemory, training_memory
from bitlm.growth.receipt import Receipt, greatest_logit_difference, receipt
from bitlm.growth.schedule import GrowthSchedule

__all__ = [
    "GROWTHS",
    "Growth",
    "GrowthSchedule",
    "Receipt",
    "TrainingMemory",
    "add_layer",
    "carry_over",
    "double_length",
    "double_width",
    "greatest_logit_difference",
    "grow",
    "grown_config",
    "only_new_weights",
    "receipt",
    "require_growable",
    "training_memory",
]
