"""Is a student better than the same model trained alone for as long, and how near to its teacher is it?

A teacher is trained on nine tenths of a text. A student is made of it as `bitlm distil` does it, and all that
takes counts as its time: looking at the teacher, cutting, every update with the teacher's own passes, and
measuring against the floors. Two others of its shape are then trained for just as long, on the text alone:
one from the beginning, as one would without a teacher, and one cut out of the teacher, which says what the
teacher's probabilities are worth beside its weights. With --heads there are also students of as many weights
that keep fewer heads, for more channels. Rates fall over the second half of each. All four are
evaluated on the held-out tenth. Times are those of an idle machine (`BusyClock`).

    python -m benchmarks.distillation --corpus kjv --preset base --minutes 8 --steps 800
    python -m benchmarks.distillation --corpus embedded --preset small --minutes 1 --steps 400 --heads 1
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality_corpora import corpus_of
from benchmarks.quality_sides import BusyClock, Setting, train
from benchmarks.record import RESULTS, keep
from bitlm.bits import encode_frames
from bitlm.cli.compile import compile_functions
from bitlm.data import cut, window_starts
from bitlm.distillation import Floors, Lesson, TelemetrySynthesizer, collapse_submodel, submodel
from bitlm.earlier_counts import EarlierCounts
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.session import preset
from bitlm.training import Annealing, Trainer, held_out_bits_per_byte, learning_rate_factor

OWN_BATCHES = 1
"""Added to the seed of all but the teacher: they see other batches than it, the same as each other."""


class TextLearning:
    """A model, however it came about, that learns the text alone, under BitLM's recipe and no session."""

    def __init__(self, model: BitTransformer, setting: Setting, seed: int) -> None:
        self.model, self.parameters = model, model.parameter_count
        self._corpus, self._seed, self._steps = setting.corpus, seed, 0
        self._trainer = Trainer(model, setting.training)
        self._annealing: Annealing | None = None
        mixes = model.mixer is not None
        self._earlier = (
            EarlierCounts(np.frombuffer(bytes(self._corpus.train), dtype=np.uint8)) if mixes else None
        )

    def step(self) -> None:
        """Do one update."""
        config, training = self.model.config, self._trainer.config
        draw = generator(self._seed, self._steps, "batch")
        starts = window_starts(self._corpus.train, config.window_bytes, training.batch_size, draw)
        batch, counts = cut(self._corpus.train, config.window_bytes, starts), None
        if self._earlier is not None:
            counts = self._earlier.of_step(self._steps, batch.numpy(), starts.numpy(), config.mixing_order)
        self._trainer.update(
            encode_frames(batch, parity=config.parity),
            rate_factor=learning_rate_factor(self._steps, training.warmup_steps, self._annealing),
            dropout_seed=counter_seed(self._seed, self._steps, "dropout"),
            counts=counts,
        )
        self._steps += 1

    def anneal(self, steps: int) -> None:
        """Begin now."""
        self._annealing = Annealing(self._steps, steps, 1.0)

    def finish(self) -> None:
        """Do nothing: it keeps nothing."""

    def evaluate(self) -> dict[str, float]:
        """Measure."""
        return {"bits_per_byte": held_out_bits_per_byte(self.model, self._corpus.held_out)}


class Sides:
    """The teacher, and those who come after it."""

    def __init__(self, setting: Setting, options: argparse.Namespace) -> None:
        self._setting, self._options = setting, options
        self._reference = ReferenceModel.fit(setting.corpus.train)
        self.rows: list[dict[str, Any]] = []
        self.teacher = self._fresh(setting.model)

    def run(self) -> None:
        """Train and evaluate all."""
        seed = self._setting.seed
        self._learn("teacher", lambda: self.teacher, self._options.minutes, seed)
        representatives = TelemetrySynthesizer(self.teacher, seed=seed).cluster(self._setting.corpus.train)
        student, minutes = self._distilled("student", None, seed + OWN_BATCHES)
        for heads in self._options.heads:
            self._distilled(f"student, {heads} of its teacher's heads", heads, seed + OWN_BATCHES)
        shape = student.config
        self._learn("alone", lambda: self._fresh(shape), minutes, seed + OWN_BATCHES)
        self._learn(
            "cut out, without its teacher's say",
            lambda: submodel(self.teacher, shape, representatives),
            minutes,
            seed + OWN_BATCHES,
        )

    def _distilled(self, name: str, heads: int | None, seed: int) -> tuple[BitTransformer, float]:
        """Make the student; return it, and the minutes that took."""
        corpus, clock = self._setting.corpus, BusyClock(self._setting.threads)
        began = clock()
        found = collapse_submodel(
            self.teacher,
            TelemetrySynthesizer(self.teacher, seed=seed).cluster(corpus.train),
            int(self._options.share * self.teacher.parameter_count),
            Floors(),
            max_rounds=1,
            heads=heads,
            lesson=Lesson(corpus, self._setting.training, self._options.steps, seed=seed),
        )
        busy_s = clock() - began
        said = {"bits_per_byte": held_out_bits_per_byte(found.student, corpus.held_out), "met": found.met}
        self._keep(name, found.student, {**said, "steps": self._options.steps, "busy_s": round(busy_s, 2)})
        return found.student, busy_s / 60

    def _learn(self, name: str, make: Callable[[], BitTransformer], minutes: float, seed: int) -> None:
        made: list[BitTransformer] = []

        def learning(setting: Setting) -> TextLearning:
            made.append(make())
            return TextLearning(made[0], setting, seed)

        figures = train(learning, self._setting, minutes)
        self._keep(name, made[0], {key: figures[key] for key in ("bits_per_byte", "steps", "busy_s")})

    def _fresh(self, config: Any) -> BitTransformer:
        model = BitTransformer(config, seed=counter_seed(self._setting.seed, 0, "weights"))
        model.reference = self._reference
        return model

    def _keep(self, name: str, model: BitTransformer, figures: dict[str, Any]) -> None:
        row = {"name": name, "parameters": model.parameter_count, **figures}
        self.rows.append(row)
        print(
            f"{name}: {row['bits_per_byte']:.4f} bpb, {row['parameters']:,} parameters, "
            f"{row['steps']:,} steps in {row['busy_s'] / 60:.2f} min",
            flush=True,
        )


def main() -> None:
    """Train all sides, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="kjv", help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument("--cache", type=Path, default=Path(".bitlm/corpora"), help="where texts are kept")
    parser.add_argument("--preset", default="base", help="of the teacher")
    parser.add_argument("--minutes", type=float, default=8, help="of the teacher")
    parser.add_argument("--share", type=float, default=0.4, help="of its parameters that a student may have")
    parser.add_argument("--steps", type=int, default=800, help="of the student")
    parser.add_argument(
        "--heads", type=int, nargs="*", default=[], help="also students that keep so many of each layer"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    compile_functions()
    corpus = corpus_of(options.corpus, options.cache)
    made = preset(options.preset, autocast="off")  # not tried anew for each side
    setting = Setting(corpus, *made, options.threads, options.seed, Path())
    sides = Sides(setting, options)
    sides.run()
    settings = {key: value for key, value in vars(options).items() if key not in ("output", "cache")}
    keep(options.output, "distillation", by=__file__, settings=settings, sides=sides.rows)


if __name__ == "__main__":
    main()
