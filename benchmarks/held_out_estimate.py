"""How far is the estimate on held-out text from the whole? Prints a table, writes benchmarks/results/.

A fresh model of the size is trained for some steps, and its bits per byte of the whole held-out text, every
byte counted, stand against estimates from few windows: the mean of evenly spaced ones, and what a run
shows (`HeldOutEstimate`). Both are made of the text as it is and of the text begun elsewhere, which draws
other windows; the error is the root of the mean square over these.

    python -m benchmarks.held_out_estimate
    python -m benchmarks.held_out_estimate --corpus embedded kjv sotu --steps 0 50 400
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.quality_corpora import corpus_of
from benchmarks.record import RESULTS, keep
from bitlm.data import Corpus, even_windows
from bitlm.model import BitTransformer
from bitlm.session import RunStore, Session, preset
from bitlm.training import HeldOutEstimate, held_out_bits_per_byte
from bitlm.training.estimate import WINDOWS
from bitlm.training.evaluation import payload_nats

BEGINNINGS = 24
"""Places at which the text is begun."""

MOST_BYTES = 2**17
"""Of the held-out text that is measured."""


@dataclass(frozen=True)
class Row:
    """How far estimates were from the whole.

    Attributes:
        whole: Bits per byte of the whole.
        even_16, even: Root of the mean square of what the means of 16 and of `WINDOWS` even windows were off.
        weighted: Of what a run shows.
        worst: The largest of these.
    """

    corpus: str
    step: int
    whole: float
    even_16: float
    even: float
    weighted: float
    worst: float


def measure(corpus: Corpus, size: str, steps: list[int], folder: Path) -> Iterator[Row]:
    """Yield a row for each of these steps of a run."""
    model, training = preset(size)
    store = RunStore(folder)
    session = Session.create(store, model=model, training=training, corpus=corpus, seed=0)
    for step in sorted(steps):
        list(islice(session, step - session.step_count))
        yield _row(session.model, corpus, step)
    session.close()
    store.close()


def _row(model: BitTransformer, corpus: Corpus, step: int) -> Row:
    data = corpus.held_out[:MOST_BYTES]
    reference, window = model.reference, model.config.window_bytes
    assert reference is not None, "a session's model always carries its reference"
    whole = held_out_bits_per_byte(model, data)
    errors = []
    for beginning in range(BEGINNINGS):
        at = beginning * len(data) // (BEGINNINGS * 16)
        begun = data[at:] + data[:at]
        estimate = HeldOutEstimate(begun, reference, window)
        told = [_even(model, begun, 16), _even(model, begun, WINDOWS), estimate.bits_per_byte(model)]
        errors.append([one - whole for one in told])
    even_16, even, weighted = np.sqrt(np.mean(np.square(errors), axis=0)).tolist()
    worst = float(np.abs(errors)[:, 2].max())
    return Row(corpus.name, step, whole, even_16, even, weighted, worst)


def _even(model: BitTransformer, data: bytes, count: int) -> float:
    """Return the mean over the second halves of evenly spaced windows."""
    window = model.config.window_bytes
    nats = payload_nats(model, even_windows(data, window, count)).reshape(count, window, 8)
    return nats[:, window // 2 :].sum(-1).mean().item() / log(2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="+", default=["embedded"], help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--size", default="small")
    parser.add_argument("--steps", nargs="+", type=int, default=[0, 50, 400])
    parser.add_argument("--cache", type=Path, default=Path(".bitlm/corpora"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"corpus     step   whole  {'16 even':>8} {f'{WINDOWS} even':>8} {'weighted':>9} {'worst':>7}")
    for spec in options.corpus:
        with TemporaryDirectory(prefix="bitlm-") as folder:
            for row in measure(
                corpus_of(spec, options.cache), options.size, options.steps, Path(folder) / "data"
            ):
                rows.append(row)
                print(
                    f"{row.corpus:<9}{row.step:>6}{row.whole:>8.3f}{row.even_16:>10.3f}{row.even:>9.3f}"
                    f"{row.weighted:>10.3f}{row.worst:>8.3f}",
                    flush=True,
                )
    settings = {"size": options.size, "windows": WINDOWS, "beginnings": BEGINNINGS, "most_bytes": MOST_BYTES}
    kept = [asdict(row) for row in rows]
    keep(options.output, "held_out_estimate", by=__file__, settings=settings, rows=kept)


if __name__ == "__main__":
    main()
