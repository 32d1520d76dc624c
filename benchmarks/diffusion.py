"""What does denoising cost beside writing from left to right? Bits per byte, by steps, and the texts.

Same shape, text, recipe and minutes for a causal model, one that denoises, and one that does both; no counts
are mixed in. The causal figure is a code length; those of denoising are bounds, each by two estimators with
a 95 % interval, on the same bytes of the held-out tenth. Then what fewer steps cost with each schedule, and
texts of each sampler, of a model of blocks with so many steps a block: the share of their words of three
letters and more that the training text has at least twice, beside what the texts cost under the reference and
their bytes' entropy, as a dull text has easy words. Minutes are those of an idle machine. Results are added
to the dated JSON side by side.

    python -m benchmarks.diffusion --corpus kjv --size small --minutes 15
    python -m benchmarks.diffusion --corpus kjv --minutes 5 --only causal diffusion-byte --set batch_size=8
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.quality import value_of
from benchmarks.quality_corpora import corpus_of
from benchmarks.quality_sides import Setting, train
from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits, encode_frames
from bitlm.cli.compile import compile_functions
from bitlm.data import Corpus, windows
from bitlm.diffusion import SAMPLERS, SCHEDULES, Denoising, Template, denoised, samples
from bitlm.errors import HaltedError
from bitlm.generation import generate_batch
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.session import preset
from bitlm.session.step_windows import causal_rows
from bitlm.training import (
    Annealing,
    Bound,
    Trainer,
    bound_of_steps,
    denoising_bound,
    held_out_bits_per_byte,
    learning_rate_factor,
    masked_batch,
)

SIDES: dict[str, dict[str, Any]] = {
    "causal": {"objective": "causal"},
    "diffusion-byte": {"objective": "diffusion", "mask_unit": "byte"},
    "diffusion-bit": {"objective": "diffusion", "mask_unit": "bit"},
    "diffusion-block4": {"objective": "diffusion", "block_bytes": 4},
    "diffusion-block8": {"objective": "diffusion", "block_bytes": 8},
    "mixed-byte": {"objective": "mixed", "mask_unit": "byte"},
    "mixed-block4": {"objective": "mixed", "block_bytes": 4},
}
MEASURED_BYTES = 2**16
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SAMPLED_STEPS = (2, 4, 8, 16, 64)
TEXTS = 16
DRAWS = 4
WORD = re.compile(rb"[a-z]{3,}")


class Learning:
    """A model trained on batches of its own making, as a session's are."""

    def __init__(self, setting: Setting, found: dict[str, Any]) -> None:
        torch.set_num_threads(setting.threads)
        self._setting = setting
        self.model = BitTransformer(setting.model, seed=counter_seed(setting.seed, 0, "weights"))
        self.parameters = self.model.parameter_count
        self._trainer = Trainer(self.model, setting.training)
        self._annealing: Annealing | None = None
        self._steps = 0
        self._found = found

    def step(self) -> float | None:
        """Do one update."""
        setting, step = self._setting, self._steps
        rows, model = setting.training.batch_size, setting.model
        text = windows(setting.corpus.train, model.window_bytes, rows, generator(setting.seed, step, "batch"))
        share = setting.training.causal_share if model.objective == "mixed" else None
        causal = 0 if model.objective == "diffusion" else causal_rows(share, rows)
        key = counter_seed(setting.seed, step, "masks")
        least = setting.training.least_masked_share(step)
        done = self._trainer.update(
            encode_frames(text[:causal], parity=model.parity) if causal else None,
            rate_factor=self._rate_factor(),
            dropout_seed=counter_seed(setting.seed, step, "dropout"),
            masked=masked_batch(text[causal:], model, key, least_share=least) if causal < rows else None,
        )
        if not done.finite:
            raise HaltedError(f"step {step + 1}: its gradient is not finite.")
        self._steps += 1
        return None

    def anneal(self, steps: int) -> None:
        """Begin now."""
        self._annealing = Annealing(self._steps, steps, self._rate_factor())

    def finish(self) -> None:
        """Do nothing: it keeps nothing."""

    def evaluate(self) -> dict[str, float]:
        """Return the causal figure, where there is one; the rest is written beside."""
        text = self._setting.corpus.held_out[:MEASURED_BYTES]
        if self.model.config.denoises:
            self._found |= dict(bounds(self.model, text))
        self._found["texts"] = list(texts_of(self.model, self._setting.corpus))
        if self.model.config.objective == "diffusion":
            return {}
        return {"bits_per_byte": round(held_out_bits_per_byte(self.model, text), 4)}

    def _rate_factor(self) -> float:
        return learning_rate_factor(self._steps, self._setting.training.warmup_steps, self._annealing)


