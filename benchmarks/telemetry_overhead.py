"""What does watching a run cost? Prints a table and writes it to benchmarks/results/.

Two runs of the default size do the same steps in turns: one as a session, with telemetry at the default
intervals and a store where temporary files are, and one that only updates its weights. The ratio is the
median over pairs of steps, of wall time and of processor time, with its standard error. What does not come
with every step is timed by itself in between and counted as often as it comes: writing to the disk, as
often as the store does; looks (a probe sample, the model itself), once for each interval that the session's
governor has settled on. Estimates on held-out text and checkpoints are no telemetry and are off. The bar
holds for the less favourable of the two times. `python -m benchmarks.telemetry_overhead`
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import pi, sqrt
from pathlib import Path
from statistics import NormalDist, median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.record import RESULTS, keep
from bitlm.data import Corpus
from bitlm.session import SIZES, CheckpointPolicy, RunStore, Session, preset
from bitlm.session.inspection import attention, gradient_norms, meter
from bitlm.session.learner import Learner
from bitlm.session.observation import probe
from bitlm.session.store import wait_after
from bitlm.telemetry import negentropy_score

BAR = 0.02
WARM_UP_STEPS = 130
"""Until the dense first looks are over and the governor has settled on its intervals."""

LOOK_EVERY = 60
"""Pairs of steps between two timings of looks, so that these are spread over the whole time."""

NEVER = 1_000_000


@dataclass(frozen=True)
class Times:
    """Seconds that something took."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Row:
    """A part of the overhead as shares of a step without telemetry, and the standard errors of both."""

    what: str
    wall: float
    cpu: float
    wall_error: float = 0.0
    cpu_error: float = 0.0

    @property
    def verdict(self) -> str:
        """Whether it is below the bar by the less favourable time, if two standard errors let one say so."""
        low = max(self.wall - 2 * self.wall_error, self.cpu - 2 * self.cpu_error)
        high = max(self.wall + 2 * self.wall_error, self.cpu + 2 * self.cpu_error)
        if low < BAR <= high:
            return "undecided, for the steps scatter too much: repeat it on a quieter machine, or for longer"
        return "passed" if high < BAR else "missed"


def timed(work: Callable[[], Any]) -> Times:
    """Return what `work` took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


class Sides:
    """The same run twice: as a session, and its updates alone.

    Attributes:
        session: The one with telemetry.
        bare: The one without.
        pairs: Times of the same step, with telemetry and without, of steps that did not look.
        writes: Times of writing a step's metrics.
        looks: Times of a look of each kind, and of K, which comes with every step.
    """

    def __init__(self, folder: Path, size: str) -> None:
        model, training = preset(size)
        quiet = replace(training, validation_interval=NEVER, checkpoint_interval=NEVER)
        self.session = Session.create(
            RunStore(folder), model=model, training=quiet, corpus=Corpus.embedded(),
            policy=CheckpointPolicy(interval_s=float(NEVER)),
        )  # fmt: skip
        reference = self.session.model.reference
        assert reference is not None, "a session's model always carries its reference"
        self.bare = Learner(self.session.config, self.session.corpus, reference)
        self.pairs: list[tuple[Times, Times]] = []
        self.writes: list[Times] = []
        self.looks: dict[str, list[Times]] = {name: [] for name in self._work()}

    def take_turns(self, seconds: float) -> None:
        """Let both do the same steps for so long, and keep what these took."""
        for _ in range(WARM_UP_STEPS):
            self.session.step()
            self.bare.update()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            if len(self.writes) % LOOK_EVERY == 0:
                for name, work in self._work().items():
                    if name == "K":
                        work()  # in a step it is asked of what has just been computed
                    self.looks[name].append(timed(work))
            self.writes.append(timed(self.session.store.flush))
            if self.session.step_count % 2:
                without = timed(self.bare.update)
                watched = timed(self.session.step)
            else:
                watched = timed(self.session.step)
                without = timed(self.bare.update)
            event = self.session.last_step
            if event is not None and event.C is None and event.attention_entropy is None:
                self.pairs.append((watched, without))

    def close(self) -> None:
        """Let go of the store."""
        self.session.close()
        self.session.store.close()

    def intervals(self) -> dict[str, int]:
        """Return the intervals that looks come at by now."""
        training = self.session.config.training
        asked = {
            "probe_interval": training.probe_interval,
            "diagnostics_interval": training.diagnostics_interval,
        }
        thinned = self.session.store.all_events(self.session.run_id, kinds=("telemetry_thinned",))
        return {name: thinned[-1].payload[name] for name in asked} if thinned else asked

    def _work(self) -> dict[str, Callable[[], Any]]:
        """Return what does not come with every step, by the setting that says how often, and K."""
        model, config = self.session.model, self.session.config
        text, autocast = self.session.corpus.held_out, config.training.autocast
        norms = [1.0 for _ in model.parameters()]
        logits = torch.zeros(config.training.batch_size, config.model.max_seq_len)

        def look() -> None:
            attention(model, text)
            gradient_norms(model, norms)
            meter(model, text, autocast=autocast, dropout_seed=1)

        return {
            "probe_interval": lambda: probe(model, config, self.session.step_count),
            "diagnostics_interval": look,
            "K": lambda: negentropy_score(torch.sigmoid(logits)),
        }


def _median(times: Sequence[Times]) -> Times:
    return Times(median(one.wall_s for one in times), median(one.cpu_s for one in times))


def _median_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and its standard error, for values that scatter as a normal distribution does."""
    low, middle, high = quantiles(values, n=4)
    return middle, sqrt(pi / 2 / len(values)) * (high - low) / (2 * NormalDist().inv_cdf(0.75))


