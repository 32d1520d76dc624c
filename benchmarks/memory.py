"""What does training take, and what does taking less cost? Prints tables, writes them to results/.

1. What the backward pass keeps. One shape at several depths: BitLM in its three memory modes, and the same
   blocks as a plain residual transformer, without and with torch's checkpointing. Kept bytes are counted:
   every distinct storage autograd saves, weights excluded. Steps are timed in turns, in processor time, and
   the fastest counts.
2. What the process takes at its peak, beyond weights, gradients and the optimizer's state, at several depths.
3. How deep a model trains in 2 GB, beside Hugging Face's GPT-2 of the same shape, all under the same AdamW.

`python -m benchmarks.memory`; parts 2 and 3 start processes, and 3 needs benchmarks/requirements.txt.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.checkpoint import checkpoint

from benchmarks.peak_memory import BITLM, GPT2, Depth, Peak, Training, peak, trainable_depth
from benchmarks.peers import peer
from benchmarks.record import RESULTS, keep
from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.model import BitTransformer, ModelConfig, reversibility
from bitlm.model.bit_tree import gather_paths, patch_values
from bitlm.model.layer_trial import fastest_passes_s, kept_storages
from bitlm.model.trunk import Block
from bitlm.randomness import generator

MEGABYTE = 2**20
DROPOUT = 0.1
DROPOUT_SEED = 1
LIMIT_BYTES = 2 * 10**9

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
    """One line of the first table; a ratio is to the plain transformer of the same depth."""

    model: str
    layers: int
    parameters: int
    kept_bytes: int
    kept_ratio: float
    step_ms: float | None
    step_ratio: float | None


@dataclass(frozen=True)
class Exactness:
    """How exact recomputing is at one depth, dropout on; see `bitlm.reversibility`."""

    layers: int
    inversion_error: float
    gradient_agreement: float


Tables = dict[str, Sequence[Row] | Sequence[Exactness] | Sequence[Peak] | Sequence[Depth]]


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
    """Return the models of one depth, by name; plain first, which the ratios are to."""
    store = model_config(layers, options, memory="store")
    ours = {
        name: BitTransformer(model_config(layers, options, memory=name.removeprefix("BitLM ")))
        for name in BITLM
    }
    return {
        "plain transformer": PlainTransformer(store, checkpointed=False),
        "plain, checkpointed": PlainTransformer(store, checkpointed=True),
        **ours,
    }


def bit_loss(model: nn.Module, bits: UInt8[Tensor, "batch bit"]) -> Float[Tensor, ""]:
    """Return the cross-entropy in nats per bit."""
    output = model(bits)
    logits = output if isinstance(output, Tensor) else output.logits
    return binary_cross_entropy_with_logits(logits, bits.float())


def kept_bytes(model: nn.Module, loss: Loss) -> int:
    """Return the bytes kept between forward and backward, weights excluded."""
    with kept_storages(model) as storages:
        kept_for = loss()
    assert kept_for.requires_grad
    return sum(storages.values())


def measure(bits: UInt8[Tensor, "batch bit"], layers: int, options: argparse.Namespace) -> list[Row]:
    """Return one depth's rows."""
    models = contenders(layers, options)
    losses = {name: partial(bit_loss, model, bits) for name, model in models.items()}
    kept = {name: kept_bytes(model, losses[name]) for name, model in models.items()}
    times: dict[str, float] = {}
    if layers <= options.timed_up_to:
        steps = {name: partial(_pass, loss) for name, loss in losses.items()}
        times = fastest_passes_s(steps, budget_s=inf, clock=time.process_time)
    plain = next(iter(models))
    return [
        Row(
            model=name,
            layers=layers,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            kept_bytes=kept[name],
            kept_ratio=kept[name] / kept[plain],
            step_ms=1000 * times[name] if times else None,
            step_ratio=times[name] / times[plain] if times else None,
        )
        for name, model in models.items()
    ]


def _pass(loss: Loss) -> None:
    loss().backward()  # type: ignore[no-untyped-call] # torch's


def exactness(bits: UInt8[Tensor, "batch bit"], layers: int, options: argparse.Namespace) -> Exactness:
    """Measure one depth, dropout on."""
    model = BitTransformer(model_config(layers, options, memory="recompute", dropout=DROPOUT)).train()
    found = reversibility(model, bits, dropout_seed=DROPOUT_SEED)
    return Exactness(layers, **asdict(found))


