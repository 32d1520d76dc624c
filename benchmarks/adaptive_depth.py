"""How much time does adaptive depth save, and what does it cost? Prints a table, writes it to results/.

One model is trained at full depth until depth has its price; from there it goes on without ACT, and with it
at several ponder costs and budgets, always on the same batches. Each is measured at several thresholds:
held-out bits per byte, mean depth, and processor time of the evaluation (counting contexts included), of the
trunk within it, and of a text drawn. Beside them stand models that have fewer layers from the beginning,
because that is the other way to save.

    python -m benchmarks.adaptive_depth
    python -m benchmarks.adaptive_depth --layers 8 --fewer-layers 7 6 --budgets 0.875
"""

import argparse
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits, encode_frames
from bitlm.data import Corpus, cut, even_windows, window_starts
from bitlm.earlier_counts import EarlierCounts
from bitlm.generation import collect, generate
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.bit_tree import patch_values
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.training import (
    Annealing,
    HeldOutEstimate,
    Trainer,
    TrainingConfig,
    learning_rate_factor,
)

TIMED_WINDOWS = 16
TOLERATED_BPB = 0.02
WITHOUT = "without ACT"
PROMPT = bytes_to_bits(b"\n")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        seed: Of the weights, the batches and the draws.
        model: Which weights.
        ponder_cost: They were trained with; None where nothing halts.
        ponder_budget: As well.
        threshold: act_threshold; None where nothing halts.
        bits_per_byte: Of the held-out windows.
        depth_mean: Mean layers a position of them ran.
        evaluation_ms: Processor time of evaluating the timed windows, counting contexts included.
        trunk_ms: Processor time of the trunk alone on the same windows.
        generation_ms: Processor time of a text of 200 bytes.
    """

    seed: int
    model: str
    ponder_cost: float | None
    ponder_budget: float | None
    threshold: float | None
    bits_per_byte: float
    depth_mean: float
    evaluation_ms: float
    trunk_ms: float
    generation_ms: float


@dataclass(frozen=True)
class Contender:
    """A model to be measured, and what its row says of it."""

    name: str
    ponder_cost: float | None
    ponder_budget: float | None
    threshold: float | None
    model: BitTransformer


class Course:
    """Updates on one text, on the same batches for every model, annealed over the last quarter."""

    def __init__(self, corpus: Corpus, options: argparse.Namespace, seed: int) -> None:
        self._corpus = corpus
        self._seed = seed
        self._window = options.window
        self._annealing = Annealing(options.steps - options.steps // 4, options.steps // 4, 1.0)
        self._reference = ReferenceModel.fit(corpus.train)
        self._earlier = EarlierCounts(np.frombuffer(bytes(corpus.train), dtype=np.uint8))

    def begin(self, config: ModelConfig) -> Trainer:
        """Return a trainer of a new model."""
        model = BitTransformer(config, seed=self._seed)
        model.reference = self._reference
        return Trainer(model, TrainingConfig())

    def train(self, trainer: Trainer, steps: range, ponder_cost: float) -> Trainer:
        """Do these steps."""
        training, mixer = trainer.config, trainer.model.mixer
        for step in steps:
            draw = generator(self._seed, step, "batch")
            starts = window_starts(self._corpus.train, self._window, training.batch_size, draw)
            batch = cut(self._corpus.train, self._window, starts)
            of_step = self._earlier.of_step
            trainer.update(
                encode_frames(batch, parity=False),
                rate_factor=learning_rate_factor(
                    step,
                    training.warmup_steps,
                    self._annealing if step >= self._annealing.start_step else None,
                ),
                dropout_seed=counter_seed(self._seed, step, "dropout"),
                counts=of_step(step, batch.numpy(), starts.numpy(), mixer.order) if mixer else None,
                ponder_cost=ponder_cost,
            )
        trainer.model.eval()
        return trainer


def at_threshold(model: BitTransformer, threshold: float | None) -> BitTransformer:
    """Return a model of the same weights that halts at this threshold, or runs every layer."""
    config = replace(model.config, use_act=threshold is not None, act_threshold=threshold or 1.0)
    other = BitTransformer(config)
    weights = model.state_dict()
    other.load_state_dict({name: weights[name] for name in other.state_dict()})
    other.reference = model.reference
    return other.eval()


def milliseconds(runs: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median processor time of each, the runs interleaved so that a slow moment hits all alike."""
    times: list[list[float]] = [[] for _ in runs]
    for repeat in range(repeats + 1):
        for run, spent in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            if repeat:
                spent.append(1000 * (time.process_time() - start))
    return [median(spent) for spent in times]


@torch.no_grad()
def measure(
    contenders: Sequence[Contender], held_out: bytes, options: argparse.Namespace, seed: int
) -> list[Row]:
    """Return a row for each."""
    windows = even_windows(held_out, contenders[0].model.config.window_bytes, TIMED_WINDOWS)
    values = patch_values(encode_frames(windows, parity=False).unflatten(1, (-1, 8)))  # type: ignore[no-untyped-call] # torch's
    reference = contenders[0].model.reference
    assert reference is not None, "the contenders were trained with one"
    window_bytes = contenders[0].model.config.window_bytes
    timed, measured = (
        HeldOutEstimate(held_out, reference, window_bytes, count) for count in (TIMED_WINDOWS, 64)
    )
    evaluations, trunks, generations, depths = [], [], [], []
    for contender in contenders:
        model = contender.model
        hidden = model.embedding(values)
        evaluations.append(lambda model=model: timed.bits_per_byte(model))
        trunks.append(lambda model=model, hidden=hidden: model.trunk(hidden))
        generations.append(
            lambda model=model: collect(
                generate(model, bytes_to_bits(b"\n"), max_new_bytes=200), parity=False
            )
        )
        depth_mean = model.trunk.run(hidden)[1]
        depths.append(float(model.config.num_layers) if depth_mean is None else float(depth_mean))
    return [
        Row(
            seed,
            contender.name,
            contender.ponder_cost,
            contender.ponder_budget,
            contender.threshold,
            measured.bits_per_byte(contender.model),
            depth,
            evaluation_ms,
            trunk_ms,
            generation_ms,
        )
        for contender, depth, evaluation_ms, trunk_ms, generation_ms in zip(
            contenders,
            depths,
            milliseconds(evaluations, options.repeats),
            milliseconds(trunks, options.repeats),
            milliseconds(generations, options.repeats),
            strict=True,
        )
    ]


