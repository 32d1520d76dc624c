"""K: how certain the model's predictions are."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bitlm.errors import ConfigError


def negentropy_score(probabilities: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    """Return K = 1 - mean H2(p), H2 the binary entropy in bits: 0 is a coin, 1 is certainty.

    Differentiable. Exact at p = 0 and p = 1, where the true slope is infinite and the returned gradient
    is large but finite. NaN stays NaN.

    Args:
        probabilities: The model's P(bit = 1), each in [0, 1], of payload bits only.

    Raises:
        ConfigError: There is no probability, or one lies outside [0, 1].

    Source: Shannon, "A Mathematical Theory of Communication", BSTJ 27, 1948; Brillouin, "The Negentropy
    Principle of Information", J. Appl. Phys. 24, 1953.
    """
    _check(probabilities)
    entropy_nats = -_x_log_x(probabilities) - _x_log_x(1 - probabilities)
    return 1 - entropy_nats.mean() / math.log(2)


def _x_log_x(x: Tensor) -> Tensor:
    # The clamp is met only at 0, where 0 times a finite logarithm is the 0 the entropy asks for.
    return x * x.clamp(min=torch.finfo(x.dtype).tiny).log()


def _check(probabilities: Tensor) -> None:
    if probabilities.numel() == 0:
        raise ConfigError("probabilities", "empty", "K is a mean; give at least one probability.")
    low, high = (float(bound) for bound in probabilities.detach().aminmax())
    if low < 0 or high > 1:
        worst = low if low < 0 else high
        raise ConfigError("probabilities", worst, "must lie in [0, 1]; pass logits through a sigmoid first.")
