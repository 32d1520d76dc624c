"""Incremental decoding: the next positions, against the keys and values of the earlier ones.

A copy of the weights, laid out for compiled functions, with the mathematics of `Trunk.forward` (decision 8):
at one position a library's call costs more than what it computes. Dropout is never on here.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from bitlm.errors import BitFormatError, GridOverflowError
from bitlm.model.config import ModelConfig
from bitlm.model.context_reader import ContextPath, ContextReader, plain_array
from bitlm.model.embedding import PatchEmbedding
from bitlm.model.grid import LIMIT
from bitlm.model.layer_kernels import LANES, Ends, Halting, Memory, Turns, Weights, decode
from bitlm.model.reversible import check_streams
from bitlm.model.trunk import Block, Trunk

LIMIT_BITS = int(np.float32(LIMIT).view(np.int32))


class DecodingCache:
    """What decoding keeps of one window of some texts side by side.

    It has the weights as they were when it was made, whatever becomes of the model's.

    Args:
        embedding: The model's.
        trunk: The model's.
        head: The model's.
        batch: How many texts.
        reader: Makes what reads the counts that are mixed in, from a text's beginning; None without mixing.

    Attributes:
        batch: How many texts.
        positions: Of a window, the start's included.
        length: Positions seen.
        layers_run: How many layers were run by how many positions, all told, since the cache was made.
    """

    def __init__(
        self,
        embedding: PatchEmbedding,
        trunk: Trunk,
        head: nn.Linear,
        batch: int,
        reader: Callable[[], ContextReader] | None,
    ) -> None:
        self.batch, self.positions, self.length = batch, trunk.config.positions, 0
        self.layers_run = 0
        blocks, heads = trunk.typed_blocks, trunk.config.nhead
        table = torch.cat([embedding.table(), embedding.start[None]])
        places = embedding.place(0, self.positions)
        self._lookups = embedding.lookups
        vectors = torch.cat([table[:0], *(lookup.vectors.weight for lookup in self._lookups)])
        ends = (table, vectors, places, trunk.norm.weight, head.weight.T, head.bias)
        self._ends = Ends(*(plain_array(part) for part in ends))
        self._weights = _weights(blocks)
        self._halting = _halting(blocks, trunk.config)
        channels = trunk.config.channels_per_head
        shape = (len(blocks), batch, heads)
        self._memory = Memory(
            np.zeros((*shape, -(-self.positions // LANES), channels, LANES), dtype=np.float32),
            np.zeros((*shape, self.positions, channels), dtype=np.float32),
        )
        self._turns = Turns(plain_array(trunk.turns.real), plain_array(trunk.turns.imag))
        visibility = trunk.config.visibility
        self._first_seen = np.array([visibility.first(position) for position in range(self.positions)])
        self._told = np.zeros((batch, self.positions), dtype=np.int64)
        self._new_reader = reader
        self.clear()

    def clear(self) -> None:
        """Begin another window."""
        self.length = 0
        self._reader = self._new_reader() if self._new_reader is not None else None

    def read(self, values: Int64[np.ndarray, "batch patch"]) -> Float32[np.ndarray, "batch node"]:
        """Take in the next patches, of a window's beginning possibly none; return the tree after them.

        The tree is the same to the last bit whether patches come one by one or at once, and whatever texts
        stand beside.

        Args:
            values: Each patch as a whole number, its first bit the most significant.

        Raises:
            BitFormatError: They do not fit what is left of the window, or there are none in mid-window.
            GridOverflowError: An activation left the exact range; names the layer. The cache is as it was.
        """
        logits = self._read(values)
        if self._reader is not None:
            self._reader.mix_into(logits)
        return logits

    def walk(self, values: Int64[np.ndarray, "batch patch"]) -> "Walk":
        """Take in the next patches as `read` does; return the way down the tree after them, at its root."""
        logits = self._read(values)
        return Walk(logits, self._reader.path() if self._reader is not None else None)

    def _read(self, values: Int64[np.ndarray, "batch patch"]) -> Float32[np.ndarray, "batch node"]:
        """Take in the next patches; return the tree after them, without counts.

        Args:
            values: Each patch as a whole number, its first bit the most significant.

        Raises:
            BitFormatError: They do not fit what is left of the window, or there are none in mid-window.
            GridOverflowError: An activation left the exact range; names the layer. The cache is as it was.
        """
        start = self.length
        told = values
        if start == 0:
            begin = np.full((self.batch, 1), len(self._ends.table) - 1, dtype=np.int64)
            told = np.concatenate([begin, values], axis=1)
        if told.shape[1] == 0:
            raise BitFormatError("no patch begins a window, and only that; give the last patch after it.")
        if start + told.shape[1] > self.positions:
            raise BitFormatError(
                f"the window of {self.positions} positions is full; begin another with its last half."
            )
        told = np.ascontiguousarray(told)
        weights = (self._ends, self._weights, self._halting)
        found = self._found(values, told.shape[1])
        logits, greatest, runs = decode(
            told, found, start, self._first_seen, *weights, self._memory, self._turns
        )
        if int(greatest.max()) >= LIMIT_BITS:
            check_streams(list(torch.from_numpy(greatest.view(np.float32)[:, None])))
        self.length += told.shape[1]
        self.layers_run += runs
        if self._reader is not None:
            self._reader.read(values)
        return logits

    def _found(
        self, values: Int64[np.ndarray, "batch patch"], count: int
    ) -> Int64[np.ndarray, "lookup batch position"]:
        """Return the rows looked up at so many next positions, the last of which are told these values."""
        begin = max(0, self.length - 1)
        end = begin + values.shape[1]
        self._told[:, begin:end] = values
        parts, first = [np.empty((0, *values.shape), dtype=np.int64)], 0
        for lookup in self._lookups:
            parts.append(lookup.find(self._told, begin, end) + first)
            first += len(lookup.vectors.weight)
        found = np.concatenate(parts)
        rows = np.full((len(found), self.batch, count), -1, dtype=np.int64)
        rows[:, :, count - values.shape[1] :] = found
        return rows


class Walk:
    """The way from a tree's root to a leaf, for texts side by side; counts are mixed in on the way alone.

    Args:
        logits: Of the whole trees, without counts.
        path: Has the counts; None without mixing.
    """

    def __init__(self, logits: Float32[np.ndarray, "batch node"], path: ContextPath | None) -> None:
        self._logits, self._path = logits, path
        self._nodes = np.zeros(len(logits), dtype=np.int64)

    @property
    def leaves(self) -> Int64[np.ndarray, " batch"]:
        """The patches that were gone down to, as whole numbers; only at the bottom."""
        leaves: Int64[np.ndarray, " batch"] = self._nodes - self._logits.shape[1]
        return leaves

    def logits(self) -> Float32[np.ndarray, " batch"]:
        """Return the logit of each text's next bit: to the last bit that of `DecodingCache.read`'s tree.

        Raises:
            GridOverflowError: One is not finite.
        """
        here: npt.NDArray[np.float32] = np.take_along_axis(self._logits, self._nodes[:, None], axis=1)
        if self._path is not None:
            self._path.mix_into(here)
        require_finite(here)
        return here[:, 0]

    def descend(self, bits: Bool[np.ndarray, " batch"]) -> None:
        """Go on to the node that each text's bit leads to."""
        self._nodes = 2 * self._nodes + 1 + bits
        if self._path is not None:
            self._path.descend(bits)


