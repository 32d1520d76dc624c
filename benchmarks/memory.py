"""What does the backward pass keep, and what does keeping less cost? Prints a table, writes it to results/.

One shape at several depths, four ways: BitLM recomputing and storing, and the same blocks as a plain residual
transformer, without and with torch's checkpointing. Kept bytes are counted, not read off the process's size:
every distinct storage autograd saves, weights excluded. `python -m benchmarks.memory`
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.checkpoint import checkpoint

from benchmarks.machine import machine
from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.bit_tree import gather_paths, patch_values
from bitlm.model.grid import round_to_grid
from bitlm.model.trunk import Block
from bitlm.randomness import generator

MEGABYTE = 2**20
DROPOUT = 0.1
DROPOUT_SEED = 1

Loss = Callable[[], Float[Tensor, ""]]


class PlainTransformer(nn.Module):
    """The same embedding, blocks and head with one ordinary residual stream."""

    def __init__(self, config: ModelConfig, *, checkpointed: bool) -> None:
        super().__init__()
        self.parts = BitTransformer(config)
        self.checkpointed = checkpointed

    def forward(self, bits: UInt8[Tensor, "batch bit"]) -> Float[Tensor, "batch bit"]:
        """Return the logit of each bit."""
        parts = self.parts
        values = patch_values(bits.reshape(bits.shape[0], -1, parts.config.patch_bits))
        hidden = parts.embedding(values)
        for block in parts.trunk.typed_blocks:
            run = partial(self._run, block)
            hidden = checkpoint(run, hidden, use_reentrant=False) if self.checkpointed else run(hidden)
        nodes = parts.head(parts.trunk.norm(hidden))
        return gather_paths(nodes, values, parts.config.patch_bits).flatten(1)

    def _run(
        self, block: Block, hidden: Float[Tensor, "batch position width"]
    ) -> Float[Tensor, "batch position width"]:
        hidden = hidden + block.attention(hidden, self.parts.trunk.turns[: hidden.shape[1]])
        summed: Tensor = hidden + block.feedforward(hidden)
        return summed


@dataclass(frozen=True)
class Row:
    """One line of the table; a ratio is to the plain transformer of the same depth."""

    model: str
    layers: int
    parameters: int
    kept_bytes: int
    kept_ratio: float
    step_ms: float
    step_ratio: float


@dataclass(frozen=True)
class Exactness:
    """Whether recomputing is exact at one depth, dropout on.

    Attributes:
        layers: The depth.
        inversion_error: Greatest difference between the streams given and those inverted back.
        gradients_equal: Whether every gradient is bitwise that of storing.
    """

    layers: int
    inversion_error: float
    gradients_equal: bool


def model_config(layers: int, options: argparse.Namespace, *, memory: str, dropout: float = 0) -> ModelConfig:
    """Return the benchmark's shape at one depth."""
    return ModelConfig(
        d_model=options.width,
        dim_feedforward=4 * options.width,
        num_layers=layers,
        max_seq_len=8 * options.positions,
        memory=memory,
        dropout=dropout,
    )


def contenders(layers: int, options: argparse.Namespace) -> dict[str, nn.Module]:
    """Return the four models of one depth, by name; plain first, which the ratios are to."""
    store = model_config(layers, options, memory="store")
    return {
        "plain transformer": PlainTransformer(store, checkpointed=False),
        "plain, checkpointed": PlainTransformer(store, checkpointed=True),
        "BitLM store": BitTransformer(store),
        "BitLM recompute": BitTransformer(model_config(layers, options, memory="recompute")),
    }


def bit_loss(model: nn.Module, bits: UInt8[Tensor, "batch bit"]) -> Float[Tensor, ""]:
    """Return the cross-entropy in nats per bit."""
    output = model(bits)
    logits = output if isinstance(output, Tensor) else output.logits
    return binary_cross_entropy_with_logits(logits, bits.float())


def kept_bytes(model: nn.Module, loss: Loss) -> int:
    """Return the bytes kept between forward and backward, weights excluded."""
    with _kept_storages() as storages:
        kept_for = loss()
    assert kept_for.requires_grad
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(size for address, size in storages.items() if address not in weights)


