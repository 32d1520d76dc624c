"""How good is BitLM after so many minutes? Bits per byte of held-out text, beside compressors and a softmax.

Every side is given the same nine tenths of a text and charged for the last: compressors what it adds to the
compressed rest, models its code length. Each budget is a training of its own, whose learning rate falls over
its second half; minutes are those of an idle machine (`BusyClock`), wall and processor time stand beside
them. Each figure is added to the dated JSON in results/ as soon as it is there, so the benchmark can be run
piece by piece; `--draw` makes table and picture of all that is there.

    python -m benchmarks.quality --corpus embedded sotu kjv --only compressors reference
    python -m benchmarks.quality --corpus sotu --only mixing --budgets 1 3 --preset small --set batch_size=8
    python -m benchmarks.quality --draw docs/quality.svg
"""

import argparse
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.closure import code_in_force
from benchmarks.machine import machine
from benchmarks.quality_corpora import corpus_of
from benchmarks.quality_picture import picture
from benchmarks.quality_record import (
    MIXING,
    NO_MIXING,
    SOFTMAX,
    Figure,
    append,
    bar_minutes,
    chosen,
    read,
    table,
    verdicts,
)
from benchmarks.quality_sides import (
    BitlmLearning,
    Setting,
    SoftmaxLearning,
    compressed_bits_per_byte,
    counted_bits_per_byte,
    train,
)
from benchmarks.record import RESULTS
from bitlm.cli.compile import compile_functions
from bitlm.data import Corpus
from bitlm.session import preset

MODELS = {"mixing": MIXING, "no-mixing": NO_MIXING, "softmax": SOFTMAX}
MIXING_OF = {MIXING: {"mixing": "reference"}, NO_MIXING: {"mixing": "none"}, SOFTMAX: {}}
SIDES = ("compressors", "reference", *MODELS)


def value_of(text: str) -> int | float | str | bool:
    """Return what stands behind `key=`: a number, true or false where it is one, else the word itself."""
    if text in {"true", "false"}:
        return text == "true"
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return text


def changes_of(settings: list[str]) -> dict[str, Any]:
    """Return the changes of the preset that `--set` names."""
    pairs = (setting.partition("=") for setting in settings)
    return {key: value_of(value) for key, _, value in pairs}


def measured(corpus: Corpus, side: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what there is to say of a side on a corpus, figure by figure."""
    if side not in MODELS:
        found = compressed_bits_per_byte(corpus) if side == "compressors" else counted_bits_per_byte(corpus)
        for name, bits_per_byte in found:
            yield {"side": name, "bits_per_byte": bits_per_byte}
        return
    name, changes = MODELS[side], changes_of(options.set)
    model, training = preset(options.preset, **changes, **MIXING_OF[name])
    make = SoftmaxLearning if name == SOFTMAX else BitlmLearning
    for minutes in options.budgets or bar_minutes(name):
        with TemporaryDirectory() as folder:
            setting = Setting(corpus, model, training, options.threads, options.seed, Path(folder))
            yield {
                "side": name,
                "minutes": minutes,
                "preset": options.preset,
                "changes": changes,
                "threads": options.threads,
                "seed": options.seed,
                **train(make, setting, minutes),
            }


def run(options: argparse.Namespace) -> None:
    """Measure what was asked for, keeping each figure as it comes; no minute of it goes to a compiler."""
    compile_functions()
    for spec in options.corpus:
        corpus = corpus_of(spec, options.cache)
        for side in options.only:
            for found in measured(corpus, side, options):
                now = datetime.now(UTC)
                figure = Figure(
                    corpus=corpus.name,
                    corpus_bytes=len(corpus.data),
                    at=now.isoformat(timespec="seconds"),
                    machine=machine(),
                    code=code_in_force(__file__),
                    **found,
                )
                path = append(options.output, figure, now)
                budget = f", {figure.minutes:g} min" if figure.minutes is not None else ""
                print(
                    f"{figure.corpus}, {figure.side}{budget}: {figure.bits_per_byte:.3f}  ({path.name})",
                    flush=True,
                )


def report(options: argparse.Namespace) -> None:
    """Print the table and the verdicts of all that was measured with these settings, and draw it."""
    figures = chosen(read(options.output), options.preset, changes_of(options.set), options.threads)
    names = list(dict.fromkeys(figure.corpus for figure in figures))
    for name in names:
        of_corpus = [figure for figure in figures if figure.corpus == name]
        print(
            f"\n{name}, {of_corpus[0].corpus_bytes:,} bytes",
            *table(of_corpus),
            *verdicts(of_corpus),
            sep="\n",
        )
    if options.draw is not None:
        trained = {figure.corpus for figure in figures if figure.minutes is not None}
        options.draw.write_text(picture([figure for figure in figures if figure.corpus in trained]))
        print(f"drawn to {options.draw}")


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="+", default=["embedded"], help="embedded, sotu, kjv, or NAME=PATH")
    parser.add_argument(
        "--only", nargs="+", choices=SIDES, default=SIDES, metavar="SIDE", help=", ".join(SIDES)
    )
    parser.add_argument(
        "--budgets", nargs="+", type=float, help="minutes (default: those a side's bars name)"
    )
    parser.add_argument("--preset", default="small")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes of the preset")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--cache", type=Path, default=Path(".bitlm") / "corpora", help="folder of fetched texts"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument(
        "--draw", type=Path, metavar="SVG", help="measure nothing; print and draw what was measured"
    )
    options = parser.parse_args()
    if options.draw is None:
        run(options)
    report(options)


if __name__ == "__main__":
    main()
