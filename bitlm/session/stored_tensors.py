"""Tensors whose rows lie in several files, of which nobody needs to hold all at once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from math import prod
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

ALIGNMENT = 8
"""A safetensors header is filled up with spaces to a multiple of so many bytes."""


class StoredTensors(Mapping[str, Tensor]):
    """Tensors of 32-bit floats by name, each of which is read, and made whole, when it is asked for.

    Args:
        paths: Safetensors files, in the order in which they have the rows of a tensor.
        prefix: Begins the names that are meant; they go by what follows it.
    """

    def __init__(self, paths: Sequence[Path], prefix: str) -> None:
        self._prefix = prefix
        self._holders: dict[str, list[safe_open]] = {}
        for path in paths:
            file = safe_open(path, framework="pt")
            for name in file.keys():  # type: ignore[no-untyped-call] # noqa: SIM118 - untyped, and no mapping
                if name.startswith(prefix):
                    self._holders.setdefault(name.removeprefix(prefix), []).append(file)

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor whole."""
        pieces = list(self._pieces(name))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._holders)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._holders)

    def sha256(self) -> str:
        """Return the SHA-256 of the one file that safetensors makes of them, hex."""
        outlines, size = {}, 0
        for name in sorted(self):
            shape = self._shape(name)
            outlines[name] = {"dtype": "F32", "shape": shape, "data_offsets": [size, size + 4 * prod(shape)]}
            size += 4 * prod(shape)
        header = json.dumps(outlines, separators=(",", ":")).encode()
        header += b" " * (-len(header) % ALIGNMENT)
        digest = sha256(len(header).to_bytes(8, "little") + header)
        for name in sorted(self):
            for piece in self._pieces(name):
                assert piece.dtype == torch.float32, name
                digest.update(piece.numpy().tobytes())
        return digest.hexdigest()

    def _pieces(self, name: str) -> Iterator[Tensor]:
        for file in self._holders[name]:
            piece: Tensor = file.get_tensor(self._prefix + name)  # type: ignore[no-untyped-call] # untyped there
            yield piece

    def _shape(self, name: str) -> list[int]:
        first, *others = (
            file.get_slice(self._prefix + name).get_shape()  # type: ignore[no-untyped-call] # untyped there
            for file in self._holders[name]
        )
        return [first[0] + sum(shape[0] for shape in others), *first[1:]] if first else []
