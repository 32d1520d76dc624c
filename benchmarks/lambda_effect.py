"""What does each λ do? Prints a table, writes it to results/ and draws it.

From the same seed, twins are trained on the same batches; their journals differ by one λ, set before the
first step. Each is measured by what it says of held-out text (bits per byte, K) and by texts drawn from it
after held-out prompts, at several temperatures: C, S, the share of a text that copies of one passage take,
and the share of texts that are loops, which is what the gate refuses as copies.

    python -m benchmarks.lambda_effect
    python -m benchmarks.lambda_effect --only C --values 0.3 --seeds 0 1 2 3 --mixing none
    python -m benchmarks.lambda_effect --draw docs/lambda.svg
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import NoReturn

import torch

from benchmarks.lambda_picture import picture
from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits, encode_frames
from bitlm.data import Corpus, even_windows
from bitlm.gate import REPETITION_CEILING
from bitlm.generation import Sample, generate_batch
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel
from bitlm.session import preset
from bitlm.session.config import RunConfig
from bitlm.session.learner import Learner
from bitlm.telemetry import lz_complexity, negentropy_score, repetition, symbiosis_score
from bitlm.training import held_out_bits_per_byte
from bitlm.version import VERSION

LAMBDAS = ("K", "C", "S")
NAME = "lambda_effect"
PROMPT_BYTES = 32
K_WINDOWS = 64


@dataclass(frozen=True)
class Drawn:
    """Means over the texts drawn at one temperature.

    Attributes:
        temperature: 0 is greedy.
        C: LZ complexity.
        S: Symbiosis.
        repetition: Share of a text that copies of one passage take.
        loops: Share of the texts of which copies take more than the gate allows.
    """

    temperature: float
    C: float
    S: float
    repetition: float
    loops: float


@dataclass(frozen=True)
class Twin:
    """One training.

    Attributes:
        seed: Of weights, batches and draws.
        name: The λ that was set; empty where none was.
        value: What it was set to.
        bits_per_byte: Of the whole held-out text.
        K: Of the predictions of held-out windows.
        drawn: By temperature.
    """

    seed: int
    name: str
    value: float
    bits_per_byte: float
    K: float
    drawn: list[Drawn]


def main() -> None:
    """Train twins, measure, print, write; or draw what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="embedded")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--mixing", default="reference", help="reference or none")
    parser.add_argument("--steps", type=int, default=600, help="the rate falls over their second half")
    parser.add_argument("--only", nargs="+", default=LAMBDAS, choices=LAMBDAS, help="which λ")
    parser.add_argument("--values", type=float, nargs="+", default=[0.03, 0.1, 0.3, 1.0], help="beside 0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.3, 1.0])
    parser.add_argument("--texts", type=int, default=64, help="drawn from each model at each temperature")
    parser.add_argument("--text-bytes", type=int, default=256)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--draw", type=Path, metavar="SVG", help="measure nothing; draw the last result")
    options = parser.parse_args()

    if options.draw:
        options.draw.write_text(picture(json.loads(_last_result(options.output).read_text())["twins"]))
        return
    twins = list(Experiment(Corpus.load(options.corpus), options).twins())
    settings = {name: value for name, value in vars(options).items() if name not in ("output", "draw")}
    keep(options.output, NAME, by=__file__, settings=settings, twins=[asdict(twin) for twin in twins])
    _summarise(twins)


def _last_result(folder: Path) -> Path:
    return max(folder.glob(f"*-{NAME}.json"))


class Experiment:
    """Twins of one corpus, trained and measured alike."""

    def __init__(self, corpus: Corpus, options: argparse.Namespace) -> None:
        self._corpus = corpus
        self._options = options
        self._reference = ReferenceModel.fit(corpus.train)

    def twins(self) -> Iterator[Twin]:
        """Yield them as they are measured, for each seed the one without any λ first."""
        options = self._options
        print(f"{'seed':>4} {'':4}{'value':>6}{'bpb':>8}{'K':>7}   temperature: C, S, repetition, loops")
        settings = [("", 0.0), *((name, value) for name in options.only for value in options.values)]
        for seed in options.seeds:
            for name, value in settings:
                twin = self._measured(self._trained(name, value, seed), name, value, seed)
                print(_line(twin), flush=True)
                yield twin

    def _trained(self, name: str, value: float, seed: int) -> BitTransformer:
        """Return a model trained as a run whose journal begins with this λ."""
        corpus, steps = self._corpus, self._options.steps
        shape, training = preset(self._options.preset, mixing=self._options.mixing, memory="store")
        config = RunConfig(
            model=shape, training=training, corpus=corpus.name, corpus_fingerprint=corpus.fingerprint,
            seed=seed, threads=1, version=VERSION,
        )  # fmt: skip
        learner = Learner(config, corpus, self._reference)
        if name:
            changes = [{"field": f"lambda_{name}", "old": 0.0, "new": value}]
            learner.follow("telemetry_changed", {"changes": changes}, _no_text)
        for step in range(steps):
            if step == steps // 2:
                learner.follow("anneal_started", {"steps": steps - step}, _no_text)
            learner.update()
        return learner.model

    @torch.no_grad()
    def _measured(self, model: BitTransformer, name: str, value: float, seed: int) -> Twin:
        held_out = self._corpus.held_out
        windows = encode_frames(even_windows(held_out, model.config.window_bytes, K_WINDOWS), parity=False)
        return Twin(
            seed=seed,
            name=name,
            value=value,
            bits_per_byte=held_out_bits_per_byte(model, held_out),
            K=float(negentropy_score(torch.sigmoid(model(windows).logits))),
            drawn=[self._drawn(model, temperature, seed) for temperature in self._options.temperatures],
        )

    def _drawn(self, model: BitTransformer, temperature: float, seed: int) -> Drawn:
        prompts = even_windows(self._corpus.held_out, PROMPT_BYTES, self._options.texts)
        samples = generate_batch(
            model,
            [bytes_to_bits(bytes(prompt.tolist())) for prompt in prompts],
            seeds=[counter_seed(seed, index, "text") for index in range(len(prompts))],
            max_new_bytes=self._options.text_bytes,
            temperature=temperature,
        )
        return _of_samples(samples, temperature, self._reference)


def _no_text(sha256: str) -> NoReturn:
    raise AssertionError(f"these runs train on their corpus alone, not on a kept text {sha256}")


def _of_samples(samples: Sequence[Sample], temperature: float, reference: ReferenceModel) -> Drawn:
    shares = [repetition(sample.data).share for sample in samples]
    return Drawn(
        temperature=temperature,
        C=fmean(lz_complexity(sample.payload_bits) for sample in samples),
        S=fmean(symbiosis_score(sample.payload_bits, reference) for sample in samples),
        repetition=fmean(shares),
        loops=fmean(share > REPETITION_CEILING for share in shares),
    )


def _line(twin: Twin) -> str:
    drawn = "   ".join(
        f"{one.temperature:g}: {one.C:.2f} {one.S:.2f} {one.repetition:4.0%} {one.loops:4.0%}"
        for one in twin.drawn
    )
    return f"{twin.seed:4} {twin.name:4}{twin.value:6g}{twin.bits_per_byte:8.3f}{twin.K:7.3f}   {drawn}"


def _summarise(twins: Sequence[Twin]) -> None:
    """Print what each setting changes against the twin of the same seed: mean and standard error."""
    plain = {twin.seed: twin for twin in twins if not twin.name}
    print("\nagainst the twin without λ: mean change ± standard error over the seeds")
    for name, value in dict.fromkeys((twin.name, twin.value) for twin in twins if twin.name):
        pairs = [(twin, plain[twin.seed]) for twin in twins if (twin.name, twin.value) == (name, value)]
        figures = {
            "bpb": [twin.bits_per_byte - other.bits_per_byte for twin, other in pairs],
            "K": [twin.K - other.K for twin, other in pairs],
        }
        for index, drawn in enumerate(pairs[0][0].drawn):
            for figure in ("C", "S", "loops"):
                figures[f"{figure} at {drawn.temperature:g}"] = [
                    getattr(twin.drawn[index], figure) - getattr(other.drawn[index], figure)
                    for twin, other in pairs
                ]
        print(f"λ_{name} = {value:g}: " + ", ".join(f"{key} {_spread(of)}" for key, of in figures.items()))


def _spread(differences: Sequence[float]) -> str:
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    return f"{fmean(differences):+.3f} ± {error:.3f}"


if __name__ == "__main__":
    main()
