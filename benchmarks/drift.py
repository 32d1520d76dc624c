"""Which detector sees a change, how late, and how often for nothing? Prints tables, keeps them as JSON.

On streams of known making: noise about a level, its neighbours independent or correlated; the same with a
step up of two standard deviations, and with a ramp that takes a thousand values to get there. And on a run:
its text changes at one step and its learning rate is multiplied by ten at another; nobody tells the run.

    python -m benchmarks.drift
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np
from jaxtyping import Float64

from benchmarks.drift_run import Disturbance, alerts_of_run
from benchmarks.peers import peer
from benchmarks.record import RESULTS, keep
from bitlm.errors import MetricDriftWarning
from bitlm.randomness import counter_seed
from bitlm.telemetry import PageHinkley, detect_metric_drift

LEVEL, NOISE = 0.5, 0.05
"""Mean and standard deviation of a stream before it changes: about what K has in a run."""

CHANGES_AT = 2_000
RAMP_VALUES = 1_000
RISE = 2 * NOISE
WATCHED_AFTER = 3_000
"""Values after a change in which it must be found."""

WINDOW = 100

Stream = Float64[np.ndarray, " value"]


class Detector(Protocol):
    """Anything that is shown one value after the other."""

    def __call__(self, value: float) -> bool:
        """Take in a value and return whether it completes a change."""


def page_hinkley() -> Detector:
    """Return BitLM's detector, as it watches loss and K."""
    detector, count = PageHinkley(), iter(range(1, 10**9))
    return lambda value: detector.observe(value, next(count)) is not None


def level_rule() -> Detector:
    """Return the level rule, asked after each value and begun anew after an alert."""
    history: list[float] = []

    def observe(value: float) -> bool:
        history.append(value)
        drifted = bool(detect_metric_drift({"K": history[-2 * WINDOW :]}, WINDOW))
        if drifted:
            history.clear()
        return drifted

    return observe


def of_river(name: str, *, standardised: bool, **settings: float) -> Callable[[], Detector]:
    """Return how to make a detector of river's; a standardised one is told the true level and noise."""

    def make() -> Detector:
        detector = getattr(peer("river.drift"), name)(**settings)

        def observe(value: float) -> bool:
            detector.update((value - LEVEL) / NOISE if standardised else value)
            return bool(detector.drift_detected)

        return observe

    return make


DETECTORS: dict[str, Callable[[], Detector]] = {
    "Page–Hinkley in blocks": page_hinkley,
    "level rule": level_rule,
    "river ADWIN, δ 1e-6": of_river("ADWIN", standardised=False, delta=1e-6),
    "river ADWIN, standardised": of_river("ADWIN", standardised=True, delta=1e-6),
    "river PageHinkley, standardised": of_river("PageHinkley", standardised=True),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; delays are in values, of those streams in which the change was found.

    Attributes:
        false_alarms: In all streams without a change together.
        early: Streams with a change, alarmed before it came; out of both kinds.
    """

    detector: str
    autocorrelation: float
    false_alarms: int
    early: int
    step_found: int
    step_delay_median: float | None
    step_delay_most: int | None
    ramp_found: int
    ramp_delay_median: float | None
    ramp_delay_most: int | None


def noise(seed: int, index: int, autocorrelation: float, length: int) -> Stream:
    """Return a stream about LEVEL whose neighbours correlate: a first-order autoregression."""
    random = np.random.default_rng(counter_seed(seed, index, "stream"))
    shocks = random.standard_normal(length)
    shocks[1:] *= np.sqrt(1 - autocorrelation**2)
    for place in range(1, length):
        shocks[place] += autocorrelation * shocks[place - 1]
    stream: Stream = LEVEL + NOISE * shocks
    return stream


def stepped(stream: Stream) -> Stream:
    """Return the stream with a step up."""
    risen: Stream = stream + RISE * (np.arange(len(stream)) >= CHANGES_AT)
    return risen


def ramped(stream: Stream) -> Stream:
    """Return the stream with a ramp up."""
    risen: Stream = stream + RISE * np.clip((np.arange(len(stream)) - CHANGES_AT) / RAMP_VALUES, 0, 1)
    return risen


def alarms(make: Callable[[], Detector], stream: Stream) -> Iterator[int]:
    """Yield the places of the values at which a fresh detector says so."""
    observe = make()
    for place, value in enumerate(stream.tolist()):
        if observe(value):
            yield place


def measure(name: str, autocorrelation: float, streams: list[Stream]) -> Row:
    """Return a detector's line."""
    make = DETECTORS[name]
    short = [stream[: CHANGES_AT + WATCHED_AFTER] for stream in streams]
    steps = [list(alarms(make, stepped(stream))) for stream in short]
    ramps = [list(alarms(make, ramped(stream))) for stream in short]
    step_delays, ramp_delays = _delays(steps), _delays(ramps)
    return Row(
        detector=name,
        autocorrelation=autocorrelation,
        false_alarms=sum(len(list(alarms(make, stream))) for stream in streams),
        early=sum(bool(found) and found[0] < CHANGES_AT for found in (*steps, *ramps)),
        step_found=len(step_delays),
        step_delay_median=median(step_delays) if step_delays else None,
        step_delay_most=max(step_delays, default=None),
        ramp_found=len(ramp_delays),
        ramp_delay_median=median(ramp_delays) if ramp_delays else None,
        ramp_delay_most=max(ramp_delays, default=None),
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--length", type=int, default=10_000, help="values of a stream without a change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1_000, help="steps of the run between two disturbances")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    warnings.simplefilter("ignore", MetricDriftWarning)
    rows = []
    for autocorrelation in (0.0, 0.9):
        streams = [
            noise(options.seed, index, autocorrelation, options.length) for index in range(options.streams)
        ]
        for name in DETECTORS:
            rows.append(measure(name, autocorrelation, streams))
            print(rows[-1], flush=True)
    began = time.monotonic()
    disturbed = Disturbance(text_at=options.steps, rate_at=2 * options.steps)
    runs = {
        "disturbed": alerts_of_run(disturbed, steps=3 * options.steps, seed=options.seed),
        "left alone": alerts_of_run(None, steps=3 * options.steps, seed=options.seed),
    }
    for name, found in runs.items():
        print(name, *found, sep="\n  ")
    keep(
        options.output,
        "drift",
        by=__file__,
        settings={
            "streams": options.streams,
            "length": options.length,
            "seed": options.seed,
            "noise": NOISE,
            "rise": RISE,
            "changes_at": CHANGES_AT,
            "ramp_values": RAMP_VALUES,
        },
        rows=[asdict(row) for row in rows],
        run={
            "steps": 3 * options.steps,
            "seconds": time.monotonic() - began,
            "disturbance": asdict(disturbed),
            "alerts": runs,
        },
    )


def _delays(found: list[list[int]]) -> list[int]:
    """Return how long after the change the first alarm came, of each stream that had one."""
    late = ([place for place in places if place >= CHANGES_AT] for places in found)
    return [places[0] - CHANGES_AT + 1 for places in late if places]


if __name__ == "__main__":
    main()