def bounds(model: BitTransformer, text: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the bound by each estimator, and by numbers of steps for each schedule."""
    for estimator in ("time", "count"):
        yield f"bound_by_{estimator}", told(denoising_bound(model, text, estimator=estimator, draws=DRAWS))
    part = text[: 2**14]
    for schedule in SCHEDULES:
        of_steps = {}
        for steps in steps_of(
            model.config, STEPS
        ):  # a draw looks at one step: the more there are, the more draws are needed
            draws = max(DRAWS, steps // 2)
            of_steps[steps] = told(bound_of_steps(model, part, steps=steps, schedule=schedule, draws=draws))
        yield f"bound_by_steps_{schedule}", of_steps


def steps_of(config: ModelConfig, steps: tuple[int, ...]) -> Iterator[int]:
    """Yield the numbers of steps to measure: of a block hardly more than it has bytes."""
    for one in steps:
        if not config.block_bytes or one <= 2 * config.block_bytes:
            yield one


def told(bound: Bound) -> tuple[float, float]:
    """Return an estimate and how far its 95 % interval reaches to either side."""
    return round(bound.bits_per_byte, 4), round(bound.interval[1] - bound.bits_per_byte, 4)


def texts_of(model: BitTransformer, corpus: Corpus) -> Iterator[dict[str, Any]]:
    """Yield what texts of a window are like, by sampler and steps."""
    reference = ReferenceModel.fit(corpus.train)
    counts = Counter(WORD.findall(bytes(corpus.train).lower()))
    known = {word for word, count in counts.items() if count > 1}
    length = model.config.window_bytes
    if model.config.objective != "diffusion":
        drawn = generate_batch(model, [bytes_to_bits(b"")] * TEXTS, max_new_bytes=length, seeds=range(TEXTS))
        yield {
            "sampler": "causal",
            "steps": length,
            **quality([text.data for text in drawn], known, reference),
        }
    if not model.config.denoises:
        return
    for sampler in SAMPLERS:
        for steps in steps_of(model.config, SAMPLED_STEPS):
            how = Denoising(steps=steps, sampler=sampler)
            *_, last = denoised(model, Template.around(length), how, seeds=range(TEXTS))
            data = [sample.data for sample in samples(last, parity=model.config.parity)]
            yield {"sampler": sampler, "steps": steps, **quality(data, known, reference)}


def quality(texts: list[bytes], known: set[bytes], reference: ReferenceModel) -> dict[str, Any]:
    """Return the share of known words, the texts' cost by the reference, their entropy, and one of them."""
    words = [word for text in texts for word in WORD.findall(text.lower())]
    counts = np.bincount(np.frombuffer(b"".join(texts), dtype=np.uint8))
    shares = counts[counts > 0] / counts.sum()
    return {
        "words_known": round(sum(word in known for word in words) / max(1, len(words)), 4),
        "reference_bits_per_byte": round(
            sum(reference.bits_per_byte(text) for text in texts) / len(texts), 3
        ),
        "entropy_bits": round(-float((shares * np.log2(shares)).sum()), 3),
        "text": texts[0].decode(errors="replace"),
    }


def measure(side: str, corpus: Corpus, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one side and return what came of it."""
    shape, training = preset(arguments.size, **{"mixing": "none", **dict(arguments.set)})
    model = replace(shape, **SIDES[side])
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        setting = Setting(corpus, model, training, arguments.threads, arguments.seed, Path(folder))
        trained = train(lambda given: Learning(given, found), setting, arguments.minutes)
    trained.pop("curve")
    return {
        "side": side,
        "corpus": corpus.name,
        "minutes": arguments.minutes,
        "threads": arguments.threads,
        "size": arguments.size,
        "changes": dict(arguments.set),
        **trained,
        **found,
    }


def changed(text: str) -> tuple[str, Any]:
    """Return a setting's name and value."""
    name, _, value = text.partition("=")
    return name, value_of(value)


def main() -> None:
    """Measure the sides that are asked for, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="kjv", help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--size", default="small")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--set", nargs="+", type=changed, default=[], metavar="NAME=VALUE")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm/corpora"))
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--name", default="diffusion", help="of the file in results/")
    arguments = parser.parse_args()
    compile_functions()
    corpus = corpus_of(arguments.corpus, arguments.cache)
    path = arguments.output / f"{datetime.now(UTC):%Y-%m-%d}-{arguments.name}.json"
    for side in arguments.only:
        row = measure(side, corpus, arguments)
        print(json.dumps({name: value for name, value in row.items() if name != "texts"}), flush=True)
        for text in row["texts"]:
            *figures, shown = text.values()
            print(" ", *figures, repr(shown[:60]))
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        keep(arguments.output, arguments.name, by=__file__, rows=[*rows, row])


if __name__ == "__main__":
    main()
