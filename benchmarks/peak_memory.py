"""What a training process takes at its peak, and how deep a model fits a given memory; for memory.py.

Every measurement is a process of its own. The peak is the kernel's (VmHWM), from after a warm-up on. glibc is
told to map every large block by itself and to give it back at once, so that what counts is what is held and
not what was; such a block takes whole pages, and weights are counted so. Reads /proc, so Linux only.
"""

import gc
import os
import re
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.peers import gpt2
from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import generator

KILOBYTE = 1024
HEADS = 2
MAPPED_BYTES = 2**16
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(MAPPED_BYTES), "MALLOC_TRIM_THRESHOLD_": str(MAPPED_BYTES)}
BLOCK_HEAD = 64 + 16
"""Bytes torch's alignment and glibc's own note add to a block."""

BITLM = ("BitLM store", "BitLM checkpoint", "BitLM recompute")
GPT2 = ("GPT-2", "GPT-2, checkpointed")

PROBED_DEPTHS = {"GPT-2": (2, 8)}
"""Depths from which the one that fits is reckoned; others are reckoned from DEFAULT_PROBED."""

DEFAULT_PROBED = (8, 40)
MOST_CHECKS = 3


@dataclass(frozen=True)
class Training:
    """What a process trains: a contender by name, its depth, and the batch."""

    model: str
    layers: int
    rows: int
    positions: int
    width: int


@dataclass(frozen=True)
class Peak:
    """What it took.

    Attributes:
        peak_bytes: The whole process, libraries and all.
        state_bytes: Of this the weights, their gradients and the optimizer's state, by counting blocks.
        beyond_bytes: What the training took beyond these and beyond the process before it.
    """

    model: str
    layers: int
    peak_bytes: int
    state_bytes: int
    beyond_bytes: int

    @property
    def taken_bytes(self) -> int:
        """What the training took, the libraries' own memory left out: that differs between contenders."""
        return self.state_bytes + self.beyond_bytes


@dataclass(frozen=True)
class Depth:
    """The depth that fits a limit, found by reckoning and then run; the last two are that run's."""

    model: str
    layers: int
    limit_bytes: int
    taken_bytes: int
    peak_bytes: int


def peak(training: Training) -> Peak:
    """Train in a fresh process and return what it took."""
    before = {name: os.environ.get(name) for name in MALLOC}
    os.environ.update(MALLOC)
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as apart:
            return apart.submit(_measure, training).result()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def trainable_depth(training: Training, limit_bytes: int) -> Depth:
    """Return how many layers of a contender train within a limit; `training.layers` is ignored."""
    shallow, deep = (
        peak(replace(training, layers=layers)) for layers in PROBED_DEPTHS.get(training.model, DEFAULT_PROBED)
    )
    per_layer = (deep.taken_bytes - shallow.taken_bytes) / (deep.layers - shallow.layers)
    layers = shallow.layers + int((limit_bytes - shallow.taken_bytes) / per_layer)
    for _ in range(MOST_CHECKS):
        checked = peak(replace(training, layers=layers))
        if checked.taken_bytes <= limit_bytes:
            return Depth(training.model, layers, limit_bytes, checked.taken_bytes, checked.peak_bytes)
        layers -= 1 + int((checked.taken_bytes - limit_bytes) / per_layer)
    raise SystemExit(f"{training.model}: {layers} layers were reckoned to fit, and did not.")


def _measure(training: Training) -> Peak:
    torch.set_num_threads(1)
    _train(replace(training, layers=1))
    gc.collect()
    before = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    state = _train(training)
    highest = _status_bytes("VmHWM")
    return Peak(training.model, training.layers, highest, state, highest - before - state)


def _train(training: Training) -> int:
    """Do an update on one row, so that the optimizer has its state, and one on the batch; count the state."""
    model, loss = _contender(training)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for rows in (1, training.rows):
        optimizer.zero_grad()
        loss(rows).backward()  # type: ignore[no-untyped-call] # torch's
        optimizer.step()
    weights = list(model.parameters())
    state = [value for values in optimizer.state.values() for value in values.values()]
    return sum(_bytes(tensor) for tensor in (*weights, *(weight.grad for weight in weights), *state))


def _contender(training: Training) -> tuple[nn.Module, Callable[[int], Tensor]]:
    """Return a model and its loss on so many rows."""
    draw = generator(0, 0, "batch")
    text = windows(Corpus.embedded().train, training.positions, training.rows, draw)
    config = ModelConfig(
        d_model=training.width,
        nhead=HEADS,
        num_layers=training.layers,
        dim_feedforward=4 * training.width,
        max_seq_len=8 * training.positions,
    )
    if training.model in GPT2:
        theirs = gpt2(config).train()
        if training.model == "GPT-2, checkpointed":
            theirs.activation_checkpointing_enable()  # type: ignore[operator] # the peer's
        return theirs, partial(_byte_loss, theirs, text.long())
    ours = BitTransformer(replace(config, memory=training.model.removeprefix("BitLM ")))
    return ours, partial(_bit_loss, ours, encode_frames(text, parity=False))


def _byte_loss(model: nn.Module, text: Tensor, rows: int) -> Tensor:
    loss: Tensor = model(input_ids=text[:rows], labels=text[:rows]).loss
    return loss


def _bit_loss(model: BitTransformer, bits: Tensor, rows: int) -> Tensor:
    return binary_cross_entropy_with_logits(model(bits[:rows]).logits, bits[:rows].float())


def _bytes(tensor: Tensor | None) -> int:
    """Return what a tensor's block takes."""
    if tensor is None:
        return 0
    count = tensor.untyped_storage().nbytes()
    if count < MAPPED_BYTES:
        return count
    page = resource.getpagesize()
    return -(-(count + BLOCK_HEAD) // page) * page


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, "Linux tells it"
    return int(found[1]) * KILOBYTE
