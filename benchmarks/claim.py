"""What a claim is made of: what it says, where its figure comes from, and the bar it is held against."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from benchmarks.quality_record import Figure, read

ROOT = Path(__file__).parent.parent


class EvidenceError(Exception):
    """A claim has nothing to stand on; says which claim, what is missing and how to have it."""


@dataclass(frozen=True)
class Origin:
    """When, on what and with which code a figure was measured.

    Attributes:
        date: Of the day.
        machine: What `benchmarks.machine` said.
        code: Hash by `benchmarks.closure`; None if it was not kept yet.
        module: The benchmark, as imported.
    """

    date: str
    machine: Mapping[str, Any]
    code: str | None
    module: str


@dataclass(frozen=True)
class Reading:
    """What a source says: its values, and of each result they are from its origin."""

    values: Sequence[float]
    origins: Sequence[Origin] = ()


class Source(Protocol):
    """Where a claim's figure comes from."""

    @property
    def by(self) -> str:
        """What measures it, as a reader would start it."""

    def reading(self, results: Path) -> Reading | None:
        """Return what the committed results say; None where there is no figure by the nature of the source.

        Raises:
            EvidenceError: There should be one and is not.
        """


@dataclass(frozen=True)
class Benchmark:
    """A command that measures, and where its figures end up.

    Attributes:
        results: Name of its results, without the date.
        command: What a reader would type.
        minutes: How long it takes, roughly.
    """

    results: str
    command: str
    minutes: float

    @property
    def module(self) -> str:
        """The benchmark as imported."""
        found = re.search(r"-m (benchmarks\.\w+)", self.command)
        assert found, f"{self.command} starts no benchmark"
        return found[1]

    def take(self, values: Callable[[Any], Sequence[float]]) -> "Taken":
        """Return the source of what the function takes out of these results."""
        return Taken(self, values)

    def newest(self, results: Path) -> dict[str, Any]:
        """Return the newest results of that name.

        Raises:
            EvidenceError: There are none.
        """
        dated = re.compile(rf"\d{{4}}-\d\d-\d\d-{re.escape(self.results)}\.json")
        paths = sorted(path for path in results.glob("*.json") if dated.fullmatch(path.name))
        if not paths:
            raise EvidenceError(f"no results named '{self.results}' in {results.name}/: run {self.command}")
        kept: dict[str, Any] = json.loads(paths[-1].read_text(encoding="utf-8"))
        return kept


@dataclass(frozen=True)
class Taken:
    """Values out of a benchmark's newest results."""

    benchmark: Benchmark
    values: Callable[[Any], Sequence[float]]

    @property
    def by(self) -> str:
        """The benchmark's command."""
        return f"`{self.benchmark.command}`"

    def reading(self, results: Path) -> Reading:
        """Take the values out."""
        kept = self.benchmark.newest(results)
        try:
            values = self.values(kept)
        except (LookupError, TypeError) as error:
            told = f"newest results named '{self.benchmark.results}' ({kept['at'][:10]})"
            raise EvidenceError(f"the {told} lack {error}: run {self.benchmark.command}") from error
        origin = Origin(kept["at"][:10], kept["machine"], kept.get("code"), self.benchmark.module)
        return Reading(values, [origin])


@dataclass(frozen=True)
class Asked:
    """One figure of the quality benchmark: a side on a corpus, and of a model its budget and size.

    Attributes:
        corpus: Its name.
        side: A model's, a compressor's or an order's name.
        minutes: The budget; None for what is not trained.
        preset: The size; None for what is not trained.
        field: Which number of `benchmarks.quality_record.Figure` is asked for.
        dropout: What the preset's was changed to; None for the preset as it is.
    """

    corpus: str
    side: str
    minutes: float | None = None
    preset: str | None = None
    field: str = "bits_per_byte"
    dropout: float | None = None

    def of(self, figures: Iterable[Figure]) -> Figure:
        """Return the newest such figure, with nothing else of the preset changed, by one thread.

        Raises:
            LookupError: It was not measured.
        """
        setting = (self.corpus, self.side, self.minutes, self.preset)
        changes = {} if self.dropout is None else {"dropout": self.dropout}
        found = [
            figure
            for figure in figures
            if (figure.corpus, figure.side, figure.minutes, figure.preset) == setting
            and figure.changes == changes
            and figure.threads in {None, 1}
        ]
        if not found:
            budget = f", {self.preset}, {self.minutes:g} min" if self.minutes is not None else ""
            raise LookupError(f"{self.corpus}, {self.side}{budget}")
        return max(found, key=lambda figure: figure.at)