def rows_of(sides: Sides) -> list[Row]:
    """Return the parts of the overhead and, last, all of it."""
    step, write = _median([without for _, without in sides.pairs]), _median(sides.writes)
    looks, intervals = {name: _median(times) for name, times in sides.looks.items()}, sides.intervals()
    wall, wall_error = _median_and_error([one.wall_s / other.wall_s for one, other in sides.pairs])
    cpu, cpu_error = _median_and_error([one.cpu_s / other.cpu_s for one, other in sides.pairs])
    wait_s = wait_after(write.wall_s)

    def every(steps: float, what: str, took: Times) -> Row:
        return Row(what, took.wall_s / steps / step.wall_s, took.cpu_s / steps / step.cpu_s)

    probe_steps, look_steps = intervals["probe_interval"], intervals["diagnostics_interval"]
    rows = [
        Row("every step: measuring, recording, memory", wall - 1, cpu - 1, wall_error, cpu_error),
        every(1, "every step: K", looks["K"]),
        every(wait_s / step.wall_s, f"every {wait_s:.1f} s: writing", write),
        every(probe_steps, f"every {probe_steps} steps: a probe sample", looks["probe_interval"]),
        every(look_steps, f"every {look_steps} steps: the model itself", looks["diagnostics_interval"]),
    ]
    total = Row("all", sum(row.wall for row in rows), sum(row.cpu for row in rows), wall_error, cpu_error)
    return [*rows, total]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the two take turns")
    parser.add_argument("--size", choices=SIZES, default="small", help="size of the model")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        sides = Sides(Path(folder), options.size)
        sides.take_turns(options.seconds)
        rows, intervals = rows_of(sides), sides.intervals()
        sides.close()
    step = _median([without for _, without in sides.pairs])
    last = sides.session.last_step
    share = (last.telemetry_share if last else None) or 0.0
    print(f"{options.size}, {len(sides.pairs)} pairs of steps, {1e3 * step.wall_s:.1f} ms a step")
    print(f"{'share of a step':48}{'wall':>7}{'CPU':>8}")
    for row in rows:
        errors = f"   ± {row.wall_error:.2%} and {row.cpu_error:.2%}" if row.wall_error else ""
        print(f"{row.what:48}{row.wall:7.2%}{row.cpu:8.2%}{errors}")
    print(f"below {BAR:.0%}: {rows[-1].verdict}")
    keep(
        options.output,
        "telemetry_overhead",
        by=__file__,
        settings={"size": options.size, "seconds": options.seconds},
        pairs=len(sides.pairs),
        step=asdict(step),
        intervals=intervals,
        rows=[asdict(row) for row in rows],
        telemetry_share=share,
        bar=BAR,
        verdict=rows[-1].verdict,
    )


if __name__ == "__main__":
    main()