def kept_and_exact(options: argparse.Namespace) -> tuple[list[Row], list[Exactness]]:
    """Do part 1."""
    batch = windows(Corpus.embedded().train, options.positions, options.rows, generator(0, 0, "batch"))
    bits = encode_frames(batch, parity=False)
    print(f"{options.rows} x {options.positions} positions, width {options.width}, one thread")
    print(f"{'layers':>6}  {'model':20}{'kept MB':>9}{'ratio':>8}{'step ms':>9}{'ratio':>7}")
    rows: list[Row] = []
    exact: list[Exactness] = []
    for layers in options.layers:
        made = measure(bits, layers, options)
        _print_rows(made)
        rows += made
        exact.append(exactness(bits[:1], layers, options))
    for line in exact:
        print(
            f"{line.layers} layers, dropout {DROPOUT}: inversion error {line.inversion_error}, "
            f"gradients apart by {line.gradient_agreement}"
        )
    return rows, exact


def peaks(options: argparse.Namespace) -> list[Peak]:
    """Do part 2."""
    print(f"\n{options.peak_rows} x {options.positions} positions, one process each")
    print(f"{'layers':>6}  {'model':20}{'peak MB':>9}{'of it state':>13}{'beyond':>8}")
    found = []
    for layers in options.layers:
        line = peak(Training("BitLM recompute", layers, options.peak_rows, options.positions, options.width))
        print(
            f"{layers:6}  {line.model:20}{line.peak_bytes / MEGABYTE:9.1f}"
            f"{line.state_bytes / MEGABYTE:13.1f}{line.beyond_bytes / MEGABYTE:8.1f}",
            flush=True,
        )
        found.append(line)
    beyond = [line.beyond_bytes for line in found]
    print(f"beyond the state, greatest to least: {max(beyond) / min(beyond):.3f}")
    return found


def depths(options: argparse.Namespace) -> list[Depth]:
    """Do part 3."""
    print(f"\nlayers that train in {LIMIT_BYTES / 1e9:g} GB, at {options.depth_rows} x {options.positions}")
    found = []
    for model in (*GPT2, "BitLM recompute"):
        line = trainable_depth(
            Training(model, 0, options.depth_rows, options.positions, options.width), LIMIT_BYTES
        )
        found.append(line)
        ratio = line.layers / found[0].layers
        print(
            f"{model:20}{line.layers:6}{line.taken_bytes / MEGABYTE:10.1f} MB{ratio:8.1f} x GPT-2", flush=True
        )
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--positions", type=int, default=512, help="bytes in a sequence")
    parser.add_argument("--rows", type=int, default=8, help="sequences in a batch, part 1")
    parser.add_argument("--peak-rows", type=int, default=16, help="sequences in a batch, part 2")
    parser.add_argument("--depth-rows", type=int, default=4, help="sequences in a batch, part 3")
    parser.add_argument("--timed-up-to", type=int, default=4, help="layers up to which steps are timed")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    peer("transformers")
    torch.set_num_threads(1)
    load = os.getloadavg()
    rows, exact = kept_and_exact(options)
    tables: Tables = {"rows": rows, "exactness": exact, "peaks": peaks(options), "depths": depths(options)}
    _write(options, tables, load)


def _print_rows(rows: Sequence[Row]) -> None:
    for row in rows:
        print(
            f"{row.layers:6}  {row.model:20}{row.kept_bytes / MEGABYTE:9.1f}{row.kept_ratio:8.3f}"
            + (f"{row.step_ms:9.0f}{row.step_ratio:7.2f}" if row.step_ms and row.step_ratio else ""),
            flush=True,
        )


def _write(
    options: argparse.Namespace,
    tables: Tables,
    load: tuple[float, float, float],
) -> None:
    """Write all with the machine and how busy it was: above 1 it was shared, and the times suffered."""
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    keep(
        options.output,
        "memory",
        by=__file__,
        load_average_before=load,
        transformers=peer("transformers").__version__,
        settings=settings,
        **{name: [asdict(line) for line in table] for name, table in tables.items()},
    )


if __name__ == "__main__":
    main()
