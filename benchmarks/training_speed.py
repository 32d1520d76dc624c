"""How fast does BitLM train, beside others of the same shape? Prints a table, writes it to results/.

A step is forward, backward and optimizer, from bytes in memory to changed weights; every side predicts every
byte of the same windows and moves by the same fused AdamW, so that shapes are compared and not optimizers
(what `bitlm train` does, Muon and clipping included, is a row of its own). Steps of all sides alternate
in one process; medians count. Processor time and wall time are both given: on a machine that is not idle only
the first means anything. `python -m benchmarks.training_speed`
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from benchmarks.byte_transformer import ByteTransformer, nats_per_byte
from benchmarks.peers import PeerMissingError, gpt2, peer
from benchmarks.record import RESULTS, keep
from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.machine import keep_freed_memory
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import generator
from bitlm.training import Trainer, TrainingConfig
from bitlm.training.objective import causal_objective

LEARNING_RATE = 1e-3

Text = UInt8[Tensor, "batch byte"]
Loss = Callable[[nn.Module, Text], Float[Tensor, ""]]
Maker = Callable[[ModelConfig], nn.Module]

STORE, RECOMPUTE, MUON = "BitLM store", "BitLM recompute", "BitLM store, as trained"
BIT_SEQUENCE = "BitLM, a position a bit"
PLAIN = "plain byte softmax"
GPT2, X_TRANSFORMERS = "GPT-2", "x-transformers"
LSH, FULL = "reformer-pytorch, LSH", "reformer-pytorch, full"


@dataclass(frozen=True)
class Bar:
    """What must hold: `side` trains at least `least` times as fast as `against`."""

    side: str
    against: str
    least: float


BARS = (
    Bar(STORE, GPT2, 1.2),
    Bar(STORE, X_TRANSFORMERS, 1.0),
    Bar(RECOMPUTE, STORE, 0.75),
    Bar(RECOMPUTE, LSH, 4.0),
    Bar(RECOMPUTE, FULL, 4.0),
    Bar(STORE, BIT_SEQUENCE, 12.0),
)


@dataclass(frozen=True)
class Row:
    """One side at one thread count; a ratio is BitLM store's time to this side's, so above 1 is faster."""

    side: str
    threads: int
    parameters: int
    wall_ms: float
    cpu_ms: float
    bytes_per_s: float
    bytes_per_cpu_s: float
    wall_ratio: float
    cpu_ratio: float


@dataclass(frozen=True)
class Verdict:
    """Whether a bar is passed: by the less favourable of wall and processor time."""

    bar: str
    threads: int
    wall_ratio: float
    cpu_ratio: float
    verdict: str


def bit_loss(model: nn.Module, text: Text) -> Float[Tensor, ""]:
    """Return what BitLM minimises, K of the batch included as in every step of it."""
    bits = encode_frames(text, parity=False)
    return causal_objective(model(bits), bits).total


def byte_loss(model: nn.Module, text: Text) -> Float[Tensor, ""]:
    """Return the softmax's cost of a byte."""
    return nats_per_byte(model(text), text).mean()


def token_loss(model: nn.Module, text: Text) -> Float[Tensor, ""]:
    """Return the cost of a byte to a model that begins with a token: byte 0, in place of a start vector."""
    values = text.long()
    seen = torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], dim=1)
    output = model(seen)
    logits = output if isinstance(output, Tensor) else output.logits
    return cross_entropy(logits.flatten(0, 1), values.flatten())


def x_transformers(config: ModelConfig) -> nn.Module:
    """Return x-transformers' decoder, with torch's fused attention."""
    library = peer("x_transformers")
    decoder = library.Decoder(
        dim=config.d_model,
        depth=config.num_layers,
        heads=config.nhead,
        attn_dim_head=config.d_model // config.nhead,
        ff_mult=config.dim_feedforward // config.d_model,
        attn_flash=True,
    )
    model: nn.Module = library.TransformerWrapper(
        num_tokens=256, max_seq_len=config.window_bytes, attn_layers=decoder
    )
    return model


def reformer(config: ModelConfig, *, full: bool) -> nn.Module:
    """Return reformer-pytorch's reversible model, with its defaults but for the shape."""
    model: nn.Module = peer("reformer_pytorch").ReformerLM(
        num_tokens=256,
        dim=config.d_model,
        depth=config.num_layers,
        max_seq_len=config.window_bytes,
        heads=config.nhead,
        dim_head=config.d_model // config.nhead,
        ff_mult=config.dim_feedforward // config.d_model,
        causal=True,
        use_full_attn=full,
    )
    return model


SIDES: dict[str, tuple[Maker, Loss]] = {
    STORE: (BitTransformer, bit_loss),
    RECOMPUTE: (lambda config: BitTransformer(replace(config, memory="recompute")), bit_loss),
    MUON: (BitTransformer, bit_loss),
    PLAIN: (ByteTransformer, byte_loss),
    GPT2: (gpt2, token_loss),
    X_TRANSFORMERS: (x_transformers, token_loss),
    LSH: (partial(reformer, full=False), token_loss),
    FULL: (partial(reformer, full=True), token_loss),
    BIT_SEQUENCE: (lambda config: BitTransformer(replace(config, patch_bits=1)), bit_loss),
}


