"""Bytes, text and bits, and the even-parity frame; every encoder stands beside its inverse.

A payload bit is a bit of the user's bytes, most significant first. A frame is one coded byte: 8 payload
bits, or 9 with parity on, the parity bit last.

Source of the parity code: Hamming, "Error Detecting and Error Correcting Codes", BSTJ 29(2), 1950.
"""

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import UInt8
from torch import Tensor

from bitlm.errors import BitFormatError, ParityError

PAYLOAD_BITS = 8

MASK = 2
"""A bit's third state, while a text is denoised: not known yet."""

LONGEST_CHARACTER = 4
"""Bytes of UTF-8's longest."""

LEAST_BYTE_OF_A_LONG_CHARACTER = 0x80
"""A lower one is a character of its own."""


def frame_bits(parity: bool) -> int:  # noqa: FBT001 - the only thing this function is asked about
    """Return how many bits one coded byte takes: 8, or 9 with parity."""
    return PAYLOAD_BITS + int(parity)


def as_bits(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> UInt8[Tensor, "bit"]:
    """Return a one-dimensional row of bits as uint8 after checking every element.

    Args:
        bits: Whole numbers or booleans, each 0 or 1. A uint8 tensor is returned as it is, not copied.

    Raises:
        BitFormatError: The row is not one-dimensional, not of a whole-number type, or an element is
            neither 0 nor 1.
    """
    row = _array_of(bits)
    if row.ndim != 1:
        raise BitFormatError(f"bits have shape {row.shape}; pass one row, such as bits.flatten().")
    if row.size and row.dtype.kind not in "biu":
        raise BitFormatError(f"bits have the type {row.dtype}; pass whole numbers, each 0 or 1.")
    _check(row)
    return torch.from_numpy(row.astype(np.uint8, copy=False))


def bytes_to_bits(data: bytes, *, parity: bool = False) -> UInt8[Tensor, "bit"]:
    """Return the bits of `data`, most significant first, with a parity bit after each byte if `parity`."""
    return encode_frames(torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy()), parity=parity)


def encode_frames(values: UInt8[Tensor, "*batch byte"], *, parity: bool) -> UInt8[Tensor, "*batch bit"]:
    """Return the frames of rows of bytes: as `bytes_to_bits`, for a whole batch at once."""
    payload = unpack_bytes(values)
    return (add_parity(payload) if parity else payload).flatten(-2)


def bits_to_bytes(bits: Tensor | npt.NDArray[Any] | Sequence[int], *, parity: bool = False) -> bytes:
    """Undo `bytes_to_bits`.

    Raises:
        BitFormatError: An element is not a bit, or the last frame is not whole.
        ParityError: A frame's parity bit disagrees with its payload; names the first frames.
    """
    frames = _whole_frames(as_bits(bits), parity=parity)
    if parity:
        wrong = _odd_frames(frames)
        if wrong:
            raise ParityError(wrong)
        frames = drop_parity(frames)
    return np.packbits(frames.numpy()).tobytes()


def text_to_bits(text: str, *, parity: bool = False) -> UInt8[Tensor, "bit"]:
    """Return the bits of the text's UTF-8 bytes.

    Raises:
        BitFormatError: The text holds a lone surrogate, which UTF-8 cannot carry.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise BitFormatError(
            f"character {error.start} of the text is a lone surrogate, which UTF-8 cannot carry; remove it."
        ) from error
    return bytes_to_bits(data, parity=parity)


def bits_to_text(bits: Tensor | npt.NDArray[Any] | Sequence[int], *, parity: bool = False) -> str:
    """Undo `text_to_bits`.

    Raises:
        BitFormatError: The bits are not whole frames, or their bytes are not UTF-8; names the byte offset.
        ParityError: A frame's parity bit disagrees with its payload.
    """
    data = bits_to_bytes(bits, parity=parity)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BitFormatError(
            f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8: {error.reason}; "
            "bits_to_bytes() returns the bytes as they are."
        ) from error


def first_fault(data: bytes, *, history: bytes = b"") -> int | None:
    """Return the place of the first byte that UTF-8 cannot have there; None for a passage of UTF-8.

    A character that the end cuts off is no fault, nor is the rest of one that the history begins.

    Args:
        data: The passage.
        history: The bytes just before it.
    """
    faults = []
    for known in range(min(len(history), LONGEST_CHARACTER - 1) + 1):
        try:
            getincrementaldecoder("utf-8")().decode(history[len(history) - known :] + data)
        except UnicodeDecodeError as error:
            faults.append(max(0, error.start - known))
        else:
            return None
    return max(faults)


def utf8_validity(data: bytes) -> float:
    """Return the share of the bytes that belong to characters of UTF-8, in [0, 1]; of none it is 1.

    A character that the end cuts off counts as whole: it is 1 where `first_fault` finds nothing.
    """
    counter = CharacterCounter()
    counter.read(data)
    return counter.validity


class CharacterCounter:
    """Finds the `utf8_validity` of a text that is read piece by piece."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("ignore")
        self._length = self._whole = 0

    def read(self, piece: bytes) -> None:
        """Go on with the bytes that come next."""
        self._length += len(piece)
        self._whole += len(self._decoder.decode(piece).encode())

    @property
    def validity(self) -> float:
        """The share so far, in [0, 1]; of no bytes it is 1."""
        cut_off, _ = self._decoder.getstate()
        return (self._whole + len(cut_off)) / self._length if self._length else 1.0


