"""What does a long context cost, with full attention and in chunks? Prints a table, writes it to results/.

One step, forward and backward, per length, each in a fresh process: the bytes autograd keeps, the peak of the
process's memory above what it held before the step, and processor time. Torch's attention on CPU never holds
the whole map either, so full attention is expected to cost time, not memory. Then: chunks that cover
everything against full attention, and a few updates at 18,000 bits. `python -m benchmarks.long_context`
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Complex64, Float, UInt8
from torch import Tensor
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from benchmarks.memory import MEGABYTE, bit_loss, kept_bytes
from benchmarks.record import RESULTS, keep
from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.attention import attend
from bitlm.model.positions import rotate, rotations
from bitlm.model.visibility import Visibility
from bitlm.randomness import generator
from bitlm.training import Trainer, TrainingConfig, bits_per_byte, learning_rate_factor

ATTENTION = ("full", "chunked")
COVERED_POSITIONS = 2250


@dataclass(frozen=True)
class Row:
    """One step.

    Attributes:
        kept_bytes: What autograd keeps between forward and backward, weights excluded.
        peak_bytes: Greatest resident memory during the step, less that before it.
        step_s: Processor time of forward and backward.
    """

    attention: str
    patch_bits: int
    length_bits: int
    positions: int
    kept_bytes: int
    peak_bytes: int
    step_s: float


@dataclass(frozen=True)
class Training:
    """A few updates on one window each.

    Attributes:
        losses: Of each step, in bits per byte.
        step_s: Mean processor time of a step.
    """

    length_bits: int
    patch_bits: int
    losses: list[float]
    step_s: float


def model_config(
    attention: str, patch_bits: int, length_bits: int, options: argparse.Namespace, memory: str
) -> ModelConfig:
    """Return the benchmark's shape at one length."""
    chunks = {"chunk_size": options.chunk, "overlap": options.overlap} if attention == "chunked" else {}
    return ModelConfig(
        d_model=options.width,
        nhead=2,
        num_layers=options.layers,
        dim_feedforward=4 * options.width,
        max_seq_len=length_bits,
        patch_bits=patch_bits,
        memory=memory,
        **chunks,
    )


def text_bits(config: ModelConfig, step: int) -> UInt8[Tensor, "batch bit"]:
    """Return one window of the embedded text."""
    batch = windows(Corpus.embedded().train, config.window_bytes, 1, generator(0, step, "batch"))
    return encode_frames(batch, parity=False)


def measure(attention: str, patch_bits: int, length_bits: int, options: argparse.Namespace) -> Row:
    """Measure one step in this process, which should have done nothing else."""
    config = model_config(attention, patch_bits, length_bits, options, "store")
    model, bits = BitTransformer(config), text_bits(config, 0)
    _step(BitTransformer(model_config(attention, patch_bits, 512, options, "store")), bits[:, :512])
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak begins anew
    before = _memory_bytes("VmRSS")
    start = time.process_time()
    _step(model, bits)
    step_s = time.process_time() - start
    peak = _memory_bytes("VmHWM") - before
    kept = kept_bytes(model, partial(bit_loss, model, bits))
    return Row(attention, patch_bits, length_bits, config.positions, kept, peak, step_s)


def measure_apart(attention: str, patch_bits: int, length_bits: int, options: argparse.Namespace) -> Row:
    """Measure one step in a process of its own."""
    shape = [f"--{name}={getattr(options, name)}" for name in ("width", "layers", "chunk", "overlap")]
    one = ["--one", attention, str(patch_bits), str(length_bits)]
    command = [sys.executable, "-m", "benchmarks.long_context", *shape, *one]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Row(**json.loads(printed))


def difference_where_all_is_seen() -> dict[str, float]:
    """Return the greatest differences between chunks that cover everything and full attention."""
    parts = torch.randn(1, COVERED_POSITIONS, 3, 2, 32, generator=torch.Generator().manual_seed(0))
    full = _output_and_gradients(_by_torch, parts)
    found = {}
    for chunk, overlap in ((COVERED_POSITIONS, 0), (500, 2000)):
        visibility = Visibility(chunk, overlap)
        ours = _output_and_gradients(partial(attend, visibility=visibility), parts)
        off = [float((one - other).abs().max()) for one, other in zip(ours, full, strict=True)]
        found[f"chunk {chunk}, overlap {overlap}: output"] = off[0]
        found[f"chunk {chunk}, overlap {overlap}: gradients"] = off[1]
    return found


