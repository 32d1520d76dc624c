"""A text of which some bytes are given and the others are to be filled in."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from bitlm.errors import ConfigError

MOST_BYTES = 65_536


@dataclass(frozen=True)
class Template:
    """Bytes, and which of them are given.

    Attributes:
        values: Of each byte; what stands where none is given does not matter.
        given: Whether a byte is given; it is never changed.
    """

    values: UInt8[Tensor, " byte"]
    given: Bool[Tensor, " byte"]

    @property
    def stretch(self) -> range:
        """The places from the first byte that is not given to the last, given ones between them included."""
        free = (~self.given).nonzero()[:, 0].tolist()
        return range(free[0], free[-1] + 1)

    @property
    def before(self) -> bytes:
        """What is given before the first byte that is not."""
        return bytes(self.values[: self.stretch.start].tolist())

    @classmethod
    def around(cls, length: int, *, prompt: bytes = b"", suffix: bytes = b"") -> "Template":
        """Return so many bytes to fill in between a prompt and a suffix.

        Raises:
            ConfigError: There is nothing to fill in, or too much.
        """
        if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= MOST_BYTES:
            raise ConfigError("length", length, f"use a whole number of bytes from 1 to {MOST_BYTES}.")
        return cls.of_parts([prompt, length, suffix])

    @classmethod
    def of_parts(cls, parts: "list[bytes | int]") -> "Template":
        """Return given bytes and gaps, each of so many bytes, one after the other.

        Raises:
            ConfigError: A gap has no whole number of bytes, or nothing is to be filled in.
        """
        text, given = bytearray(), []
        for part in parts:
            if isinstance(part, bool) or (isinstance(part, int) and not 0 <= part <= MOST_BYTES):
                raise ConfigError("template", part, f"a gap is a whole number of bytes, up to {MOST_BYTES}.")
            gap = isinstance(part, int)
            data = bytes(part)  # of a number: so many zeros
            text += data
            given += [not gap] * len(data)
        if all(given):
            raise ConfigError("template", bytes(text), "leave at least one byte to fill in.")
        values = torch.from_numpy(np.frombuffer(bytes(text), dtype=np.uint8).copy())
        return cls(values, torch.tensor(given))
