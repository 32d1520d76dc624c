"""What do eight and four bits a weight cost, of quality, bytes and speed? Prints a table, writes results/.

Of each text two models of one size are trained as `benchmarks.quality` does it, for as many busy minutes: one
has exact weights; the other is forked where the learning rate begins to fall, and knows from there that they
will be kept in four bits (`qat`). Each is kept as a file, read again, measured on the whole held-out tenth,
and lets texts be drawn in turns: what slows one down slows the other. Beside them torch's `quantize_dynamic`:
it keeps linear layers in 8 bits, and cannot decode. Texts are NAME/MIXING; without it weights have to know
all.

    python -m benchmarks.quantisation --texts embedded/reference kjv/none --minutes 0.5
"""

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.quality_corpora import corpus_of
from benchmarks.quality_sides import BitlmLearning, Setting, train
from benchmarks.record import RESULTS, keep
from bitlm.bits import bytes_to_bits
from bitlm.cli.compile import compile_functions
from bitlm.cli.opening import LATEST, open_run
from bitlm.data import Corpus
from bitlm.generation import generate
from bitlm.growth import greatest_logit_difference
from bitlm.history.branching import fork
from bitlm.model import BitTransformer
from bitlm.model_file import load_model, save_model
from bitlm.quantisation import PRECISIONS
from bitlm.session import Session, preset
from bitlm.training import held_out_bits_per_byte

DYNAMIC = "torch's quantize_dynamic"
DRAWN_BYTES = 256
TURNS = 7


@dataclass(frozen=True)
class Row:
    """A model as it was trained, and as it is kept.

    Attributes:
        text: Its name.
        mixing: Whether counts are mixed in.
        trained: "exact" or "qat".
        kept: A precision, or torch's own.
        steps: Updates in the minutes there were.
        bits_per_byte: Of the held-out tenth.
        logit_difference: Greatest |difference| of a logit to the model as it was trained.
        weight_bytes: What weights take in the file, scales included.
        file_bytes: What all of it takes, counts included; None of torch's, which writes no such file.
        parameters: Weights.
        evaluation_cpu_s: Processor time of measuring it.
        drawn_bytes_per_cpu_s: Bytes of one text drawn in a second of processor time; None where it cannot.
    """

    text: str
    mixing: str
    trained: str
    kept: str
    steps: int
    bits_per_byte: float
    logit_difference: float
    weight_bytes: int
    file_bytes: int | None
    parameters: int
    evaluation_cpu_s: float
    drawn_bytes_per_cpu_s: float | None


@dataclass(frozen=True)
class Kept:
    """A model read again, and what its file takes."""

    model: BitTransformer
    weight_bytes: int
    file_bytes: int | None


class LaterInFourBits(BitlmLearning):
    """A session that is forked with `qat` where annealing begins."""

    def anneal(self, steps: int) -> None:
        """Go on in the fork."""
        exact = self._session
        exact.save()
        exact.close()
        forked = fork(exact.store, exact.run_id, settings={"qat": True}, source="session")
        self._session = Session.open(exact.store, forked)
        super().anneal(steps)


SIDES = {"exact": (BitlmLearning, (*PRECISIONS, DYNAMIC)), "qat": (LaterInFourBits, ("int4",))}
"""How each model is trained, and the ways of keeping it that are measured."""


def kept_ways(model: BitTransformer, folder: Path) -> dict[str, Kept]:
    """Return the model as each kind of file gives it back, and as torch makes it."""
    found: dict[str, Kept] = {}
    for precision in PRECISIONS:
        path = folder / f"{precision}.safetensors"
        save_model(model, path, precision=precision)
        read = load_model(path)
        found[precision] = Kept(read.model, read.weight_bytes, path.stat().st_size)
    dynamic = by_torch(model)
    written = BytesIO()
    torch.save(dynamic.state_dict(), written)
    found[DYNAMIC] = Kept(dynamic, len(written.getvalue()), None)
    return found


