"""Every claim of BitLM with its figure, its bar, and what measures it: writes docs/evidence.md.

Figures are the newest in benchmarks/results/; nothing is measured unless asked for. What is printed beside
says of each benchmark whether its figures are of the code as it is now.

    python -m benchmarks.evidence
    python -m benchmarks.evidence --measure

With --measure what was measured with other code than there is now is measured anew, the shortest first.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.claim import (
    Benchmark,
    Claim,
    EvidenceError,
    Finding,
    NotMeasured,
    Origin,
    Quality,
    Taken,
    Tests,
    Topic,
    find,
)
from benchmarks.claims.beyond import BEYOND
from benchmarks.claims.changes import THE_CHANGES
from benchmarks.claims.core import THE_MEMORY
from benchmarks.claims.diffusion import THE_DIFFUSION
from benchmarks.claims.first import MAIN_JOB
from benchmarks.claims.gate import THE_GATE
from benchmarks.claims.page import THE_PAGE
from benchmarks.claims.quality import THE_QUALITY
from benchmarks.claims.runs import RUNS
from benchmarks.claims.service import THE_SERVICE
from benchmarks.claims.speed import THE_SPEED
from benchmarks.closure import code_of
from benchmarks.record import RESULTS

ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "evidence.md", ROOT / "README.md"
TOPICS = (
    MAIN_JOB,
    RUNS,
    THE_SERVICE,
    THE_QUALITY,
    THE_MEMORY,
    THE_SPEED,
    THE_GATE,
    THE_DIFFUSION,
    THE_CHANGES,
    BEYOND,
    THE_PAGE,
)
COLUMNS = ("claim", "figure", "bar", "met", "measured by", "on", "machine", "code")


def page(findings: Sequence[Finding], readme: str) -> str:
    """Return the page, what falls short first.

    Args:
        findings: Every claim with what its source says.
        readme: The README's text, which has some of the figures, too.
    """
    machines = _machines(findings)
    unmet = [one for one in findings if one.met is False]
    open_ones = [one for one in findings if isinstance(one.claim.source, NotMeasured)]
    parts = [
        ["# Evidence"],
        _introduction(findings),
        ["## Not met", *([_line(one) for one in unmet] or ["Nothing."])],
        ["## Not measured", *([_open_line(one) for one in open_ones] or ["Nothing."])],
        ["## README differs", *(_differences(findings, readme) or ["Nowhere."])],
        *(_table(topic, findings, machines) for topic in dict.fromkeys(one.topic for one in findings)),
        ["## Machines", *(f"* **{letter}**: {told}" for told, letter in machines.items())],
    ]
    return (
        "\n\n".join("\n".join([part[0], "", *part[1:]] if len(part) > 1 else part) for part in parts) + "\n"
    )


def states(findings: Sequence[Finding], now: Mapping[str, str]) -> dict[Benchmark, bool]:
    """Return of each benchmark whether all its figures are of the code as it is now.

    Args:
        findings: Every claim with what its source says.
        now: The hash of each benchmark's code, by module.
    """
    found: dict[Benchmark, bool] = {}
    for one in findings:
        if isinstance(one.claim.source, Taken | Quality) and one.reading is not None:
            as_now = all(origin.code == now[origin.module] for origin in one.reading.origins)
            benchmark = one.claim.source.benchmark
            found[benchmark] = found.get(benchmark, True) and as_now
    return found


def _introduction(findings: Sequence[Finding]) -> list[str]:
    held = [one.met for one in findings if one.met is not None]
    tests = sum(isinstance(one.claim.source, Tests) for one in findings)
    return [
        "Written by `make evidence` from what the benchmarks left in `benchmarks/results/`; do not edit it.",
        f"{len(findings)} claims: {held.count(True)} meet their bar and {held.count(False)} do not,",
        f"{tests} are asserted by tests, which `make test` runs; the others are figures without a bar, or",
        "not measured. Figures are the newest there are. *code* is the hash of the code that measured them,",
        "— where it was not kept yet; whether that is today's is what `make evidence` prints.",
    ]


def _line(one: Finding) -> str:
    bar, dates = one.claim.bar, _dates(one)
    assert bar is not None
    told = f"**{one.figure}**; asked: {bar.words} ({one.claim.source.by}, {dates})"
    return f"* **{one.topic}**: {one.claim.says}: {told}"


def _open_line(one: Finding) -> str:
    asked = f"; asked: {one.claim.bar.words}" if one.claim.bar else ""
    return f"* **{one.topic}**: {one.claim.says}{asked}: {one.claim.source.by}"


def _differences(findings: Sequence[Finding], readme: str) -> list[str]:
    told = " ".join(readme.split())
    return [
        f"* **{one.topic}**: {one.claim.says}: **{one.figure}** ({_dates(one)}); "
        f"it lacks <code>{text.strip()}</code>"
        for one in findings
        for text in one.missing_in(told)
    ]


def _table(topic: str, findings: Sequence[Finding], machines: Mapping[str, str]) -> list[str]:
    rows = [_cells(one, machines) for one in findings if one.topic == topic]
    return [
        f"## {topic}",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows),
    ]


def _cells(one: Finding, machines: Mapping[str, str]) -> list[str]:
    origins = one.reading.origins if one.reading else ()
    letters = sorted({machines[_told(origin)] for origin in origins})
    codes = sorted({(origin.code or "—")[:8] for origin in origins})
    return [
        one.claim.says,
        one.figure,
        one.claim.bar.words if one.claim.bar else "",
        {True: "yes", False: "**no**", None: ""}[one.met],
        one.claim.source.by,
        _dates(one),
        " ".join(letters),
        " ".join(codes),
    ]


def _dates(one: Finding) -> str:
    dates = sorted({origin.date for origin in one.reading.origins}) if one.reading else []
    return " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else ""


def _machines(findings: Sequence[Finding]) -> dict[str, str]:
    """Return a letter for each machine, in the order in which they come up."""
    told = [_told(origin) for one in findings if one.reading for origin in one.reading.origins]
    return {machine: chr(ord("A") + index) for index, machine in enumerate(dict.fromkeys(told))}


def _told(origin: Origin) -> str:
    machine = origin.machine
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "numpy", "torch"))
    return f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}"


def _summary(findings: Sequence[Finding], found: Mapping[Benchmark, bool]) -> Iterator[str]:
    for benchmark in sorted(found, key=lambda one: (found[one], one.minutes)):
        state = "code as now" if found[benchmark] else "measured with earlier code"
        yield f"{state:28}{benchmark.minutes:4g} min  {benchmark.command}"
    met = [one.met for one in findings if one.met is not None]
    yield f"{met.count(True)} bars met, {met.count(False)} not"


def measure(benchmarks: Sequence[Benchmark]) -> list[str]:
    """Run the benchmarks, the shortest first; return the commands of those that did not end well.

    Some say by their exit code that a bar was missed; the figures are kept all the same.
    """
    failed = []
    for benchmark in sorted(benchmarks, key=lambda one: one.minutes):
        print(f"== {benchmark.command}, about {benchmark.minutes:g} minutes", flush=True)
        ended = subprocess.run([sys.executable, *shlex.split(benchmark.command)[1:]], cwd=ROOT, check=False)
        if ended.returncode:
            failed.append(f"exit code {ended.returncode}: {benchmark.command}")
    return failed


def benchmarks_of(topics: Sequence[Topic]) -> set[Benchmark]:
    """Return all benchmarks that claims rest on."""
    claims: list[Claim] = [claim for topic in topics for claim in topic.claims]
    return {claim.source.benchmark for claim in claims if isinstance(claim.source, Taken | Quality)}


def main() -> None:
    """Measure if asked to, write the page, say what is old."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="first run what was measured with other code")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args()
    now = {module: code_of(module) for module in {one.module for one in benchmarks_of(TOPICS)}}
    try:
        findings = find(TOPICS, options.results)
        if options.measure:
            failed = measure([one for one, as_now in states(findings, now).items() if not as_now])
            print(*failed, sep="\n")
            findings = find(TOPICS, options.results)
    except EvidenceError as error:
        sys.exit(str(error))
    options.output.write_text(page(findings, README.read_text(encoding="utf-8")), encoding="utf-8")
    print(*_summary(findings, states(findings, now)), f"written to {options.output}", sep="\n")


if __name__ == "__main__":
    main()