@dataclass(frozen=True)
class Quality:
    """Bits per byte out of all results of the quality benchmark, the newest of each."""

    benchmark: Benchmark
    asked: Sequence[Asked]

    @property
    def by(self) -> str:
        """The benchmark's command."""
        return f"`{self.benchmark.command}`"

    def reading(self, results: Path) -> Reading:
        """Look the figures up."""
        figures = read(results)
        try:
            found = [one.of(figures) for one in self.asked]
        except LookupError as error:
            raise EvidenceError(f"no quality of {error}: run {self.benchmark.command}") from error
        values = [getattr(figure, one.field) for one, figure in zip(self.asked, found, strict=True)]
        if None in values:
            told = self.asked[values.index(None)]
            raise EvidenceError(
                f"no {told.field} of {told.side} on {told.corpus}: run {self.benchmark.command}"
            )
        origins = [
            Origin(figure.at[:10], figure.machine, figure.code, self.benchmark.module) for figure in found
        ]
        return Reading(values, origins)


@dataclass(frozen=True)
class Tests:
    """What holds as long as these tests of a file pass."""

    path: str
    names: Sequence[str]

    @property
    def by(self) -> str:
        """The tests as pytest names them."""
        return "<br>".join(f"`{self.path}::{name}`" for name in self.names)

    def reading(self, results: Path) -> None:
        """Check that the tests are there; what they say is said by running them."""
        del results
        for name in self.names:
            if name not in _tests_of(ROOT / self.path):
                raise EvidenceError(f"there is no test {self.path}::{name}")


def asserted_by(path: str, *names: str) -> Tests:
    """Return the source that a file's tests are."""
    return Tests(path, names)


@dataclass(frozen=True)
class NotMeasured:
    """What nobody has measured, or no program can, and why."""

    why: str

    @property
    def by(self) -> str:
        """Why nothing measures it."""
        return self.why

    def reading(self, results: Path) -> None:
        """There is none."""
        del results


@dataclass(frozen=True)
class Bar:
    """What must hold of a claim's values, in words and as a predicate."""

    words: str
    holds: Callable[..., bool]


@dataclass(frozen=True)
class Claim:
    """One thing that is said of BitLM.

    Attributes:
        says: What it is a figure of.
        source: Where the figure comes from.
        shown: How the values are written, as `str.format` takes them.
        bar: What is asked of it, if anything is.
        readme: Texts with the values in them that README.md must hold.
    """

    says: str
    source: Source
    shown: str = ""
    bar: Bar | None = None
    readme: Sequence[str] = ()


@dataclass(frozen=True)
class Topic:
    """A part of the page."""

    title: str
    claims: Sequence[Claim]


@dataclass(frozen=True)
class Finding:
    """A claim with what its source says today."""

    topic: str
    claim: Claim
    reading: Reading | None

    @cached_property
    def figure(self) -> str:
        """The figure as it is written."""
        if self.reading is not None:
            return self.claim.shown.format(*self.reading.values)
        return "asserted" if isinstance(self.claim.source, Tests) else "not measured"

    @property
    def met(self) -> bool | None:
        """Whether the bar is met by a figure; None without a bar or a figure."""
        if self.claim.bar is None or self.reading is None:
            return None
        return self.claim.bar.holds(*self.reading.values)

    def missing_in(self, readme: str) -> list[str]:
        """Return the texts that README.md should hold and does not."""
        if self.reading is None:
            return []
        told = [text.format(*self.reading.values) for text in self.claim.readme]
        return [text for text in told if text not in readme]


def find(topics: Sequence[Topic], results: Path) -> list[Finding]:
    """Return what the sources of all claims say.

    Raises:
        EvidenceError: A claim's results, row or test are missing; the claim is named.
    """
    findings = []
    for topic in topics:
        for claim in topic.claims:
            try:
                findings.append(Finding(topic.title, claim, claim.source.reading(results)))
            except EvidenceError as error:
                raise EvidenceError(f"{topic.title}, '{claim.says}': {error}") from error
    return findings


def row(rows: Iterable[Mapping[str, Any]], **wanted: object) -> Mapping[str, Any]:
    """Return the one row whose fields are as wanted.

    Raises:
        LookupError: There is none; says which.
    """
    for one in rows:
        if all(one.get(key) == value for key, value in wanted.items()):
            return one
    raise LookupError(f"a row with {', '.join(f'{key} {value}' for key, value in wanted.items())}")


def _tests_of(path: Path) -> set[str]:
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
