"""The counts beside a decoder: what follows what was read, one patch after the other."""

import numpy as np
import torch
from jaxtyping import Float, Integer, Num
from torch import Tensor

from bitlm.bits import PAYLOAD_BITS
from bitlm.context_index import ContextIndex, Counts
from bitlm.model.config import ModelConfig
from bitlm.model.mixing import Mixer
from bitlm.model.rows import ROWS_TOGETHER, rounded_up


class ContextReader:
    """Where some texts, decoded side by side, stand in the counts of the training text.

    Args:
        mixer: Weighs the counts.
        index: Has them.
        config: The model's.
        batch: How many texts.
    """

    def __init__(self, mixer: Mixer, index: ContextIndex, config: ModelConfig, batch: int) -> None:
        self._mixer = mixer
        self._index = index
        self._patch_bits = config.patch_bits
        self._cycle = PAYLOAD_BITS if config.patch_bits == PAYLOAD_BITS else config.frame_bits
        self._stretches = index.begin(batch, mixer.order + 1)
        self._bits_read = 0
        self._value = np.zeros(batch, dtype=np.uint8)

    def read(self, patch: Integer[Tensor, "batch patch_bits"]) -> None:
        """Take in the bits of one patch."""
        for bit in patch.cpu().numpy().T.astype(bool):
            self._read_bit(bit)

    def read_history(self, patches: Integer[Tensor, "batch patch patch_bits"]) -> None:
        """Take in a text from its beginning; only its end can matter."""
        frame_patches = self._cycle // self._patch_bits
        for patch in patches[:, -self._mixer.order * frame_patches or patches.shape[1] :].unbind(1):
            self.read(patch)

    def added(self) -> Float[Tensor, "batch node"]:
        """Return what the counts add to the logits of the next patch's nodes."""
        if self._bits_read == PAYLOAD_BITS:  # the parity bit comes next, of which they say nothing
            return self._mixer.project_out.weight.new_zeros(len(self._value), 1)
        levels = range(self._bits_read, self._bits_read + self._patch_bits)
        zeros, ones = self._index.node_counts(self._stretches, levels)
        depths = [level for level in levels for _ in range(1 << (level - levels.start))]
        counts = Counts(self._together(zeros)[:, None], self._together(ones)[:, None])
        return self._mixer(counts, torch.tensor(depths))[: len(self._value), 0]  # type: ignore[no-any-return]

    def _together(self, counts: Num[np.ndarray, "batch node order"]) -> Num[np.ndarray, "row node order"]:
        """Add rows of zeros where a row is one node: the mixer's products need a multiple of 4."""
        surplus = rounded_up(len(counts), ROWS_TOGETHER) - len(counts) if self._patch_bits == 1 else 0
        return np.pad(counts, ((0, surplus), (0, 0), (0, 0))) if surplus else counts

    def _read_bit(self, bit: np.ndarray) -> None:
        if self._bits_read < PAYLOAD_BITS:
            self._stretches = self._index.descend(self._stretches, self._bits_read, bit)
            self._value = self._value << 1 | bit
        self._bits_read += 1
        if self._bits_read == PAYLOAD_BITS:
            self._stretches = self._index.lengthen(self._stretches, self._value)
            self._value = np.zeros_like(self._value)
        self._bits_read %= self._cycle
