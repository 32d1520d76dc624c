"""Models whose weights are those that eight or four bits can say."""

from torch import Tensor

from bitlm.model import BitTransformer
from bitlm.quantisation.groups import rounded
from bitlm.quantisation.precision import Precision, bits_of

MATRIX = 2
"""Dimensions of what is quantised; norms, biases and halting units are few, and every one counts."""


def is_quantised(name: str, weight: Tensor) -> bool:
    """Return whether the weight of this name is kept as whole numbers where the model's weights are.

    All matrices and tables are, but for the small ones that weigh counts.
    """
    return weight.dim() == MATRIX and not name.startswith("mixer.")


def with_weights(model: BitTransformer, precision: Precision) -> BitTransformer:
    """Return a model that predicts what this one does once its weights are kept so, and read again.

    Decoding, evaluation and all else compute with 32-bit floats as ever, in the same time.

    Args:
        model: Stays as it is; the new one has its reference, memory mode and mode.
        precision: What the weights are kept as.

    Raises:
        ConfigError: There is no such precision.
    """
    bits = bits_of(precision)
    other = BitTransformer(model.config)
    weights = {
        name: rounded(weight, bits) if bits is not None and is_quantised(name, weight) else weight
        for name, weight in model.state_dict().items()
    }
    other.load_state_dict(weights)
    other.reference = model.reference
    other.trunk.memory, other.trunk.autocast = model.trunk.memory, model.trunk.autocast
    return other.to(model.head.weight.device).train(model.training)


def quantize_dynamic(model: BitTransformer) -> BitTransformer:
    """Return the model with INT8 weights: `with_weights(model, "int8")`, under torch's name.

    Torch's own also rounds what the weights are multiplied with, while it runs; that was slower here and is
    no smaller (docs/decisions/0020-weights-alone-are-quantised.md).

    Args:
        model: Stays as it is.
    """
    return with_weights(model, "int8")