def contenders_of(corpus: Corpus, options: argparse.Namespace, seed: int) -> list[Contender]:
    """Train all models and return them at their thresholds."""
    config = ModelConfig(
        d_model=options.width,
        nhead=2,
        num_layers=options.layers,
        dim_feedforward=4 * options.width,
        max_seq_len=8 * options.window,
        mixing=options.mixing,
        use_act=True,
    )
    course = Course(corpus, options, seed)
    free, priced = range(options.ponder_start), range(options.ponder_start, options.steps)
    half_way = course.train(course.begin(config), free, 0.0)
    without = course.train(deepcopy(half_way), priced, 0.0).model
    contenders = [Contender(WITHOUT, None, None, None, at_threshold(without, None))]
    for layers in options.fewer_layers:
        fewer = course.begin(replace(config, num_layers=layers, use_act=False))
        model = course.train(fewer, range(options.steps), 0.0).model
        contenders.append(Contender(f"without, {layers} layers", None, None, None, model))
    for cost, budget in product(options.ponder_costs, options.budgets):
        trainer = deepcopy(half_way)
        trainer.config = replace(trainer.config, ponder_budget=budget)
        adaptive = course.train(trainer, priced, cost).model
        for threshold in (None, *options.thresholds):
            name = "every layer" if threshold is None else "ACT"
            contenders.append(Contender(name, cost, budget, threshold, at_threshold(adaptive, threshold)))
    return contenders


def main() -> None:
    """Train, sweep, print, write."""
    default = TrainingConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="embedded")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--window", type=int, default=256, help="bytes of a window")
    parser.add_argument("--mixing", default="reference", help="reference or none")
    parser.add_argument("--steps", type=int, default=800, help="updates of each model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--fewer-layers", type=int, nargs="*", default=[8, 12])
    parser.add_argument("--ponder-costs", type=float, nargs="+", default=[default.ponder_cost, 0.02])
    parser.add_argument("--budgets", type=float, nargs="+", default=[default.ponder_budget, 0.5])
    parser.add_argument("--ponder-start", type=int, default=default.ponder_start)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.9, 0.5, 0.3, 0.2, 0.1])
    parser.add_argument("--repeats", type=int, default=9, help="timed passes, of which the median counts")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--name", default="adaptive_depth", help="of the file in results/")
    options = parser.parse_args()

    torch.set_num_threads(1)
    corpus = Corpus.load(options.corpus)
    rows: list[Row] = []
    for seed in options.seeds:
        of_seed = measure(contenders_of(corpus, options, seed), bytes(corpus.held_out), options, seed)
        print(f"seed {seed}")
        _print(of_seed)
        rows += of_seed
    settings = {name: value for name, value in vars(options).items() if name not in ("output", "name")}
    keep(options.output, options.name, by=__file__, settings=settings, rows=[asdict(row) for row in rows])


def _print(rows: Sequence[Row]) -> None:
    plain = rows[0]
    print(
        f"{'':20}{'cost':>8}{'budget':>8}{'threshold':>10}{'bpb':>8}{'':>8}{'layers':>8}{'evaluation':>12}{'trunk':>8}{'text':>8}"
    )
    for row in rows:
        cost, budget, threshold = (
            "" if value is None else f"{value:g}"
            for value in (row.ponder_cost, row.ponder_budget, row.threshold)
        )
        print(
            f"{row.model:20}{cost:>8}{budget:>8}{threshold:>10}{row.bits_per_byte:8.3f}"
            f"{row.bits_per_byte - plain.bits_per_byte:+8.3f}{row.depth_mean:8.2f}"
            f"{row.evaluation_ms / plain.evaluation_ms:12.2f}{row.trunk_ms / plain.trunk_ms:8.2f}"
            f"{row.generation_ms / plain.generation_ms:8.2f}"
        )
    halting = [row for row in rows if row.threshold is not None]
    affordable = [row for row in halting if row.bits_per_byte - plain.bits_per_byte <= TOLERATED_BPB]
    if not affordable:
        print(f"nothing that halts stays within {TOLERATED_BPB} bpb")
        return
    best = min(affordable, key=lambda row: row.evaluation_ms)
    print(
        f"within {TOLERATED_BPB} bpb, cost {best.ponder_cost:g} with budget {best.ponder_budget:g} "
        f"at threshold {best.threshold:g} saves most: "
        f"{1 - best.evaluation_ms / plain.evaluation_ms:.0%} of evaluation, "
        f"{1 - best.trunk_ms / plain.trunk_ms:.0%} of the trunk, "
        f"{1 - best.generation_ms / plain.generation_ms:.0%} of a text"
    )


if __name__ == "__main__":
    main()
