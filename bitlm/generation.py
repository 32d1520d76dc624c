"""Text from a model, one whole byte at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, log2

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS, bits_to_bytes, bytes_to_bits
from bitlm.errors import ConfigError, GridOverflowError
from bitlm.model import BitTransformer, leaf_log_probabilities
from bitlm.randomness import generator

MOST_NEW_BYTES = 1_000_000
HIGHEST_TEMPERATURE = 100.0
LEAST_PROBABILITY = 2.0**-53
"""The resolution of a double beside 1: no bit costs more than 53 bits."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GeneratedByte:
    """One emitted byte.

    Attributes:
        value: 0 to 255.
        probabilities: The model's P(bit = 1) at temperature 1 for each of its 8 bits, most significant
            first, each given the bits emitted before it.
    """

    value: int
    probabilities: tuple[float, ...]

    @property
    def surprise_bits(self) -> float:
        """Code length of the byte under the model: the sum of -log2 P(bit) over its bits."""
        bits = ((self.value >> place) & 1 for place in range(PAYLOAD_BITS - 1, -1, -1))
        return sum(_surprise_bits(bit, p) for bit, p in zip(bits, self.probabilities, strict=True))


@dataclass(frozen=True)
class Sample:
    """What was emitted after a prompt.

    Attributes:
        data: The bytes.
        probabilities: The model's P(bit = 1) at temperature 1 for each payload bit.
        parity: Whether `bits` carries parity.
    """

    data: bytes
    probabilities: Float64[Tensor, " bit"]
    parity: bool

    @property
    def bits(self) -> UInt8[Tensor, " bit"]:
        """The frames, with valid parity where the model has parity."""
        return bytes_to_bits(self.data, parity=self.parity)

    @property
    def payload_bits(self) -> UInt8[Tensor, " bit"]:
        """The bits of the bytes, without parity."""
        return bytes_to_bits(self.data)

    @property
    def text(self) -> str:
        """The bytes as UTF-8, what is not UTF-8 replaced by U+FFFD."""
        return self.data.decode(errors="replace")

    @property
    def surprises_bits(self) -> list[float]:
        """Code length of each byte under the model."""
        rows = self.probabilities.reshape(-1, PAYLOAD_BITS).tolist()
        return [
            GeneratedByte(value, tuple(row)).surprise_bits for value, row in zip(self.data, rows, strict=True)
        ]

    @property
    def characters(self) -> list[tuple[str, float]]:
        """Each character with its surprise in bits; a byte that is not UTF-8 is a U+FFFD of its own."""
        surprises = self.surprises_bits
        characters = []
        start = 0
        while start < len(self.data):
            character, length = _first_character(self.data[start:])
            characters.append((character, sum(surprises[start : start + length])))
            start += length
        return characters


def collect(emitted: Iterable[GeneratedByte], parity: bool) -> Sample:  # noqa: FBT001 - a Sample's own field
    """Run a generation to its end and return all of it.

    Args:
        emitted: What `generate` returned.
        parity: Whether the model's frames carry parity.
    """
    generated = list(emitted)
    rows = [row.probabilities for row in generated]
    probabilities = torch.tensor(rows, dtype=torch.float64).reshape(-1)
    return Sample(bytes(row.value for row in generated), probabilities, parity)


def generate(
    model: BitTransformer,
    prompt: Tensor,
    *,
    max_new_bytes: int = 128,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[bytes] = (),
) -> Iterator[GeneratedByte]:
    """Yield bytes as they are complete; the same arguments yield the same bytes.

    Past the window the last half of it is kept and read again, and the text goes on.

    Args:
        model: Never in dropout here, whatever its mode.
        prompt: Whole frames in the model's format; may be empty.
        max_new_bytes: How many at most, 1 to 1,000,000.
        temperature: Divides log-probabilities; 0 takes the likeliest patch, at most 100.
        top_p: Draw from the smallest set of likeliest patches with at least this share of the (tempered)
            probability, in (0, 1]. A patch is a byte, or one bit when patch_bits=1.
        seed: With the byte's index, decides each draw.
        stop: The text ends after the first of these byte strings, which is included.

    Raises:
        ConfigError: A setting is out of range.
        BitFormatError: The prompt is not whole frames of bits.
        ParityError: A frame of the prompt fails parity.
        GridOverflowError: The model's weights are not finite.

    Source: top-p, Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020.
    """
    _check_settings(max_new_bytes, temperature, top_p)
    if any(not ending for ending in stop):
        raise ConfigError("stop", list(stop), "leave out the empty byte string: it would end every text.")
    history = bits_to_bytes(prompt, parity=model.config.parity)
    reader = _Reader(model, history)
    return _emit(reader, _Sampling(temperature, top_p, seed), max_new_bytes, tuple(stop))


