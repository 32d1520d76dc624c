"""Is a model that grows sooner at a quality than one that is large from the beginning?

Both sides end in the same shape and see the text in the same order, each step a batch of the same seed. The
grown side begins with the preset's shape and grows, in the order given, whenever `GrowthSchedule` says that
it is time: the optimizer is carried over, old weights rest for some updates, rates fall and warm up again.
Minutes are those of an idle machine (`BusyClock`), growing included and estimates of held-out text left out;
rates are not annealed, as nobody knows when a target will be met. No counts are mixed in: they would hide
what the layers have learned. Curves, minutes to each target, and over seeds the share of them that growing
saved, with its interval, go into the dated JSON.

    python -m benchmarks.growth --corpus kjv --minutes 20 --seeds 0 1 2 --targets 2.4 2.2 2.1
    python -m benchmarks.growth --preset small --growths layer width --rate-factor 1 --warmup 0 --frozen 0
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, sqrt
from pathlib import Path
from statistics import fmean, stdev

import torch

from benchmarks.quality import changes_of
from benchmarks.quality_corpora import corpus_of
from benchmarks.quality_sides import BusyClock
from benchmarks.record import RESULTS, keep
from bitlm.bits import encode_frames
from bitlm.cli.compile import compile_functions
from bitlm.data import Corpus, windows
from bitlm.growth import (
    GROWTHS,
    Growth,
    GrowthSchedule,
    carry_over,
    greatest_logit_difference,
    grow,
    grown_config,
    only_new_weights,
)
from bitlm.growth.schedule import FROZEN_UPDATES, RATE_FACTOR, WARMUP_STEPS
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.session import preset
from bitlm.telemetry.effect import STUDENT
from bitlm.training import (
    HeldOutEstimate,
    Trainer,
    TrainingConfig,
    adjust_learning_rate,
    learning_rate_factor,
)

ESTIMATED_WINDOWS = 48
GROWN, LARGE = "grown", "large from the beginning"


@dataclass(frozen=True)
class Point:
    """Where a side stands.

    Attributes:
        minutes: It trained for.
        steps: Updates done.
        bytes_seen: Bytes trained on.
        parameters: Weights now.
        bits_per_byte: Estimate on held-out text.
    """

    minutes: float
    steps: int
    bytes_seen: int
    parameters: int
    bits_per_byte: float


@dataclass(frozen=True)
class Grown:
    """A growth: when, which, and the greatest |difference| of a logit it made."""

    minutes: float
    steps: int
    growth: Growth
    logit_difference: float


@dataclass
class Side:
    """One side's curve."""

    name: str
    seed: int
    curve: list[Point] = field(default_factory=list)
    growths: list[Grown] = field(default_factory=list)

    def minutes_to(self, bits_per_byte: float) -> float:
        """Return after how many minutes an estimate first met the target; infinity for never."""
        return min(
            (point.minutes for point in self.curve if point.bits_per_byte <= bits_per_byte), default=inf
        )


@dataclass(frozen=True)
class Saving:
    """Of the minutes to a target that the large side took, the share that growing saved.

    Attributes:
        target: Bits per byte.
        of_seeds: Of each seed of which both sides met it; below 0 where growing was later.
        mean: Of those; None of none.
        margin: How far its 95 % interval reaches to either side, by Student's t; None below two seeds.
    """

    target: float
    of_seeds: tuple[float, ...]
    mean: float | None
    margin: float | None

    def __str__(self) -> str:
        if self.mean is None:
            return f"{self.target:g}: no seed met it on both sides"
        margin = "" if self.margin is None else f" ± {self.margin:.0%}"
        return (
            f"{self.target:g}: growing saved {self.mean:.0%}{margin} of the time, {len(self.of_seeds)} seeds"
        )


def saving(sides: Sequence[Side], target: float) -> Saving:
    """Return what growing saved on the way to a target, seed by seed."""
    minutes = {(side.name, side.seed): side.minutes_to(target) for side in sides}
    pairs = [(minutes[GROWN, seed], minutes[LARGE, seed]) for name, seed in minutes if name == GROWN]
    saved = tuple(round(1 - grown / large, 4) for grown, large in pairs if max(grown, large) < inf)
    count = len(saved)
    margin = STUDENT[count - 2] * stdev(saved) / sqrt(count) if count > 1 else None
    return Saving(target, saved, fmean(saved) if saved else None, margin)


class Judge:
    """Estimates of held-out text, for windows of any length."""

    def __init__(self, corpus: Corpus) -> None:
        self._held_out, self._reference = corpus.held_out, ReferenceModel.fit(corpus.train)
        self._estimates: dict[int, HeldOutEstimate] = {}

    def __call__(self, model: BitTransformer) -> float:
        """Return bits per byte."""
        length = model.config.window_bytes
        if length not in self._estimates:
            estimate = HeldOutEstimate(self._held_out, self._reference, length, ESTIMATED_WINDOWS)
            self._estimates[length] = estimate
        return self._estimates[length].bits_per_byte(model)


