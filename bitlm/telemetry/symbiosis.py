"""S: how probable the emitted text is to a model of the training text."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS, as_bits, bits_to_bytes
from bitlm.errors import BitFormatError, ConfigError
from bitlm.reference import ReferenceModel


def symbiosis_score(
    bits: Tensor | npt.NDArray[Any] | Sequence[int], reference: ReferenceModel, *, history: bytes = b""
) -> float:
    """Return S, the geometric mean of the probabilities the reference model gives the bits.

    S = 2 ** mean log2 q(bit | earlier bits), in (0, 1): 0.5 is no better than a coin, running text lies
    near 0.8, and -8 log2 S is the reference model's bits per byte.

    Args:
        bits: Payload bits of whole bytes, at least one byte.
        reference: The model of the training text.
        history: The bytes just before, which give the first bytes their context.

    Raises:
        BitFormatError: The bits are not whole bytes, or there are none.
    """
    row, ones = _bits_and_reference(bits, reference, history)
    return float(np.exp2(np.log2(np.where(row, ones, 1 - ones)).mean()))


def byte_log_probabilities(
    data: bytes, reference: ReferenceModel, *, history: bytes = b""
) -> Float64[np.ndarray, "byte"]:
    """Return log2 of the probability the reference model gives each byte: S is 2 to their mean ÷ 8.

    Args:
        data: The text, or the next part of it.
        reference: The model of the training text.
        history: The bytes just before.
    """
    ones = reference.bit_probabilities(data, history=history)
    row = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    summed: Float64[np.ndarray, " byte"] = (
        np.log2(np.where(row, ones, 1 - ones)).reshape(-1, PAYLOAD_BITS).sum(axis=1)
    )
    return summed


def symbiosis_kl(
    probabilities: Float[Tensor, "bit"],
    bits: Tensor | npt.NDArray[Any] | Sequence[int],
    reference: ReferenceModel,
    *,
    history: bytes = b"",
) -> float:
    """Return the mean KL(p || q) along the bits, in bits per bit: 0 when model and reference agree.

    Args:
        probabilities: The model's P(bit = 1) at each payload bit, each in [0, 1].
        bits: Payload bits of whole bytes, at least one byte.
        reference: The model of the training text.
        history: The bytes just before, which give the first bytes their context.

    Raises:
        BitFormatError: The bits are not whole bytes, or there are none.
        ConfigError: There is not one probability in [0, 1] to each bit.

    Source: Kullback & Leibler, "On Information and Sufficiency", Ann. Math. Statist. 22(1), 1951.
    """
    row, q = _bits_and_reference(bits, reference, history)
    p = probabilities.detach().double().cpu().numpy()
    if p.shape != row.shape:
        raise ConfigError("probabilities", p.shape, f"give one probability to each of the {row.size} bits.")
    if not np.all((p >= 0) & (p <= 1)):
        raise ConfigError("probabilities", float(p[~((p >= 0) & (p <= 1))][0]), "must lie in [0, 1].")
    return _mean_term(p, q) + _mean_term(1 - p, 1 - q)


def expected_symbiosis(
    probabilities: Float[Tensor, "*any"], reference_probabilities: Float[Tensor, "*any"]
) -> Float[Tensor, ""]:
    """Return S̃ = 2 ** -mean H(p, q): the S a model expects of what it would write here; differentiable.

    H(p, q) = -p log2 q - (1 - p) log2(1 - q), the cross-entropy of the model's prediction to the reference
    model's, in bits. It is S where the model is certain of the bits.

    Args:
        probabilities: The model's P(bit = 1) at each bit, p.
        reference_probabilities: The reference model's, q, above 0 and below 1; no gradient flows to it.
    """
    q = reference_probabilities.detach().double()  # in 32 bits the greatest would be 1
    log_one, log_zero = ((nats / math.log(2)).to(probabilities) for nats in (q.log(), torch.log1p(-q)))
    return torch.exp2((probabilities * log_one + (1 - probabilities) * log_zero).mean())


def _mean_term(p: Float64[np.ndarray, "bit"], q: Float64[np.ndarray, "bit"]) -> float:
    return float((p * np.log2(np.where(p > 0, p, 1) / q)).mean())


def _bits_and_reference(
    bits: Tensor | npt.NDArray[Any] | Sequence[int], reference: ReferenceModel, history: bytes
) -> tuple[npt.NDArray[np.uint8], Float64[np.ndarray, "bit"]]:
    row = as_bits(bits)
    data = bits_to_bytes(row)
    if not data:
        raise BitFormatError("S is a mean over bits and there are none; give at least one byte.")
    return row.cpu().numpy(), reference.bit_probabilities(data, history=history)