def step_ms(loss: Loss, repeats: int) -> float:
    """Return the median processor time of a forward and a backward pass."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        loss().backward()  # type: ignore[no-untyped-call] # torch's
        times.append(time.process_time() - start)
    return 1000 * median(times)


def measure(bits: UInt8[Tensor, "batch bit"], layers: int, options: argparse.Namespace) -> list[Row]:
    """Return one depth's rows."""
    rows: list[Row] = []
    for name, model in contenders(layers, options).items():
        loss = partial(bit_loss, model, bits)
        kept, milliseconds = kept_bytes(model, loss), step_ms(loss, options.repeats)
        plain = rows[0] if rows else None
        rows.append(
            Row(
                model=name,
                layers=layers,
                parameters=sum(parameter.numel() for parameter in model.parameters()),
                kept_bytes=kept,
                kept_ratio=kept / plain.kept_bytes if plain else 1.0,
                step_ms=milliseconds,
                step_ratio=milliseconds / plain.step_ms if plain else 1.0,
            )
        )
    return rows


def exactness(bits: UInt8[Tensor, "batch bit"], layers: int, options: argparse.Namespace) -> Exactness:
    """Invert a whole trunk and compare both memory modes' gradients, dropout on."""
    found = []
    for memory in ("store", "recompute"):
        model = BitTransformer(model_config(layers, options, memory=memory, dropout=DROPOUT)).train()
        output = model(bits, dropout_seed=DROPOUT_SEED)
        binary_cross_entropy_with_logits(output.logits, bits.float()).backward()  # type: ignore[no-untyped-call]
        found.append([parameter.grad for parameter in model.parameters()])
    equal = all(
        stored is not None and recomputed is not None and torch.equal(stored, recomputed)
        for stored, recomputed in zip(*found, strict=True)
    )
    return Exactness(layers, inversion_error(model, bits), equal)


@torch.no_grad()
def inversion_error(model: BitTransformer, bits: UInt8[Tensor, "batch bit"]) -> float:
    """Return the greatest difference between the input of the trunk and its inverted output."""
    start = round_to_grid(model.embedding(patch_values(bits.reshape(bits.shape[0], -1, 8))))
    layers = model.trunk.reversible_layers(start.shape[1], DROPOUT_SEED)
    first, second = start, start
    for layer in layers:
        first, second = layer.forward(first, second)
    for layer in reversed(layers):
        first, second = layer.invert(first, second)
    return float(torch.maximum((first - start).abs(), (second - start).abs()).max())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rows", type=int, default=8, help="sequences in a batch")
    parser.add_argument("--positions", type=int, default=512, help="bytes in a sequence")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes, of which the median counts")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    torch.set_num_threads(1)
    batch = windows(Corpus.embedded().train, options.positions, options.rows, generator(0, 0, "batch"))
    bits = encode_frames(batch, parity=False)
    print(f"{options.rows} x {options.positions} positions, width {options.width}, one thread")
    print(f"{'layers':>6}  {'model':20}{'kept MB':>9}{'ratio':>8}{'step ms':>9}{'ratio':>7}")
    rows: list[Row] = []
    exact: list[Exactness] = []
    for layers in options.layers:
        rows += measure(bits, layers, options)
        _print_rows(rows[-4:])
        exact.append(exactness(bits[: max(1, options.rows // 4)], layers, options))
    for line in exact:
        print(
            f"{line.layers} layers, dropout {DROPOUT}: inversion error {line.inversion_error}, "
            f"gradients bitwise equal: {line.gradients_equal}"
        )
    _write(options, rows, exact)


@contextmanager
def _kept_storages() -> Iterator[dict[int, int]]:
    """Yield a table, address to size, of what autograd saves of forward passes in this context."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield storages


def _print_rows(rows: Sequence[Row]) -> None:
    for row in rows:
        print(
            f"{row.layers:6}  {row.model:20}{row.kept_bytes / MEGABYTE:9.1f}{row.kept_ratio:8.3f}"
            f"{row.step_ms:9.0f}{row.step_ratio:7.2f}",
            flush=True,
        )


def _write(options: argparse.Namespace, rows: Sequence[Row], exact: Sequence[Exactness]) -> None:
    now = datetime.now(UTC)
    settings = {name: getattr(options, name) for name in ("layers", "width", "rows", "positions", "repeats")}
    record = {
        "benchmark": "memory",
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": settings,
        "rows": [asdict(row) for row in rows],
        "exactness": [asdict(line) for line in exact],
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{now:%Y-%m-%d}-memory.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
