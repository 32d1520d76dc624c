"""What do width, depth, length and text cost? Prints tables, writes them to results/.

Around one shape each measure is doubled by itself: what of a text an update reads in a second of processor
time, what a training holds (weights, gradients, optimizer, and what is kept for the backward pass), and the
exponent that this grows with. Trials are those of `POST /estimate`, each of a few updates, in turns of all
shapes; medians count. Texts of several lengths are counted, as training with mixing does before its first
update. `python -m benchmarks.scaling`
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import log
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.quality_corpora import corpus_of
from benchmarks.record import RESULTS, keep
from bitlm.data import Text
from bitlm.earlier_counts import EarlierCounts
from bitlm.model import ModelConfig
from bitlm.session.trial import Needs, try_settings
from bitlm.training import TrainingConfig

BASE = ModelConfig(
    d_model=128, nhead=4, num_layers=4, dim_feedforward=512, max_seq_len=2048, mixing="reference"
)
FACTORS = (0.5, 1, 2, 4)
TEXT_BYTES = (2**19, 2**20, 2**21, 2**22)


@dataclass(frozen=True)
class Row:
    """One shape.

    Attributes:
        measure: What of the shape in the middle was changed.
        value: To what.
        memory: What is kept for the backward pass.
        parameters: Weights.
        bytes_per_cpu_s: Text that is read in a second of an update's processor time.
        training_bytes: What training holds.
    """

    measure: str
    value: int
    memory: str
    parameters: int
    bytes_per_cpu_s: float
    training_bytes: int


@dataclass(frozen=True)
class Counted:
    """A text, and the processor time of counting it."""

    text_bytes: int
    cpu_s: float


def shapes() -> list[tuple[str, int, ModelConfig]]:
    """Return what is tried: a measure, its value, and the shape."""
    tried = []
    for factor in FACTORS:
        width, layers = int(factor * BASE.d_model), int(factor * BASE.num_layers)
        wide = replace(BASE, d_model=width, nhead=width // 32, dim_feedforward=4 * width)
        long = replace(BASE, max_seq_len=int(factor * BASE.max_seq_len))
        tried += [("width", width, wide), ("positions", long.window_bytes, long)]
        tried += [
            ("layers", layers, replace(BASE, num_layers=layers, memory=memory))
            for memory in ("store", "recompute")
        ]
    chunked = [replace(BASE, max_seq_len=int(4 * BASE.max_seq_len), chunk_size=1024, overlap=1024)]
    return tried + [("positions, in chunks of 128", one.window_bytes, one) for one in chunked]


def measure(repeats: int) -> list[Row]:
    """Return a row for each shape."""
    tried, found = shapes(), list[list[Needs]]()
    training = TrainingConfig(telemetry_budget=1.0)
    for _, _, shape in tried:
        found.append([])
        assert shape.parameter_count < 20_000_000, "it is tried whole"
    for _ in range(repeats):
        for (_, _, shape), trials in zip(tried, found, strict=True):
            needs = try_settings(shape, training, longest_step_s=60, clock=time.process_time)
            assert needs is not None, "it is tried whole"
            trials.append(needs)
    return [
        Row(
            name,
            value,
            shape.memory,
            shape.parameter_count,
            median(needs.bytes_per_s for needs in trials),
            trials[0].training_bytes,
        )
        for (name, value, shape), trials in zip(tried, found, strict=True)
    ]


def exponent(rows: Sequence[Row]) -> float:
    """Return the power of the measure that a byte's processor time grows with, over all its values."""
    first, last = rows[0], rows[-1]
    return log(first.bytes_per_cpu_s / last.bytes_per_cpu_s) / log(last.value / first.value)


def count(text: Text) -> list[Counted]:
    """Return what counting texts of these lengths takes."""
    counted = []
    for length in (length for length in TEXT_BYTES if length <= len(text)):
        data, begin = np.frombuffer(text[:length], dtype=np.uint8), time.process_time()
        EarlierCounts(data)
        counted.append(Counted(length, time.process_time() - begin))
    return counted


def main() -> None:
    """Try, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="kjv", help="embedded, sotu, kjv, or NAME=PATH; to be counted")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm/corpora"), help="where texts are kept")
    parser.add_argument(
        "--repeats", type=int, default=5, help="trials of each shape, of which the median counts"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    torch.set_num_threads(1)
    rows = measure(options.repeats)
    powers = {}
    for kind in dict.fromkeys((row.measure, row.memory) for row in rows):
        of_kind = [row for row in rows if (row.measure, row.memory) == kind]
        for row in of_kind:
            print(
                f"{row.measure:28}{row.value:6}  {row.memory:10}{row.parameters:12,}"
                f"{row.bytes_per_cpu_s:10,.0f} bytes/s{row.training_bytes / 2**20:9.1f} MiB"
            )
        if len(of_kind) > 1:
            powers[" ".join(kind)] = exponent(of_kind)
            print(f"{'':28}time of a byte grows with the power {exponent(of_kind):.2f}")
    counted = count(corpus_of(options.corpus, options.cache).data)
    for text in counted:
        print(f"{text.text_bytes:12,} bytes counted in {text.cpu_s:6.2f} s")
    settings = {"corpus": options.corpus, "repeats": options.repeats}
    keep(
        options.output, "scaling", by=__file__, settings=settings,
        rows=[asdict(row) for row in rows], powers=powers, counted=[asdict(text) for text in counted],
    )  # fmt: skip


if __name__ == "__main__":
    main()
