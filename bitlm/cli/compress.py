"""`bitlm compress` and `bitlm decompress`: a file as a model codes it, and back to the last byte."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Annotated

import torch
import typer

from bitlm import compression
from bitlm.baselines import compressed_bytes
from bitlm.cli.export import Force, refuse_to_overwrite
from bitlm.cli.opening import LATEST, Opened, open_model
from bitlm.cli.options import (
    DEFAULT_DATA_DIR,
    WHICH_RUN,
    Checkpoint,
    DataDir,
    Json,
    Model,
    Run,
    default_threads,
)
from bitlm.cli.printing import bar
from bitlm.compression import Progress
from bitlm.errors import ConfigError
from bitlm.history.aside import written_aside

SUFFIX = ".bitlm"

File = Annotated[Path, typer.Argument(help="What is read.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads (default: cores - 1); no bit depends on it.")
]

ProgressLines = Annotated[
    bool, typer.Option("--progress", help="Bytes done as lines of JSON on the error stream.")
]

LINE_INTERVAL_S = 0.2


def compress(
    file: File,
    run: Run = "latest",
    checkpoint: Checkpoint = None,
    model: Model = None,
    output: Annotated[Path | None, typer.Option(help="What is written (default: FILE.bitlm).")] = None,
    force: Force = False,
    threads: Threads = None,
    progress_lines: ProgressLines = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write a file as a run's model codes it: in as many bits as `evaluate` says, within 1 %.

    Only the same checkpoint gives it back, which the file names: give that checkpoint a name of yours, and
    it is kept. Any bytes will do; what the model would make longer is kept as it is.

    Examples:
      python -m bitlm compress letter.txt

      python -m bitlm compress letter.txt --run 20261122-120000-ab12 --checkpoint 400 --output letter.bitlm

      python -m bitlm checkpoints name 20261122-120000-ab12 400 "compresses my letters"
    """
    place = output or file.with_name(file.name + SUFFIX)
    refuse_to_overwrite(place, force=force)
    with file.open("rb") as source:
        opened = open_model(data_dir, run, checkpoint, model)
        if opened.telemetry.causal_share == 0.0:
            raise ConfigError(
                "run", opened.run_id, "it only denoises: compress with one that reads on as well."
            )
        length = file.stat().st_size
        began = _begin(threads)
        with (
            written_aside(place) as target,
            _told_of("compressing", length, lines=progress_lines) as progress,
        ):
            compression.compress(opened.model, source, target, name=opened.name, progress=progress)
        seconds = time.perf_counter() - began
        source.seek(0)
        alone = compressed_bytes(source)
    coded = place.stat().st_size
    result = _result(file, place, opened, length, coded, seconds)
    if as_json:
        typer.echo(json.dumps({**result, "alone_bytes": alone}))
        return
    beside = " · ".join(f"{other} {size:,}" for other, size in alone.items())
    typer.echo(f"{place}: {length:,} → {coded:,} bytes, {_told(length, coded, seconds)}; alone {beside}")


def decompress(
    file: File,
    run: Annotated[str | None, typer.Option(help=f"{WHICH_RUN} (default: what the file names)")] = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(
            min=0, help="Step of a checkpoint (default: what the file names; with --run the newest)."
        ),
    ] = None,
    model: Model = None,
    output: Annotated[
        Path | None, typer.Option(help="What is written (default: FILE without .bitlm).")
    ] = None,
    force: Force = False,
    threads: Threads = None,
    progress_lines: ProgressLines = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Give back what `compress` made small, with the run and the checkpoint that the file names.

    The output is there once its checksum is right, and not before: a damaged file or another model is an
    error, and never other bytes.

    Examples:
      python -m bitlm decompress letter.txt.bitlm

      python -m bitlm decompress letter.txt.bitlm --output again.txt --force
    """
    place = output or _without_suffix(file)
    refuse_to_overwrite(place, force=force)
    with file.open("rb") as source:
        header = compression.read_header(source)
        source.seek(0)
        if run is None and model is None:
            run, checkpoint = _named(header.name, checkpoint)
        opened = open_model(data_dir, run or LATEST, checkpoint, model)
        began = _begin(threads)
        with (
            written_aside(place) as target,
            _told_of("giving back", header.length, lines=progress_lines) as progress,
        ):
            compression.decompress(opened.model, source, target, progress=progress)
        seconds = time.perf_counter() - began
    coded = file.stat().st_size
    if as_json:
        typer.echo(json.dumps(_result(file, place, opened, header.length, coded, seconds)))
        return
    told = _told(header.length, coded, seconds)
    typer.echo(f"{place}: {coded:,} → {header.length:,} bytes, {told}; every byte is as it was.")


def _named(name: str, checkpoint: int | None) -> tuple[str, int]:
    """Return the run that a compressed file names, and its checkpoint unless another is asked for."""
    run, _, step = name.rpartition("@")
    if not run or not step.isdecimal():
        made_by = f"{name!r} made the file" if name else "the file names none"
        raise ConfigError("run", None, f"{made_by}: say with --run or --model what to give it back with.")
    return run, int(step) if checkpoint is None else checkpoint


def _begin(threads: int | None) -> float:
    torch.set_num_threads(threads or default_threads())
    return time.perf_counter()


def _without_suffix(file: Path) -> Path:
    if file.suffix != SUFFIX:
        raise ConfigError(
            "output", None, f"{file.name} does not end with {SUFFIX}: say with --output where to."
        )
    return file.with_suffix("")


@contextmanager
def _told_of(what: str, length: int, *, lines: bool) -> Iterator[Progress]:
    """Yield what says how far it is: a bar for people, or lines for programs, some in a second at most."""
    if not lines:
        with bar(what, length) as move:
            yield lambda more: move(advance=more)
        return
    done, said, lock = 0, 0.0, Lock()

    def note(more: int) -> None:
        nonlocal done, said
        with lock:
            done += more
            now = time.monotonic()
            if now - said >= LINE_INTERVAL_S or done == length:
                said = now
                typer.echo(json.dumps({"done": done, "total": length}), err=True)

    yield note


def _told(length: int, coded: int, seconds: float) -> str:
    share = f"{8 * coded / length:.3f} bits per byte, " if length else ""
    return f"{share}{length / seconds / 1000:.1f} kB/s"


def _result(
    file: Path, place: Path, opened: Opened, length: int, coded: int, seconds: float
) -> dict[str, object]:
    return {
        "run_id": opened.run_id,
        "step": opened.step,
        "file": str(file),
        "output": str(place),
        "bytes": length,
        "compressed_bytes": coded,
        "bits_per_byte": 8 * coded / length if length else None,
        "seconds": round(seconds, 3),
    }