def step_of(side: str, config: ModelConfig, text: Text) -> tuple[int, Callable[[], None]]:
    """Return a side's parameters and its step.

    Raises:
        PeerMissingError: The side is a library that is not installed.
    """
    make, loss = SIDES[side]
    model = make(config).train()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if side == MUON:
        assert isinstance(model, BitTransformer)
        trainer, bits = Trainer(model, TrainingConfig()), encode_frames(text, parity=False)
        return parameters, lambda: _train(trainer, bits)
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    return parameters, lambda: _step(model, optimizer, loss, text)


def _train(trainer: Trainer, bits: UInt8[Tensor, "batch bit"]) -> None:
    trainer.update(bits, rate_factor=1.0, dropout_seed=0)


def _step(model: nn.Module, optimizer: AdamW, loss: Loss, text: Text) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss(model, text).backward()  # type: ignore[no-untyped-call] # torch's
    optimizer.step()


def measure(
    steps: Mapping[str, tuple[int, Callable[[], None]]], threads: int, repeats: int, step_bytes: int
) -> list[Row]:
    """Return the rows of one thread count: the sides' steps in turn, `repeats` times after one to warm up."""
    torch.set_num_threads(threads)
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in steps}
    for repeat in range(repeats + 1):
        for side, (_, step) in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            if repeat:
                times[side].append(spent)
    medians = {side: [median(column) for column in zip(*spent, strict=True)] for side, spent in times.items()}
    base_wall, base_cpu = medians.get(STORE, next(iter(medians.values())))
    return [
        Row(
            side=side,
            threads=threads,
            parameters=steps[side][0],
            wall_ms=1000 * wall,
            cpu_ms=1000 * cpu,
            bytes_per_s=step_bytes / wall,
            bytes_per_cpu_s=step_bytes / cpu,
            wall_ratio=base_wall / wall,
            cpu_ratio=base_cpu / cpu,
        )
        for side, (wall, cpu) in medians.items()
    ]


def judge(rows: Sequence[Row]) -> list[Verdict]:
    """Return each bar's verdict at each thread count; a side that was not measured leaves it open."""
    found = {(row.side, row.threads): row for row in rows}
    verdicts = []
    for threads in sorted({row.threads for row in rows}):
        for bar in BARS:
            side, against = found.get((bar.side, threads)), found.get((bar.against, threads))
            if side is None or against is None:
                continue
            wall, cpu = against.wall_ms / side.wall_ms, against.cpu_ms / side.cpu_ms
            passed = min(wall, cpu) >= bar.least
            name = f"{bar.side} ≥ {bar.least:g} × {bar.against}"
            verdicts.append(Verdict(name, threads, wall, cpu, "pass" if passed else "FAIL"))
    return verdicts


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--rows", type=int, default=16, help="windows in a step")
    parser.add_argument("--window", type=int, default=256, help="bytes in a window")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=9, help="timed steps of each side")
    parser.add_argument("--only", nargs="+", choices=list(SIDES), default=list(SIDES), metavar="SIDE")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    config = ModelConfig(
        d_model=options.width,
        nhead=options.heads,
        num_layers=options.layers,
        dim_feedforward=4 * options.width,
        max_seq_len=8 * options.window,
    )
    keep_freed_memory()  # as a Trainer does; all sides gain by it
    torch.manual_seed(0)  # the peers draw their weights, and LSH its rotations, from the global generator
    text = windows(Corpus.embedded().train, options.window, options.rows, generator(0, 0, "batch"))
    steps, missing = {}, []
    for side in options.only:
        try:
            steps[side] = step_of(side, config, text)
        except PeerMissingError as error:
            missing.append(f"{side}: not measured, {error}")
    print(
        f"{options.rows} × {options.window} bytes, {options.width} wide, {options.layers} layers, "
        f"{options.heads} heads; median of {options.repeats}"
    )
    rows: list[Row] = []
    for threads in options.threads:
        rows += measure(steps, threads, options.repeats, text.numel())
        _print_rows(rows[-len(steps) :])
    verdicts = judge(rows)
    _print_verdicts(verdicts, missing)
    _write(options, rows, verdicts, missing)


def _print_rows(rows: Sequence[Row]) -> None:
    columns = (
        f"{'parameters':>10}{'wall ms':>9}{'KB/s':>7}{'ratio':>7}{'CPU ms':>9}{'KB/CPU-s':>10}{'ratio':>7}"
    )
    print(f"\n{f'{rows[0].threads} thread(s)':25}{columns}")
    for row in rows:
        print(
            f"{row.side:25}{row.parameters:10,}{row.wall_ms:9.0f}{row.bytes_per_s / 1000:7.2f}"
            f"{row.wall_ratio:7.2f}{row.cpu_ms:9.0f}{row.bytes_per_cpu_s / 1000:10.2f}{row.cpu_ratio:7.2f}",
            flush=True,
        )


def _print_verdicts(verdicts: Sequence[Verdict], missing: Sequence[str]) -> None:
    print(f"\n{'bar':50}{'threads':>7}{'wall':>7}{'CPU':>7}")
    for line in verdicts:
        print(f"{line.bar:50}{line.threads:7}{line.wall_ratio:7.2f}{line.cpu_ratio:7.2f}  {line.verdict}")
    print(*missing, sep="\n")


def _write(
    options: argparse.Namespace, rows: Sequence[Row], verdicts: Sequence[Verdict], missing: Sequence[str]
) -> None:
    keep(
        options.output,
        "training_speed",
        by=__file__,
        settings={name: value for name, value in vars(options).items() if name not in {"output", "only"}},
        rows=[asdict(row) for row in rows],
        verdicts=[asdict(line) for line in verdicts],
        missing=list(missing),
    )


if __name__ == "__main__":
    main()
