"""The three measures of one sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from bitlm.reference import ReferenceModel
from bitlm.telemetry.lempel_ziv import lz_complexity
from bitlm.telemetry.negentropy import negentropy_score
from bitlm.telemetry.symbiosis import symbiosis_score


@dataclass(frozen=True)
class Measures:
    """K of the model's predictions, C and S of the bits it emitted."""

    K: float
    C: float
    S: float


def measure(
    payload_bits: Tensor | npt.NDArray[Any] | Sequence[int],
    probabilities: Float[Tensor, "bit"],
    reference: ReferenceModel,
    *,
    history: bytes = b"",
) -> Measures:
    """Return K, C and S of one sample.

    Args:
        payload_bits: The emitted bits, parity dropped: whole bytes, at least one.
        probabilities: The model's P(bit = 1) at each of them.
        reference: The model of the training text.
        history: The bytes just before the sample; S alone looks at them.

    Raises:
        BitFormatError: The bits are not whole bytes, or there are none.
        ConfigError: A probability lies outside [0, 1].
    """
    return Measures(
        K=float(negentropy_score(probabilities)),
        C=lz_complexity(payload_bits),
        S=symbiosis_score(payload_bits, reference, history=history),
    )
