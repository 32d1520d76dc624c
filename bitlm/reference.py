"""The reference model: exact counts of what followed each context in the training text, interpolated.

Source of the interpolation: Jelinek & Mercer, "Interpolated estimation of Markov source parameters from
sparse data", 1980; with the lower order as prior: MacKay & Peto, "A hierarchical Dirichlet language model",
Natural Language Engineering 1(3), 1995.
"""

import math
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256

import numpy as np
from jaxtyping import Float64, Int32, UInt8, UInt64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bitlm.bits import LONGEST_CHARACTER, first_fault
from bitlm.compiled import compiled
from bitlm.context_index import MAX_ORDER, ContextIndex, context_order
from bitlm.data import Text
from bitlm.errors import CheckpointError, ConfigError, CorpusError

FORMAT = "bitlm-reference-2"
MOST_BYTES = 2**26
"""Bytes of the training text that are counted unless told otherwise."""

# No bit costs more than 32 bits: in doubles a product of small priors would round to certainty.
_LEAST_PROBABILITY = 2.0**-32
_BLOCK_BYTES = 1 << 16


class ReferenceModel:
    """An interpolated byte-context model of bits, exact and deterministic.

    p_k = (n1 + alpha p_(k-1)) / (n0 + n1 + alpha), where n0 and n1 count the two values of the bit after the
    same k bytes and the same bits of the current byte; p_(-1) = 1/2.

    Attributes:
        index: The counts; of a text closed to a ring.
        order: The longest context, in bytes.
        alpha: The weight of the shorter context, in observations.
        is_utf8: Whether what was counted is UTF-8, but for a character cut off at either end. False as well
            where a version that did not look wrote the file.
    """

    def __init__(self, index: ContextIndex, order: int, alpha: float, *, is_utf8: bool) -> None:
        self.index = index
        self.order = order
        self.alpha = alpha
        self.is_utf8 = is_utf8

    @classmethod
    def fit(
        cls, data: Text, *, order: int = 5, alpha: float = 2.0, most_bytes: int = MOST_BYTES
    ) -> "ReferenceModel":
        """Count `data`; ten million bytes take some seconds.

        Args:
            data: The training text.
            order: The longest context S looks at, in bytes.
            alpha: The weight of the shorter context, in observations.
            most_bytes: Of a longer text only this many bytes at its end are counted; each takes one byte on
                the disk and one and a half in memory.

        Raises:
            CorpusError: There are no bytes to count.
            ConfigError: `order` is not in 0…8, `alpha` is not a finite number above 0, or `most_bytes` is
                below 1.
        """
        if not data:
            raise CorpusError("the reference model has no bytes to count; give it the training text.")
        if not 0 <= order <= MAX_ORDER:
            raise ConfigError("order", order, f"must lie in 0…{MAX_ORDER} bytes of context.")
        if not (math.isfinite(alpha) and alpha > 0):
            raise ConfigError("alpha", alpha, "must be a finite number above 0.")
        if most_bytes < 1:
            raise ConfigError("most_bytes", most_bytes, "must be at least 1.")
        begin = max(0, len(data) - most_bytes)
        counted = data[begin:]
        text = np.frombuffer(counted, dtype=np.uint8)
        is_utf8 = first_fault(counted, history=data[max(0, begin - LONGEST_CHARACTER) : begin]) is None
        return cls(ContextIndex.of(text[context_order(text)]), order, float(alpha), is_utf8=is_utf8)

    def bit_probabilities(
        self, data: bytes, *, history: bytes = b"", order: int | None = None
    ) -> Float64[np.ndarray, "bit"]:
        """Return P(bit = 1 | every earlier bit) for each payload bit of `data`, most significant bit first.

        A context that reaches back further than `history` is not used: its order hands on the prediction of
        the one below.

        Args:
            data: The bytes to predict.
            history: The bytes just before them.
            order: The longest context to use, in bytes; the model's own by default.

        Returns:
            Probabilities in [2**-32, 1 - 2**-32].

        Raises:
            ConfigError: `order` is not in 0…the model's own.
        """
        last = self._checked_order(order)
        return np.concatenate([np.empty(0), *(block[last] for block in self._blocks(data, history, last))])

    def window_probabilities(self, windows: UInt8[np.ndarray, "row byte"]) -> Float64[np.ndarray, "row bit"]:
        """Return `bit_probabilities` of several windows at once, each without the bytes before it."""
        return np.stack([self._predict(window, 0, self.order)[self.order] for window in windows])

    def bits_per_byte(self, data: Text, *, history: Text = b"", order: int | None = None) -> float:
        """Return the code length of `data` in bits per byte; arguments as `bit_probabilities`.

        Raises:
            CorpusError: There are no bytes.
            ConfigError: `order` is not in 0…the model's own.
        """
        return self.bits_per_byte_of_orders(data, history=history, order=order)[-1]

    def bits_per_byte_of_orders(
        self, data: Text, *, history: Text = b"", order: int | None = None
    ) -> list[float]:
        """Return `bits_per_byte` of the orders 0, 1, …, `order` in one pass; errors as there."""
        if not data:
            raise CorpusError("bits per byte of no bytes are not defined; give at least one byte.")
        last = self._checked_order(order)
        length_bits = np.zeros(last + 1)
        for index, block in enumerate(self._blocks(data, history, last)):
            read = data[index * _BLOCK_BYTES : (index + 1) * _BLOCK_BYTES]
            bits = np.unpackbits(np.frombuffer(read, dtype=np.uint8))
            length_bits -= np.log2(np.where(bits, block, 1 - block)).sum(axis=1)
        return [float(length) / len(data) for length in length_bits]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all that it is, by names that `of_tensors` knows: a byte for each byte counted."""
        return {
            "words": self.index.matrix.words,
            "length": np.array([self.index.length]),
            "order": np.array([self.order]),
            "alpha": np.array([self.alpha]),
            "is_utf8": np.array([self.is_utf8]),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, np.ndarray]) -> "ReferenceModel":
        """Return the model that `tensors` took apart; it predicts the same to the last bit."""
        index = ContextIndex(tensors["words"], int(tensors["length"][0]))
        is_utf8 = bool(tensors["is_utf8"][0]) if "is_utf8" in tensors else False
        return cls(index, int(tensors["order"][0]), float(tensors["alpha"][0]), is_utf8=is_utf8)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the counts as one safetensors file, with what tells damage."""
        # One entry, as safetensors writes several in an order of its own at each call.
        save_file(self.tensors(), path, metadata={FORMAT: _digest(self.index.matrix.words)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ReferenceModel":
        """Read what `save` wrote; the loaded model predicts the same to the last bit.

        Raises:
            CheckpointError: The file is missing, damaged or no reference model of this version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                digest = (file.metadata() or {}).get(FORMAT)
                if digest is None:
                    raise CheckpointError(
                        f"{os.fspath(path)!r} is no reference model of this version; "
                        "give a file that save() wrote."
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"the reference model {os.fspath(path)!r} cannot be read ({error}); fit it again."
            ) from error
        if _digest(tensors["words"]) != digest:
            raise CheckpointError(f"the reference model {os.fspath(path)!r} is damaged; fit it again.")
        return cls.of_tensors(tensors)

    def _checked_order(self, order: int | None) -> int:
        if order is None:
            return self.order
        if not 0 <= order <= self.order:
            raise ConfigError(
                "order", order, f"must lie in 0…{self.order}, the contexts this model has counted."
            )
        return order

    def _blocks(self, data: Text, history: Text, last: int) -> Iterator[Float64[np.ndarray, "order bit"]]:
        """Yield the predictions of the orders 0…last, block by block so that memory stays bounded."""
        context = history[max(0, len(history) - last) :]
        for start in range(0, len(data), _BLOCK_BYTES):
            read = context + data[start : start + _BLOCK_BYTES]
            yield self._predict(np.frombuffer(read, dtype=np.uint8), len(context), last)
            context = read[max(0, len(read) - last) :]

    def _predict(
        self, values: UInt8[np.ndarray, "byte"], known: int, last: int
    ) -> Float64[np.ndarray, "order bit"]:
        """Return the predictions of the orders 0…last for the bytes after the first `known`."""
        counts = self.index.path_counts(values[None], last)
        zeros, ones = (side[0, known:].reshape(-1, last + 1) for side in (counts.zeros, counts.ones))
        predictions = np.empty((last + 1, len(ones)))
        _interpolate(zeros, ones, self.alpha, predictions)
        return predictions


@compiled
def _interpolate(
    zeros: Int32[np.ndarray, "bit order"],
    ones: Int32[np.ndarray, "bit order"],
    alpha: float,
    predictions: Float64[np.ndarray, "order bit"],
) -> None:
    """Fill in the predictions of each order, kept from certainty."""
    for bit in range(len(zeros)):
        below = 0.5
        for k in range(zeros.shape[1]):
            seen = zeros[bit, k] + ones[bit, k]
            below = (ones[bit, k] + alpha * below) / (seen + alpha)
            predictions[k, bit] = min(max(below, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)


def _digest(words: UInt64[np.ndarray, "8 word"]) -> str:
    return sha256(words.tobytes()).hexdigest()