def by_torch(model: BitTransformer) -> BitTransformer:
    """Return the model with the linear layers that are alike replaced by torch's; the mixer reads its own."""
    from torch.ao.quantization import (  # noqa: PLC0415 - it imports torch's compiler
        default_dynamic_qconfig,
        quantize_dynamic,
    )

    chosen = {
        name: default_dynamic_qconfig
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.startswith("mixer")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        replaced: BitTransformer = quantize_dynamic(deepcopy(model), chosen)  # type: ignore[no-untyped-call] # torch's
    return replaced


def drawn_bytes_per_cpu_s(kept: Mapping[str, Kept], history: bytes) -> dict[str, float]:
    """Return how fast each kind of file lets a text be drawn: in the fastest of some turns."""
    prompt = bytes_to_bits(history)
    times: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for turn in range(TURNS):
        for precision in PRECISIONS:
            began = time.process_time()
            for _ in generate(kept[precision].model, prompt, max_new_bytes=DRAWN_BYTES, seed=turn):
                pass
            times[precision].append(time.process_time() - began)
    return {precision: DRAWN_BYTES / min(taken) for precision, taken in times.items()}


def rows_of(
    model: BitTransformer, corpus: Corpus, trained: str, steps: int, kinds: Sequence[str]
) -> Iterator[Row]:
    """Yield what becomes of a trained model in those ways of keeping it."""
    with TemporaryDirectory() as folder:
        kept = kept_ways(model, Path(folder))
    speeds = drawn_bytes_per_cpu_s(kept, corpus.held_out[:64])
    for kind in kinds:
        one = kept[kind]
        began = time.process_time()
        bits_per_byte = held_out_bits_per_byte(one.model, corpus.held_out)
        took = time.process_time() - began
        yield Row(
            text=corpus.name,
            mixing=model.config.mixing,
            trained=trained,
            kept=kind,
            steps=steps,
            bits_per_byte=bits_per_byte,
            logit_difference=greatest_logit_difference(model, one.model, corpus.held_out),
            weight_bytes=one.weight_bytes,
            file_bytes=one.file_bytes,
            parameters=model.parameter_count,
            evaluation_cpu_s=took,
            drawn_bytes_per_cpu_s=speeds.get(kind),
        )


def measured(options: argparse.Namespace) -> Iterator[Row]:
    """Train what is to be kept, and yield its rows."""
    for spec in options.texts:
        name, _, mixing = spec.partition("/")
        corpus = corpus_of(name, options.cache)
        model, training = preset(options.preset, mixing=mixing or "reference")
        for trained, (learning, kinds) in SIDES.items():
            with TemporaryDirectory() as folder:
                setting = Setting(corpus, model, training, options.threads, options.seed, Path(folder))
                train(learning, setting, options.minutes)
                session = open_run(Path(folder), LATEST)
                torch.set_num_threads(options.threads)
                yield from rows_of(session.model, corpus, trained, session.step_count, kinds)
                session.store.close()


def report(row: Row) -> None:
    """Print one row."""
    share = row.weight_bytes / (4 * row.parameters)
    drawn = "does not decode"
    if row.drawn_bytes_per_cpu_s is not None:
        drawn = f"{row.drawn_bytes_per_cpu_s:,.0f} B/s drawn"
    whole = "" if row.file_bytes is None else f" (file {row.file_bytes:,} bytes)"
    print(
        f"{row.text}, mixing {row.mixing}, trained {row.trained}, {row.steps} steps, kept as {row.kept}: "
        f"{row.bits_per_byte:.4f} bpb, logits change by {row.logit_difference:.3g}, "
        f"weights {share:.3f} of float32{whole}, {row.evaluation_cpu_s:.1f} s to evaluate, {drawn}",
        flush=True,
    )


def main() -> None:
    """Train, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", nargs="+", default=["embedded/reference", "kjv/none"])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--minutes", type=float, default=0.5, help="busy minutes of each training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path(".bitlm/corpora"), help="where texts are kept")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compile_functions()
    rows = []
    for row in measured(options):
        report(row)
        rows.append(asdict(row))
    settings = {key: value for key, value in vars(options).items() if key not in ("output", "cache")}
    keep(options.output, "quantisation", by=__file__, settings=settings, rows=rows)


if __name__ == "__main__":
    main()