def require_finite(logits: npt.NDArray[np.floating]) -> None:
    """Refuse predictions that are none.

    Raises:
        GridOverflowError: One is not finite.
    """
    if not np.isfinite(logits).all():
        raise GridOverflowError(
            "the model's predictions are not finite numbers; go back to the last checkpoint."
        )


def _weights(blocks: list[Block]) -> Weights:
    """Return the layers' weights side by side."""

    def together(part: Callable[[Block], Tensor]) -> npt.NDArray[np.float32]:
        return np.stack([plain_array(part(block)) for block in blocks])

    width = blocks[0].attention.width
    return Weights(
        attention_norm=together(lambda block: block.attention.norm.weight),
        project_queries=together(lambda block: block.attention.project_in.weight[:width].T),
        project_keys_values=together(lambda block: block.attention.project_in.weight[width:].T),
        query_key_norm=together(lambda block: block.attention.query_key_norm.weight),
        project_back=together(lambda block: block.attention.project_out.weight.T),
        attention_gain=together(lambda block: block.attention.out_norm.weight),
        feedforward_norm=together(lambda block: block.feedforward.norm.weight),
        project_in=together(lambda block: block.feedforward.project_in.weight.T),
        project_out=together(lambda block: block.feedforward.project_out.weight.T),
        feedforward_gain=together(lambda block: block.feedforward.out_norm.weight),
    )


def _halting(blocks: list[Block], config: ModelConfig) -> Halting:
    units = [block.halting for block in blocks if block.halting is not None]
    weights = np.zeros((len(units), 2 * config.d_model), dtype=np.float32)
    biases = np.zeros(len(units), dtype=np.float32)
    for layer, unit in enumerate(units):
        weights[layer], biases[layer] = plain_array(unit.weight * unit.scale), plain_array(unit.bias)[0]
    return Halting(weights, biases, np.float32(config.act_threshold))
