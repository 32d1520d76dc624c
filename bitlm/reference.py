"""The reference model: exact counts of what followed each context in the training text.

For every order k the model keeps the sorted pairs (k context bytes, next byte) it has seen, each packed into
one whole number, with a running sum of their counts. A node of the bit tree over the next byte is a range of
such numbers, so its count is a difference of two running sums and nothing is hashed or approximated.

Source of the interpolation: Jelinek & Mercer, "Interpolated estimation of Markov source parameters from
sparse data", 1980; with the lower order as prior: MacKay & Peto, "A hierarchical Dirichlet language model",
Natural Language Engineering 1(3), 1995.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64, UInt8, UInt64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bitlm.errors import CheckpointError, ConfigError, CorpusError

MAX_ORDER = 6
FORMAT = "bitlm-reference-1"

# No bit costs more than 32 bits: in doubles a product of small priors would round to certainty.
_LEAST_PROBABILITY = 2.0**-32
_BLOCK_BYTES = 1 << 16
# Leaves below a node of each depth, the root's 256 first.
_WIDTHS = np.uint64(1) << np.arange(8, -1, -1, dtype=np.uint64)[:, None]


@dataclass(frozen=True)
class _Counts:
    """What followed each context of one length."""

    keys: UInt64[np.ndarray, "pair"]
    running: Int64[np.ndarray, "pair+1"]

    @classmethod
    def of(cls, data: UInt8[np.ndarray, "byte"], order: int) -> "_Counts":
        keys, counts = np.unique(_keys(data, order), return_counts=True)
        return cls(keys, np.concatenate([[0], np.cumsum(counts)]))

    def below(self, bounds: UInt64[np.ndarray, "bound byte"]) -> Int64[np.ndarray, "bound byte"]:
        """Return how many pairs seen in training lie below each bound."""
        # Byte by byte the searches stay close together in memory: a third of the time saved.
        return self.running[np.searchsorted(self.keys, bounds.T)].T


class ReferenceModel:
    """An interpolated byte-context model of bits, exact and deterministic.

    p_k = (n1 + alpha p_(k-1)) / (n0 + n1 + alpha), where n0 and n1 count the two values of the bit after the
    same k bytes and the same bits of the current byte; p_(-1) = 1/2.

    Attributes:
        alpha: The weight of the shorter context, in observations.
    """

    def __init__(self, counts: tuple[_Counts, ...], alpha: float) -> None:
        self._counts = counts
        self.alpha = alpha

    @property
    def order(self) -> int:
        """The longest context, in bytes."""
        return len(self._counts) - 1

    @classmethod
    def fit(cls, data: bytes, *, order: int = 5, alpha: float = 2.0) -> "ReferenceModel":
        """Count `data`; 466 KB take well under a second.

        Raises:
            CorpusError: There are no bytes to count.
            ConfigError: `order` is not in 0…6, or `alpha` is not a finite number above 0.
        """
        if not data:
            raise CorpusError("the reference model has no bytes to count; give it the training text.")
        if not 0 <= order <= MAX_ORDER:
            raise ConfigError("order", order, f"must lie in 0…{MAX_ORDER} bytes of context.")
        if not (math.isfinite(alpha) and alpha > 0):
            raise ConfigError("alpha", alpha, "must be a finite number above 0.")
        values = np.frombuffer(data, dtype=np.uint8)
        return cls(tuple(_Counts.of(values, k) for k in range(order + 1)), float(alpha))

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

    def bits_per_byte(self, data: bytes, *, history: bytes = b"", order: int | None = None) -> float:
        """Return the code length of `data` in bits per byte; arguments as `bit_probabilities`.

        Raises:
            CorpusError: There are no bytes.
            ConfigError: `order` is not in 0…the model's own.
        """
        return self.bits_per_byte_of_orders(data, history=history, order=order)[-1]

    def bits_per_byte_of_orders(
        self, data: bytes, *, history: bytes = b"", order: int | None = None
    ) -> list[float]:
        """Return `bits_per_byte` of the orders 0, 1, …, `order` in one pass; errors as there."""
        if not data:
            raise CorpusError("bits per byte of no bytes are not defined; give at least one byte.")
        last = self._checked_order(order)
        length_bits = np.zeros(last + 1)
        ones = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
        for index, block in enumerate(self._blocks(data, history, last)):
            bits = ones[index * 8 * _BLOCK_BYTES :][: block.shape[1]]
            length_bits -= np.log2(np.where(bits, block, 1 - block)).sum(axis=1)
        return [float(length) / len(data) for length in length_bits]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the counts as one safetensors file."""
        tensors: dict[str, npt.NDArray[np.generic]] = {"alpha": np.array([self.alpha])}
        for k, counts in enumerate(self._counts):
            tensors[f"keys-{k}"], tensors[f"running-{k}"] = counts.keys, counts.running
        save_file(tensors, path, metadata={"format": FORMAT})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ReferenceModel":
        """Read what `save` wrote; the loaded model predicts the same to the last bit.

        Raises:
            CheckpointError: The file is missing, damaged or no reference model.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                if (file.metadata() or {}).get("format") != FORMAT:
                    raise CheckpointError(
                        f"{os.fspath(path)!r} is no reference model; give a file that save() wrote."
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"the reference model {os.fspath(path)!r} cannot be read ({error}); fit it again."
            ) from error
        orders = len(tensors) // 2
        counts = tuple(_Counts(tensors[f"keys-{k}"], tensors[f"running-{k}"]) for k in range(orders))
        return cls(counts, float(tensors["alpha"][0]))

    def _checked_order(self, order: int | None) -> int:
        if order is None:
            return self.order
        if not 0 <= order <= self.order:
            raise ConfigError(
                "order", order, f"must lie in 0…{self.order}, the contexts this model has counted."
            )
        return order

    def _blocks(self, data: bytes, history: bytes, last: int) -> Iterator[Float64[np.ndarray, "order bit"]]:
        """Yield the predictions of the orders 0…last, block by block so that memory stays bounded."""
        known = min(len(history), last)
        values = np.frombuffer(history[len(history) - known :] + data, dtype=np.uint8)
        for start in range(known, len(values), _BLOCK_BYTES):
            context = min(start, last)
            yield self._predict(values[start - context : start + _BLOCK_BYTES], context, last)

    def _predict(
        self, values: UInt8[np.ndarray, "byte"], known: int, last: int
    ) -> Float64[np.ndarray, "order bit"]:
        """Return the predictions of the orders 0…last for the bytes after the first `known`."""
        predictions = np.empty((last + 1, 8, len(values) - known))
        below = np.full(predictions.shape[1:], 0.5)
        for k, counts in enumerate(self._counts[: last + 1]):
            first = max(k - known, 0)
            below = below.copy()
            seen, ones = _node_counts(counts, values[max(known - k, 0) :], k)
            below[:, first:] = (ones + self.alpha * below[:, first:]) / (seen + self.alpha)
            predictions[k] = below
        rows = predictions.transpose(0, 2, 1).reshape(last + 1, -1)
        return np.clip(rows, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)


def _keys(data: UInt8[np.ndarray, "byte"], order: int) -> UInt64[np.ndarray, "pair"]:
    """Return each byte that has `order` bytes before it, packed behind them into one whole number."""
    count = max(len(data) - order, 0)
    keys = np.zeros(count, dtype=np.uint64)
    for offset in range(order + 1):
        keys = (keys << np.uint64(8)) | data[offset : offset + count]
    return keys


def _node_counts(
    counts: _Counts, values: UInt8[np.ndarray, "byte"], order: int
) -> tuple[Int64[np.ndarray, "8 predicted"], Int64[np.ndarray, "8 predicted"]]:
    """Return, at each tree node on the way to each byte, how often it was reached and how often left to 1."""
    keys = _keys(values, order)
    lows = keys & ~(_WIDTHS - np.uint64(1))
    # Rows: where each of the 8 nodes is halved, where the context begins and where it ends.
    bounds = np.concatenate([lows[:8] + _WIDTHS[1:], lows[:1], lows[:1] + _WIDTHS[0]])
    below = counts.below(bounds)
    middle, begin, end = below[:8], below[8:9], below[9:]
    went_to_one = (keys & _WIDTHS[1:]).astype(bool)
    # A step to 1 moves the node's begin up to its middle, a step to 0 its end down; both only ever narrow it.
    low = np.maximum.accumulate(np.concatenate([begin, np.where(went_to_one, middle, begin)[:7]]))
    high = np.minimum.accumulate(np.concatenate([end, np.where(went_to_one, end, middle)[:7]]))
    return high - low, high - middle
