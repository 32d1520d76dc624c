"""Text from a model, one whole byte at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, log2

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from bitlm.bits import (
    PAYLOAD_BITS,
    bits_to_bytes,
    bytes_to_bits,
    enforce_parity,
    parity_errors,
)
from bitlm.characters import characters
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, leaf_log_probabilities
from bitlm.model.decoding import Walk, require_finite
from bitlm.sampling import Sampling

MOST_NEW_BYTES = 1_000_000
HIGHEST_TEMPERATURE = 100.0
LEAST_PROBABILITY = 2.0**-53
"""The resolution of a double beside 1: no bit costs more than 53 bits."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GeneratedByte:
    """One emitted byte.

    Attributes:
        value: 0 to 255.
        probabilities: The model's P(bit = 1) at temperature 1 for each of its 8 bits, most significant
            first, each given the bits emitted before it.
        alternatives: The likeliest bytes in its place with the model's probability of each at temperature 1,
            the likeliest first; as many as were asked for.
    """

    value: int
    probabilities: tuple[float, ...]
    alternatives: tuple[tuple[int, float], ...] = ()

    @property
    def bit_probabilities(self) -> tuple[float, ...]:
        """The model's probability of each bit as it was emitted, most significant first."""
        bits = ((self.value >> place) & 1 for place in range(PAYLOAD_BITS - 1, -1, -1))
        return tuple(p if bit else 1 - p for bit, p in zip(bits, self.probabilities, strict=True))

    @property
    def surprise_bits(self) -> float:
        """Code length of the byte under the model: the sum of -log2 P(bit) over its bits."""
        return sum(-log2(max(p, LEAST_PROBABILITY)) for p in self.bit_probabilities)


@dataclass(frozen=True)
class Sample:
    """What was emitted after a prompt.

    Attributes:
        data: The bytes.
        probabilities: The model's P(bit = 1) at temperature 1 for each payload bit.
        parity: Whether `bits` carries parity.
        parity_faults: The frames whose parity bit was wrong, where they come from elsewhere.
        alternatives: Those of each byte, where they were asked for.
    """

    data: bytes
    probabilities: Float64[Tensor, " bit"]
    parity: bool
    parity_faults: tuple[int, ...] = ()
    alternatives: tuple[tuple[tuple[int, float], ...], ...] = ()

    @classmethod
    def of_frames(
        cls, bits: UInt8[Tensor, " framed"], probabilities: Float64[Tensor, " bit"], *, parity: bool
    ) -> "Sample":
        """Return frames that something else than `generate` made, which parity may be wrong of.

        Raises:
            BitFormatError: The bits are not whole frames.
        """
        faults = tuple(parity_errors(bits)) if parity else ()
        whole = enforce_parity(bits)[0] if faults else bits
        return cls(bits_to_bytes(whole, parity=parity), probabilities, parity, faults)

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
        """The bytes as UTF-8, each byte that is not UTF-8 replaced by U+FFFD."""
        return "".join(character for character, _ in characters(self.data))

    @property
    def emitted(self) -> list[GeneratedByte]:
        """The bytes as they were emitted, one by one."""
        rows = self.probabilities.reshape(-1, PAYLOAD_BITS).tolist()
        alternatives = self.alternatives or ((),) * len(self.data)
        return [
            GeneratedByte(value, tuple(row), others)
            for value, row, others in zip(self.data, rows, alternatives, strict=True)
        ]

    @property
    def surprises_bits(self) -> list[float]:
        """Code length of each byte under the model."""
        return [generated.surprise_bits for generated in self.emitted]

    @property
    def characters(self) -> list[tuple[str, float]]:
        """Each character with its surprise in bits; a byte that is not UTF-8 is a U+FFFD of its own."""
        surprises = self.surprises_bits
        found = []
        start = 0
        for character, length in characters(self.data):
            found.append((character, sum(surprises[start : start + length])))
            start += length
        return found


def collect(emitted: Iterable[GeneratedByte], parity: bool) -> Sample:  # noqa: FBT001 - a Sample's own field
    """Run a generation to its end and return all of it.

    Args:
        emitted: What `generate` returned.
        parity: Whether the model's frames carry parity.
    """
    generated = list(emitted)
    rows = [row.probabilities for row in generated]
    probabilities = torch.tensor(rows, dtype=torch.float64).reshape(-1)
    alternatives = tuple(row.alternatives for row in generated)
    return Sample(
        bytes(row.value for row in generated), probabilities, parity,
        alternatives=alternatives if any(alternatives) else (),
    )  # fmt: skip


