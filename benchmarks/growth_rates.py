"""What is to become of the learning rates when a model grows? Prints a table, writes it to results/.

Sides that grow at the same signs into the same shape, from the same seeds, for the same minutes, whose rates

    * stay as they are, and fall over the last half of the time, as those of `train --grow`,
    * are divided by √2 at each growth, warm up over 100 steps, after 5 updates of the new weights alone,
    * fall from early on: a larger model keeps the rate and sooner loses it (LEMON, ICLR 2024),

and one that has the last shape from the beginning, whose rates fall over the last half. Each is measured on
all of the held-out text at its end; differences from the first are seed by seed, with a 95 % interval.

    python -m benchmarks.growth_rates --minutes 3 --seeds 0 1 2
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.growth import Course, Grown, Judge, Side, follow, options_of
from benchmarks.quality import changes_of
from benchmarks.quality_corpora import corpus_of
from benchmarks.record import keep
from bitlm.cli.compile import compile_functions
from bitlm.data import Corpus
from bitlm.growth import grown_config
from bitlm.growth.schedule import FROZEN_UPDATES, RATE_FACTOR, WARMUP_STEPS
from bitlm.session import preset
from bitlm.telemetry.effect import STUDENT
from bitlm.training import held_out_bits_per_byte
from bitlm.training.schedule import FINAL_SHARE

HALF, SOONER = 0.5, 0.9
"""The last share of the time over which rates fall."""

AS_THEY_ARE = "as they are"
LARGE = "large from the beginning"


@dataclass(frozen=True)
class Rule:
    """What becomes of the rates: at each growth, and over the last share of the time."""

    rate_factor: float = 1.0
    warmup: int = 0
    frozen: int = 0
    falls_over: float = HALF


RULES = {
    AS_THEY_ARE: Rule(),
    "by √2, and warmed up": Rule(RATE_FACTOR, WARMUP_STEPS, FROZEN_UPDATES),
    "fall sooner": Rule(falls_over=SOONER),
    LARGE: Rule(),
}


@dataclass(frozen=True)
class Row:
    """One side of one seed."""

    name: str
    seed: int
    bits_per_byte: float
    steps: int
    parameters: int
    growths: list[Grown]


@dataclass(frozen=True)
class Difference:
    """How much more a side takes than the first, in bits per byte: the mean over seeds, half its interval."""

    name: str
    mean: float
    margin: float | None


def fallen(busy_s: float, *, over: float, whole_s: float) -> float:
    """Return what rates are multiplied by after so many seconds of those there are."""
    left = max(0.0, 1 - busy_s / whole_s)
    return max(FINAL_SHARE, min(1.0, left / over))


def trained(name: str, corpus: Corpus, seed: int, judge: Judge, options: Namespace) -> Row:
    """Train one side, and measure it."""
    rule = RULES[name]
    first, training = preset(options.preset, **changes_of(options.set), mixing="none")
    config, growths = first, options.growths
    if name == LARGE:
        for growth in growths:
            config = grown_config(config, growth)
        growths = []
    falling = partial(fallen, over=rule.falls_over, whole_s=60 * options.minutes)
    course = Course(corpus, config, training, seed, options.threads, falling=falling)
    side = follow(Side(name, seed), course, growths, judge, Namespace(**{**vars(options), **asdict(rule)}))
    model = course.trainer.model
    bits_per_byte = held_out_bits_per_byte(model, corpus.held_out)
    print(f"{name}, seed {seed}: {bits_per_byte:.4f} bpb, {course.steps:,} steps", flush=True)
    return Row(name, seed, bits_per_byte, course.steps, model.parameter_count, side.growths)


def differences(rows: Sequence[Row]) -> list[Difference]:
    """Return how much more each side takes than the first."""
    of: Mapping[tuple[str, int], float] = {(row.name, row.seed): row.bits_per_byte for row in rows}
    seeds = sorted({row.seed for row in rows})
    found = []
    for name in RULES:
        apart = [of[name, seed] - of[AS_THEY_ARE, seed] for seed in seeds]
        count = len(apart)
        margin = STUDENT[count - 2] * stdev(apart) / sqrt(count) if count > 1 else None
        found.append(Difference(name, fmean(apart), margin))
    return found


def main() -> None:
    """Train every side for each seed, print, write."""
    options = options_of(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    compile_functions()
    corpus = corpus_of(options.corpus, options.cache)
    judge = Judge(corpus)
    rows = [trained(name, corpus, seed, judge, options) for seed in options.seeds for name in RULES]
    found = differences(rows)
    for one in found:
        margin = "" if one.margin is None else f" ± {one.margin:.4f}"
        print(f"{one.name:24}  {one.mean:+.4f}{margin}")
    settings = {key: value for key, value in vars(options).items() if key not in ("output", "cache")}
    kept: dict[str, Any] = {
        "rows": [asdict(row) for row in rows],
        "differences": [asdict(one) for one in found],
    }
    keep(options.output, "growth_rates", by=__file__, settings=settings, **kept)


if __name__ == "__main__":
    main()
