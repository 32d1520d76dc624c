"""The figures of the quality benchmark, kept so that it can be run piece by piece; and their bars."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

MIXING, NO_MIXING, SOFTMAX = "BitLM with mixing", "BitLM without mixing", "byte softmax"
MODELS = (MIXING, NO_MIXING, SOFTMAX)


@dataclass(frozen=True)
class Figure:
    """Bits per byte of one side on one corpus.

    Attributes:
        corpus: Its name.
        corpus_bytes: Its size, the held-out tenth included.
        side: A model's, a compressor's or an order's name.
        bits_per_byte: Of the whole held-out tenth, given the rest.
        at: When it was measured.
        machine: On what.
        adapting_bits_per_byte: The same while the counts mixed in grow with what is read, as PPMd's do; None
            without mixing.
        minutes: The budget; None for what is not trained, as all that follows.
        preset: The size.
        changes: What was changed of it.
        threads: Threads it computed with.
        seed: Key of every draw.
        parameters: Weights.
        steps: Updates done.
        bytes_seen: Bytes trained on.
        busy_s: What the budget counts: see `BusyClock`.
        wall_s: Wall time of the same.
        cpu_s: Processor time of the same, of all threads.
        curve: (minutes, quick estimate of held-out bits per byte) while it trained.
        code: Hash of the benchmark's code; None for figures older than that.
    """

    corpus: str
    corpus_bytes: int
    side: str
    bits_per_byte: float
    at: str
    machine: dict[str, Any]
    adapting_bits_per_byte: float | None = None
    minutes: float | None = None
    preset: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None
    seed: int | None = None
    parameters: int | None = None
    steps: int | None = None
    bytes_seen: int | None = None
    busy_s: float | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)
    code: str | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What a newer figure replaces an older one of."""
        setting = (self.preset, json.dumps(self.changes, sort_keys=True), self.threads, self.seed)
        return self.corpus, self.side, self.minutes, *setting


@dataclass(frozen=True)
class Bar:
    """What must hold: `side` is below `below` when it has trained for so many minutes."""

    side: str
    minutes: float
    below: str


BARS = (
    Bar(MIXING, 1, "gzip"),
    Bar(MIXING, 3, "xz"),
    Bar(MIXING, 5, "bzip2"),
    Bar(MIXING, 20, "PPMd order 6"),
    Bar(NO_MIXING, 2, "gzip"),
    Bar(NO_MIXING, 7, "xz"),
    Bar(NO_MIXING, 15, "bzip2"),
)


def bar_minutes(side: str) -> list[float]:
    """Return the budgets a side's bars name; the softmax, which has none, is trained for all of them."""
    return sorted({bar.minutes for bar in BARS if side in {bar.side, SOFTMAX}})


def append(folder: Path, figure: Figure, now: datetime) -> Path:
    """Add a figure to the file of the day; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%d}-quality.json"
    figures = json.loads(path.read_text())["figures"] if path.exists() else []
    record = {"benchmark": "quality", "figures": [*figures, asdict(figure)]}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def read(folder: Path) -> list[Figure]:
    """Return the figures of all files, the newest of each key."""
    newest: dict[tuple[object, ...], Figure] = {}
    for path in sorted(folder.glob("*-quality.json")):
        for entry in json.loads(path.read_text())["figures"]:
            figure = Figure(**entry)
            newest[figure.key] = figure
    return list(newest.values())


def chosen(figures: Iterable[Figure], preset: str, changes: dict[str, Any], threads: int) -> list[Figure]:
    """Return what is not trained, and of what is trained that with these settings."""
    return [
        figure
        for figure in figures
        if figure.minutes is None
        or (figure.preset, figure.changes, figure.threads) == (preset, changes, threads)
    ]


def table(figures: Sequence[Figure]) -> list[str]:
    """Return one corpus's figures, lowest last, as lines of text."""
    titles = f"{'side':24}{'minutes':>8}{'bpb':>8}{'adapting':>10}"
    lines = [f"{titles}{'parameters':>12}{'steps':>8}{'wall s':>8}{'CPU s':>8}"]
    for figure in sorted(figures, key=lambda figure: -figure.bits_per_byte):
        line = f"{figure.side:24}{figure.minutes or '':>8}{figure.bits_per_byte:8.3f}"
        if figure.minutes is not None:
            adapting = figure.adapting_bits_per_byte
            line += f"{adapting:10.3f}" if adapting is not None else " " * 10
            line += f"{figure.parameters:12,}{figure.steps:8}{figure.wall_s:8.0f}{figure.cpu_s:8.0f}"
        lines.append(line)
    return lines


def verdicts(figures: Sequence[Figure]) -> list[str]:
    """Return each bar and whether one corpus's figures pass it, in words."""
    lines = []
    for bar in BARS:
        trained = [one for one in figures if (one.side, one.minutes) == (bar.side, bar.minutes)]
        fixed = [one for one in figures if one.side == bar.below]
        verdict = "not measured"
        if trained and fixed:
            reached, needed = trained[-1].bits_per_byte, fixed[-1].bits_per_byte
            verdict = f"{'pass' if reached < needed else 'FAIL'}: {reached:.3f}, {bar.below} {needed:.3f}"
            adapting = trained[-1].adapting_bits_per_byte
            if adapting is not None:
                passes = "pass" if adapting < needed else "FAIL"
                verdict += f"; with adapting counts {passes}: {adapting:.3f}"
        lines.append(f"{bar.side}, {bar.minutes:g} min, below {bar.below}: {verdict}")
    return lines