class FaultFinder:
    """Notices in a passage that is still being written what `first_fault` finds in it."""

    def __init__(self, history: bytes = b"") -> None:
        """Begin a passage after these bytes."""
        self._readings: list[IncrementalDecoder] = []
        for known in range(min(len(history), LONGEST_CHARACTER - 1) + 1):
            reading = getincrementaldecoder("utf-8")()
            if _goes_on(reading, history[len(history) - known :]):
                self._readings.append(reading)

    def is_broken_by(self, value: int) -> bool:
        """Whether no text goes on with this byte, however the history is read."""
        byte = bytes([value])
        self._readings = [reading for reading in self._readings if _goes_on(reading, byte)]
        if value < LEAST_BYTE_OF_A_LONG_CHARACTER:
            del self._readings[1:]  # between two characters all readings are one
        return not self._readings


def _goes_on(reading: IncrementalDecoder, data: bytes) -> bool:
    try:
        reading.decode(data)
    except UnicodeDecodeError:
        return False
    return True


def unpack_bytes(values: UInt8[Tensor, "*batch byte"]) -> UInt8[Tensor, "*batch byte 8"]:
    """Return each byte's 8 bits, most significant first."""
    return torch.from_numpy(np.unpackbits(values.numpy()[..., None], axis=-1))


def pack_bytes(payload: UInt8[Tensor, "*batch byte 8"]) -> UInt8[Tensor, "*batch byte"]:
    """Undo `unpack_bytes`.

    Raises:
        BitFormatError: An element is neither 0 nor 1.
    """
    _check(payload.numpy())
    return torch.from_numpy(np.packbits(payload.numpy(), axis=-1)[..., 0])


def add_parity(payload: UInt8[Tensor, "*batch byte 8"]) -> UInt8[Tensor, "*batch byte 9"]:
    """Append to each byte the bit that makes its sum even.

    Args:
        payload: Bits (0 or 1), most significant first.

    Raises:
        BitFormatError: An element is neither 0 nor 1.

    Source: Hamming, "Error Detecting and Error Correcting Codes", BSTJ 29(2), 1950.
    """
    _check(payload.numpy())
    return torch.cat([payload, _parity_bit(payload)], dim=-1)


def drop_parity(frames: UInt8[Tensor, "*batch byte 9"]) -> UInt8[Tensor, "*batch byte 8"]:
    """Undo `add_parity` without looking at the parity bit; `parity_errors` is the check."""
    return frames[..., :PAYLOAD_BITS]


def parity_errors(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> list[int]:
    """Return the indices of the 9-bit frames whose sum is odd.

    One flipped bit in a frame is always noticed, two are not.

    Raises:
        BitFormatError: An element is not a bit, or the last frame is not whole.
    """
    return _odd_frames(_whole_frames(as_bits(bits), parity=True))


def enforce_parity(
    bits: Tensor | npt.NDArray[Any] | Sequence[int],
) -> tuple[UInt8[Tensor, "bit"], int]:
    """Recompute every frame's parity bit from its payload.

    Parity cannot say which bit is wrong, so the payload is left as it is and only the parity bit changes.

    Returns:
        The repaired bits and the number of frames that were changed. The number is the report: a repair
        is never silent.

    Raises:
        BitFormatError: An element is not a bit, or the last frame is not whole.
    """
    frames = _whole_frames(as_bits(bits), parity=True)
    return add_parity(drop_parity(frames)).flatten(), len(_odd_frames(frames))


def _array_of(bits: Tensor | npt.NDArray[Any] | Sequence[int]) -> npt.NDArray[Any]:
    try:
        return bits.detach().cpu().numpy() if isinstance(bits, Tensor) else np.array(bits)
    except (TypeError, ValueError) as error:
        raise BitFormatError(f"bits are not a row of numbers ({error}); pass each as 0 or 1.") from error


def _check(bits: npt.NDArray[Any]) -> None:
    wrong = (bits != 0) & (bits != 1)
    if wrong.any():
        where = int(wrong.argmax())
        raise BitFormatError(f"element {where} is {bits.flat[where]}; a bit is 0 or 1.")


def _whole_frames(bits: UInt8[Tensor, "bit"], *, parity: bool) -> UInt8[Tensor, "byte frame"]:
    length = frame_bits(parity)
    left_over = bits.numel() % length
    if left_over:
        raise BitFormatError(
            f"{bits.numel()} bits are not whole frames of {length}: {left_over} left over; "
            f"cut to {bits.numel() - left_over} bits or supply {length - left_over} more."
        )
    return bits.reshape(-1, length)


def _parity_bit(bits: UInt8[Tensor, "*batch width"]) -> UInt8[Tensor, "*batch 1"]:
    return (bits.sum(dim=-1, keepdim=True) % 2).to(torch.uint8)


def _odd_frames(frames: UInt8[Tensor, "byte 9"]) -> list[int]:
    odd: list[int] = _parity_bit(frames)[:, 0].nonzero().flatten().tolist()
    return odd