@dataclass(frozen=True)
class _Sampling:
    """How a patch is drawn from the model's distribution."""

    temperature: float
    top_p: float
    seed: int

    def uniforms(self, index: int, count: int) -> list[float]:
        """Return this byte's draws from [0, 1), in float64."""
        draw = generator(self.seed, index, "sample")
        uniforms: list[float] = torch.rand(count, dtype=torch.float64, generator=draw).tolist()
        return uniforms

    def choose(self, log_probabilities: FloatArray, uniform: float) -> int:
        """Return a leaf by inverting the cumulative distribution at `uniform`.

        Drawing by adding Gumbel noise in 32 bits would quietly lower the temperature
        (Zheng et al., arXiv 2409.02908).
        """
        relative = log_probabilities - log_probabilities.max()
        if self.temperature == 0:
            return int(relative.argmax())
        with np.errstate(over="ignore", under="ignore"):
            weights = np.exp(relative / self.temperature)
        if self.top_p < 1:
            weights = _keep_likeliest(weights, self.top_p)
        cumulative = weights.cumsum()
        total = cumulative[-1]
        return int(cumulative.searchsorted(min(uniform * total, np.nextafter(total, 0.0)), side="right"))


def _keep_likeliest(weights: FloatArray, share: float) -> FloatArray:
    """Return the weights, zeroed outside the smallest set that holds this share of their sum."""
    order = np.argsort(-weights, kind="stable")
    cumulative = weights[order].cumsum()
    kept = order[: int(cumulative.searchsorted(share * cumulative[-1])) + 1]
    nucleus = np.zeros_like(weights)
    nucleus[kept] = weights[kept]
    return nucleus


class _Reader:
    """Feeds decided bits to a model; past the window, starts again from its last half."""

    def __init__(self, model: BitTransformer, history: bytes) -> None:
        self.config = model.config
        self._model = model
        self._bytes = bytearray(history)
        self._pending: list[list[int]] = []
        self._logits = self._read_again()

    def tree(self) -> FloatArray:
        """Return the logits of the next patch's tree."""
        for patch in self._pending:
            self._logits = self._model.next_patch_logits(self._cache, torch.tensor([patch]))
        self._pending = []
        logits = self._logits[0].cpu().numpy().astype(np.float64)
        if not np.isfinite(logits).all():
            raise GridOverflowError(
                "the model's predictions are not finite numbers; go back to the last checkpoint."
            )
        return logits

    def feed(self, patch: list[int]) -> None:
        """Note the bits of one position."""
        self._pending.append(patch)

    def end_frame(self, value: int) -> None:
        """Note that a frame with this payload is complete; add its parity bit where positions carry it."""
        self._bytes.append(value)
        if self.config.parity and self.config.patch_bits == 1:
            self.feed([value.bit_count() % 2])
        if len(self._bytes) >= self.config.window_bytes:
            self._pending = []
            self._logits = self._read_again()

    def _read_again(self) -> Tensor:
        """Begin a window with what fits of the history."""
        if len(self._bytes) >= self.config.window_bytes:
            surplus = len(self._bytes) - self.config.window_bytes // 2
            del self._bytes[:surplus]
        self._cache = self._model.new_cache()
        bits = bytes_to_bits(bytes(self._bytes), parity=self.config.parity)
        return self._model.prefill(self._cache, bits[None].to(self._cache.table.device))


def _emit(
    reader: _Reader, sampling: _Sampling, max_new_bytes: int, stop: tuple[bytes, ...]
) -> Iterator[GeneratedByte]:
    emitted = bytearray()
    for index in range(max_new_bytes):
        generated = _next_byte(reader, sampling, index)
        emitted.append(generated.value)
        yield generated
        if stop and emitted.endswith(stop):
            return


def _next_byte(reader: _Reader, sampling: _Sampling, index: int) -> GeneratedByte:
    patch_bits = reader.config.patch_bits
    value = 0
    path: list[float] = []
    for uniform in sampling.uniforms(index, PAYLOAD_BITS // patch_bits):
        logits = reader.tree()
        leaf = sampling.choose(leaf_log_probabilities(logits), uniform)
        path += [logits[(1 << depth) - 1 + (leaf >> (patch_bits - depth))] for depth in range(patch_bits)]
        reader.feed([(leaf >> place) & 1 for place in range(patch_bits - 1, -1, -1)])
        value = value << patch_bits | leaf
    reader.end_frame(value)
    return GeneratedByte(value, tuple(np.exp(-np.logaddexp(0.0, -np.array(path))).tolist()))


def _surprise_bits(bit: int, probability_of_one: float) -> float:
    probability = probability_of_one if bit else 1 - probability_of_one
    return -log2(max(probability, LEAST_PROBABILITY))


def _first_character(data: bytes) -> tuple[str, int]:
    """Return the character that `data` begins with and its length in bytes."""
    for length in range(1, 5):
        try:
            return data[:length].decode(), length
        except UnicodeDecodeError:
            continue
    return "\ufffd", 1


def _check_settings(max_new_bytes: int, temperature: float, top_p: float) -> None:
    whole = isinstance(max_new_bytes, int) and not isinstance(max_new_bytes, bool)
    if not whole or not 1 <= max_new_bytes <= MOST_NEW_BYTES:
        raise ConfigError("max_new_bytes", max_new_bytes, f"use a whole number from 1 to {MOST_NEW_BYTES:,}.")
    if not _is_number(temperature) or not 0 <= temperature <= HIGHEST_TEMPERATURE:
        raise ConfigError("temperature", temperature, f"use a number from 0 to {HIGHEST_TEMPERATURE:g}.")
    if not _is_number(top_p) or not 0 < top_p <= 1:
        raise ConfigError("top_p", top_p, "use a number above 0, at most 1.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