class Course:
    """The updates of one side, and the time they took.

    Args:
        falling: What rates are multiplied by after so many seconds.
    """

    def __init__(
        self, corpus: Corpus, config: ModelConfig, training: TrainingConfig, seed: int, threads: int,
        *, falling: Callable[[float], float] = lambda _: 1.0,
    ) -> None:  # fmt: skip
        self._corpus, self._seed, self._clock = corpus, seed, BusyClock(threads)
        self._falling = falling
        self.trainer = Trainer(BitTransformer(config, seed=counter_seed(seed, 0, "weights")), training)
        self.busy_s, self.steps, self.bytes_seen = 0.0, 0, 0
        self._warm_from, self._warmup = 0, training.warmup_steps

    def train(self, steps: int) -> None:
        """Do so many updates."""
        began = self._clock()
        config, fallen = self.trainer.model.config, self._falling(self.busy_s)
        for step in range(self.steps, self.steps + steps):
            draw = generator(self._seed, step, "batch")
            batch = windows(self._corpus.train, config.window_bytes, self.trainer.config.batch_size, draw)
            self.trainer.update(
                encode_frames(batch, parity=config.parity),
                rate_factor=fallen * learning_rate_factor(step - self._warm_from, self._warmup),
                dropout_seed=counter_seed(self._seed, step, "dropout"),
            )
            self.bytes_seen += batch.numel()
        self.steps += steps
        self.busy_s += self._clock() - began

    def grow(self, growth: Growth, options: argparse.Namespace) -> Grown:
        """Grow, and do the updates in which old weights rest."""
        at, began = self.busy_s / 60, self._clock()
        old = self.trainer.model
        self.trainer = carry_over(self.trainer, grow(old, growth, seed=self.steps))
        adjust_learning_rate(self.trainer.optimizer, options.rate_factor)
        self._warm_from, self._warmup = self.steps, options.warmup
        self.busy_s += self._clock() - began
        apart = greatest_logit_difference(old, self.trainer.model, self._corpus.held_out)
        done = Grown(round(at, 3), self.steps, growth, apart)
        with only_new_weights(self.trainer, old):
            self.train(options.frozen)
        return done


def follow(
    side: Side, course: Course, growths: Sequence[Growth], judge: Judge, options: argparse.Namespace
) -> Side:
    """Train for the minutes there are, growing when it is time, and keep the curve."""
    schedule = GrowthSchedule(improve_thresh=options.improve_thresh, validations=options.validations)
    waiting, since = list(growths), list[float]()
    while course.busy_s < 60 * options.minutes:
        course.train(options.interval)
        model, minutes = course.trainer.model, round(course.busy_s / 60, 3)
        bits_per_byte = round(judge(model), 4)
        side.curve.append(
            Point(minutes, course.steps, course.bytes_seen, model.parameter_count, bits_per_byte)
        )
        since.append(bits_per_byte)
        if waiting and schedule.is_due(since):
            side.growths.append(course.grow(waiting.pop(0), options))
            since.clear()
            print(f"{side.name}, seed {side.seed}: {side.growths[-1]}", flush=True)
    return side


def sides_of(corpus: Corpus, seed: int, judge: Judge, options: argparse.Namespace) -> list[Side]:
    """Train both sides."""
    first, training = preset(options.preset, **changes_of(options.set), mixing="none")
    last = first
    for growth in options.growths:
        last = grown_config(last, growth)
    sides = []
    for name, config, growths in ((GROWN, first, options.growths), (LARGE, last, [])):
        course = Course(corpus, config, training, seed, options.threads)
        sides.append(follow(Side(name, seed), course, growths, judge, options))
        _print(sides[-1], options.targets)
    return sides


def _print(side: Side, targets: Sequence[float]) -> None:
    last = side.curve[-1]
    reached = "".join(f", {target:g} after {side.minutes_to(target):.2f} min" for target in targets)
    print(
        f"{side.name}, seed {side.seed}: {last.bits_per_byte:.3f} bpb after {last.minutes:.2f} min, "
        f"{last.steps:,} steps, {last.parameters:,} parameters{reached}",
        flush=True,
    )


def options_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what sides have in common."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="kjv", help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm/corpora"), help="where texts are kept")
    parser.add_argument("--preset", default="tiny", help="the shape the grown side begins with")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="changes of the preset")
    parser.add_argument("--growths", nargs="+", choices=GROWTHS, default=["layer", "width", "layer"])
    parser.add_argument("--minutes", type=float, default=10, help="of each side")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--interval", type=int, default=50, help="steps between two estimates")
    parser.add_argument("--improve-thresh", type=float, default=0.01)
    parser.add_argument("--validations", type=int, default=4)
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser


def main() -> None:
    """Train both sides for each seed, print, write."""
    parser = options_of(__doc__)
    parser.add_argument(
        "--targets", type=float, nargs="*", default=[3.0, 2.5, 2.25, 2.0], help="bits per byte"
    )
    parser.add_argument("--rate-factor", type=float, default=RATE_FACTOR, help="of rates, at each growth")
    parser.add_argument("--warmup", type=int, default=WARMUP_STEPS, help="steps after a growth")
    parser.add_argument("--frozen", type=int, default=FROZEN_UPDATES, help="updates of new weights alone")
    parser.add_argument("--name", default="growth", help="of the file in results/")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    compile_functions()
    corpus = corpus_of(options.corpus, options.cache)
    judge = Judge(corpus)
    sides = [side for seed in options.seeds for side in sides_of(corpus, seed, judge, options)]
    settings = {key: value for key, value in vars(options).items() if key not in ("output", "name", "cache")}
    savings = [saving(sides, target) for target in options.targets]
    print(*savings, sep="\n")
    kept = {"sides": [asdict(side) for side in sides], "savings": [asdict(one) for one in savings]}
    keep(options.output, options.name, by=__file__, settings=settings, **kept)


if __name__ == "__main__":
    main()