def _by_torch(
    parts: Float[Tensor, "batch position 3 head channel"],
    gain: Float[Tensor, "channel"],
    turns: Complex64[Tensor, "position pair"],
) -> Float[Tensor, "batch position head channel"]:
    """Return full attention by torch's own functions."""
    normed = layer_norm(parts[:, :, :2], gain.shape, gain)
    query, key = rotate(normed, turns).permute(2, 0, 3, 1, 4)
    value = parts[:, :, 2].transpose(1, 2)
    return scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2)


def train(options: argparse.Namespace) -> Training:
    """Do a few updates at the trained length, one bit a position, recomputing activations."""
    config = model_config("chunked", 1, options.trained_length, options, "recompute")
    trainer, settings = Trainer(BitTransformer(config), TrainingConfig()), TrainingConfig()
    losses = []
    start = time.process_time()
    for step in range(options.steps):
        factor = learning_rate_factor(step, settings.warmup_steps)
        result = trainer.update(text_bits(config, step), rate_factor=factor, dropout_seed=0)
        losses.append(bits_per_byte(result.loss))
    step_s = (time.process_time() - start) / options.steps
    return Training(options.trained_length, 1, losses, step_s)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2250, 4500, 9000, 18000, 36000])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=1024, help="bits of a chunk")
    parser.add_argument("--overlap", type=int, default=1024, help="bits of the overlap")
    parser.add_argument("--trained-length", type=int, default=18000, help="bits of a window in training")
    parser.add_argument("--steps", type=int, default=30, help="updates of it")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()

    torch.set_num_threads(1)
    if options.one:
        attention, patch_bits, length = options.one
        print(json.dumps(asdict(measure(attention, int(patch_bits), int(length), options))))
        return
    print(f"{options.layers} layers, width {options.width}, one row, chunks of {options.chunk} bits")
    print(f"overlapping by {options.overlap}, one thread; x is to the length before")
    print(
        f"{'':9}{'bits':>6}{'positions':>10}{'kept MB':>9}{'x':>5}{'peak MB':>9}{'x':>5}{'step s':>8}{'x':>6}"
    )
    rows: list[Row] = []
    for patch_bits in (8, 1):
        for attention in ATTENTION:
            rows += _measure_lengths(attention, patch_bits, options)
    covered = difference_where_all_is_seen()
    for name, off in covered.items():
        print(f"{name} differs from full attention by at most {off:.1e}")
    trained = train(options)
    print(
        f"{options.steps} updates at {options.trained_length} bits, one bit a position: "
        f"{trained.losses[0]:.2f} to {trained.losses[-1]:.2f} bits per byte, {trained.step_s:.1f} s each"
    )
    _write(options, rows, covered, trained)


def _step(model: BitTransformer, bits: UInt8[Tensor, "batch bit"]) -> None:
    bit_loss(model, bits).backward()  # type: ignore[no-untyped-call] # torch's


def _memory_bytes(field: str) -> int:
    """Return a line of Linux's own account of this process; getrusage's would include the parent's peak."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def _output_and_gradients(
    attention: Callable[..., Tensor], parts: Float[Tensor, "batch position 3 head channel"]
) -> list[Float[Tensor, "..."]]:
    leaf, channels = parts.clone().requires_grad_(), parts.shape[-1]
    output = attention(leaf, torch.ones(channels), rotations(parts.shape[1], channels))
    return [output.detach(), *torch.autograd.grad(output.square().sum(), [leaf])]


def _measure_lengths(attention: str, patch_bits: int, options: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    for length in options.lengths:
        row = measure_apart(attention, patch_bits, length, options)
        last = rows[-1] if rows else row
        print(
            f"{attention:9}{length:6}{row.positions:10}"
            f"{row.kept_bytes / MEGABYTE:9.1f}{row.kept_bytes / last.kept_bytes:5.1f}"
            f"{row.peak_bytes / MEGABYTE:9.1f}{row.peak_bytes / last.peak_bytes:5.1f}"
            f"{row.step_s:8.2f}{row.step_s / last.step_s:6.1f}",
            flush=True,
        )
        rows.append(row)
    return rows


def _write(
    options: argparse.Namespace, rows: Sequence[Row], covered: dict[str, float], trained: Training
) -> None:
    names = ("lengths", "width", "layers", "chunk", "overlap", "trained_length", "steps")
    keep(
        options.output,
        "long_context",
        by=__file__,
        settings={name: getattr(options, name) for name in names},
        rows=[asdict(row) for row in rows],
        difference_where_all_is_seen=covered,
        training=asdict(trained),
    )


if __name__ == "__main__":
    main()
