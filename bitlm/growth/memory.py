"""What a training of a shape holds in memory for each weight."""

from dataclasses import dataclass

from bitlm.model import ModelConfig

NUMBER_BYTES = 4


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that training holds all the time; what a step keeps between forward and backward comes on top.

    `choose_memory` tries the latter.

    Attributes:
        parameters: The weights.
        gradients: One number a weight.
        optimizer: Muon's one number for each weight of the trunk's matrices, AdamW's two for each other one.
    """

    parameters: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """All three."""
        return self.parameters + self.gradients + self.optimizer


def training_memory(config: ModelConfig) -> TrainingMemory:
    """Return what a training of this shape holds, AdamW's step counts of 4 bytes a weight tensor left out."""
    weights, of_layer = config.parameter_count, 4 * config.attention_width + 2 * config.dim_feedforward
    matrices = config.num_layers * config.d_model * of_layer
    optimizer = matrices + 2 * (weights - matrices)
    return TrainingMemory(NUMBER_BYTES * weights, NUMBER_BYTES * weights, NUMBER_BYTES * optimizer)