def generate(
    model: BitTransformer,
    prompt: Tensor,
    *,
    max_new_bytes: int = 128,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[bytes] = (),
    alternatives: int = 0,
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
        alternatives: How many of the likeliest bytes to tell with each; a model that decides bit by bit
            (patch_bits=1) has no probability of a whole byte, and tells none.

    Raises:
        ConfigError: A setting is out of range.
        BitFormatError: The prompt is not whole frames of bits.
        ParityError: A frame of the prompt fails parity.
        GridOverflowError: The model's weights are not finite.

    Source: top-p, Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020.
    """
    _check_settings(max_new_bytes, temperature, top_p, stop)
    reader = Reader(model, [bits_to_bytes(prompt, parity=model.config.parity)])
    steps = _emit(reader, Sampling(temperature, top_p, [seed]), max_new_bytes, alternatives)
    return _until_end(steps, _Ending(stop))


def generate_batch(
    model: BitTransformer,
    prompts: Sequence[Tensor],
    *,
    seeds: Sequence[int],
    max_new_bytes: int = 128,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop: Sequence[bytes] = (),
) -> list[Sample]:
    """Return a text for each prompt, drawn side by side: the very text `generate` gives for it alone.

    Prompts of equal length share each step, which costs little more than a step of one text alone.

    Args:
        model: As for `generate`, like all that is not named here.
        prompts: One for each text; give the same one n times for n samples.
        seeds: One for each text.
        max_new_bytes: How many at most for each text.
        temperature: As for `generate`.
        top_p: As for `generate`.
        stop: Each text ends after its own first of these.

    Raises:
        ConfigError: A setting is out of range, or seeds and prompts differ in number.
        BitFormatError: A prompt is not whole frames of bits.
        ParityError: A frame of a prompt fails parity.
        GridOverflowError: The model's weights are not finite.
    """
    if len(seeds) != len(prompts):
        raise ConfigError("seeds", list(seeds), f"give one for each of the {len(prompts)} prompts.")
    _check_settings(max_new_bytes, temperature, top_p, stop)
    histories = [bits_to_bytes(prompt, parity=model.config.parity) for prompt in prompts]
    samples: dict[int, Sample] = {}
    for length in sorted({len(history) for history in histories}):
        rows = [row for row, history in enumerate(histories) if len(history) == length]
        sampling = Sampling(temperature, top_p, [seeds[row] for row in rows])
        reader = Reader(model, [histories[row] for row in rows])
        texts = _until_all_end(_emit(reader, sampling, max_new_bytes), [_Ending(stop) for _ in rows])
        samples |= {row: collect(text, model.config.parity) for row, text in zip(rows, texts, strict=True)}
    return [samples[row] for row in range(len(prompts))]


class Reader:
    """Feeds decided patches to a model, for texts of equal length side by side.

    Past the window, it starts again from the window's last half. What it predicts for a text is the same to
    the last bit whatever stands beside it, which is what `bitlm.compression` rests on.

    Args:
        model: Never in dropout here, whatever its mode.
        histories: What each text begins with, all of one length; may be empty.
    """

    def __init__(self, model: BitTransformer, histories: Sequence[bytes]) -> None:
        self.config = model.config
        self._bytes = [bytearray(history) for history in histories]
        self._cache = model.new_cache(len(histories))
        self._begin_window()

    def trees(self) -> FloatArray:
        """Return the logits of each text's next tree, which its patch is drawn from: [text, node]."""
        logits = self._cache.read(self._pending).astype(np.float64)
        require_finite(logits)
        return logits

    def walk(self) -> Walk:
        """Return the way down each text's next tree: the same predictions, for who needs one leaf's alone."""
        return self._cache.walk(self._pending)

    def feed(self, leaves: IntArray) -> None:
        """Note what one position carries: [text]."""
        self._pending = leaves[:, None]

    def end_frames(self, values: IntArray) -> None:
        """Note that frames with these payloads are complete; add parity bits where positions carry them."""
        for history, value in zip(self._bytes, values.tolist(), strict=True):
            history.append(value)
        if self.config.parity and self.config.patch_bits == 1:
            parity = np.bitwise_count(values).astype(np.int64) & 1
            self._pending = np.concatenate([self._pending, parity[:, None]], axis=1)
        if len(self._bytes[0]) >= self.config.window_bytes:
            self._begin_window()

    def _begin_window(self) -> None:
        """Begin a window with what fits of the histories."""
        if len(self._bytes[0]) >= self.config.window_bytes:
            kept = self.config.window_bytes // 2
            self._bytes = [history[len(history) - kept :] for history in self._bytes]
        self._cache.clear()
        if self.config.patch_bits == PAYLOAD_BITS:
            rows = [np.frombuffer(text, dtype=np.uint8) for text in self._bytes]
        else:
            rows = [bytes_to_bits(bytes(text), parity=self.config.parity).numpy() for text in self._bytes]
        self._pending = np.stack(rows).astype(np.int64)


class _Ending:
    """Notices the first stop string of one text."""

    def __init__(self, stop: Sequence[bytes]) -> None:
        self._stop = tuple(stop)
        self._emitted = bytearray()

    def reached(self, value: int) -> bool:
        """Whether the text ends with this byte."""
        self._emitted.append(value)
        return bool(self._stop) and self._emitted.endswith(self._stop)


def _emit(
    reader: Reader, sampling: Sampling, max_new_bytes: int, alternatives: int = 0
) -> Iterator[list[GeneratedByte]]:
    """Yield the next byte of every text, whether or not a text has ended."""
    for index in range(max_new_bytes):
        yield _next_bytes(reader, sampling, index, alternatives)


def _until_end(steps: Iterator[list[GeneratedByte]], ending: _Ending) -> Iterator[GeneratedByte]:
    """Yield the bytes of a text on its own."""
    for (generated,) in steps:
        yield generated
        if ending.reached(generated.value):
            return


def _until_all_end(
    steps: Iterator[list[GeneratedByte]], endings: Sequence[_Ending]
) -> list[list[GeneratedByte]]:
    """Return the bytes of every text, each up to its own end."""
    texts: list[list[GeneratedByte]] = [[] for _ in endings]
    going = set(range(len(endings)))
    for generated in steps:
        for row in sorted(going):
            texts[row].append(generated[row])
            if endings[row].reached(generated[row].value):
                going.remove(row)
        if not going:
            break
    return texts


def _next_bytes(reader: Reader, sampling: Sampling, index: int, alternatives: int) -> list[GeneratedByte]:
    patch_bits = reader.config.patch_bits
    uniforms = sampling.uniforms(index, PAYLOAD_BITS // patch_bits)
    values = np.zeros(len(uniforms), dtype=np.int64)
    rows, paths = np.arange(len(uniforms))[:, None], []
    others: list[tuple[tuple[int, float], ...]] = [()] * len(uniforms)
    for draws in uniforms.T:
        logits = reader.trees()
        log_probabilities = leaf_log_probabilities(logits)
        leaves = sampling.choose(log_probabilities, draws)
        if alternatives and patch_bits == PAYLOAD_BITS:
            others = [_likeliest(row, alternatives) for row in log_probabilities]
        depths = np.arange(patch_bits)
        nodes = (leaves[:, None] >> (patch_bits - depths)) + (1 << depths) - 1
        paths.append(logits[rows, nodes])
        reader.feed(leaves)
        values = values << patch_bits | leaves
    reader.end_frames(values)
    probabilities = np.exp(-np.logaddexp(0.0, -np.concatenate(paths, axis=1)))
    return [
        GeneratedByte(value, tuple(row), likeliest)
        for value, row, likeliest in zip(values.tolist(), probabilities.tolist(), others, strict=True)
    ]


def _likeliest(log_probabilities: FloatArray, count: int) -> tuple[tuple[int, float], ...]:
    """Return the likeliest leaves with their probabilities; of equals the first comes first."""
    leaves = np.argsort(-log_probabilities, kind="stable")[:count]
    return tuple(zip(leaves.tolist(), np.exp(log_probabilities[leaves]).tolist(), strict=True))


def _check_settings(max_new_bytes: int, temperature: float, top_p: float, stop: Sequence[bytes]) -> None:
    whole = isinstance(max_new_bytes, int) and not isinstance(max_new_bytes, bool)
    if not whole or not 1 <= max_new_bytes <= MOST_NEW_BYTES:
        raise ConfigError("max_new_bytes", max_new_bytes, f"use a whole number from 1 to {MOST_NEW_BYTES:,}.")
    if not _is_number(temperature) or not 0 <= temperature <= HIGHEST_TEMPERATURE:
        raise ConfigError("temperature", temperature, f"use a number from 0 to {HIGHEST_TEMPERATURE:g}.")
    if not _is_number(top_p) or not 0 < top_p <= 1:
        raise ConfigError("top_p", top_p, "use a number above 0, at most 1.")
    if any(not ending for ending in stop):
        raise ConfigError("stop", list(stop), "leave out the empty byte string: it would end every text.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
