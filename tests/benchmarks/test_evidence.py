import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.claim import (
    Asked,
    Bar,
    Benchmark,
    Claim,
    EvidenceError,
    Finding,
    NotMeasured,
    Quality,
    Topic,
    asserted_by,
    find,
    row,
)
from benchmarks.claims.gate import MEASURES
from benchmarks.claims.page import PAGE, figures
from benchmarks.claims.runs import CRASH
from benchmarks.evidence import PAGE as COMMITTED
from benchmarks.evidence import README, TOPICS, benchmarks_of, page, states
from benchmarks.quality_record import MIXING
from benchmarks.record import RESULTS

LOST = CRASH.take(lambda kept: [kept["report"]["lost"], kept["report"]["acknowledged"]])


def found(*claims: Claim, results: Path = RESULTS) -> list[Finding]:
    return find([Topic("Some topic", claims)], results)


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0].strip()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the committed results."""
    return Path(shutil.copytree(RESULTS, tmp_path / "results"))


def test_the_committed_page_is_what_the_committed_results_say() -> None:
    told = page(find(TOPICS, RESULTS), README.read_text(encoding="utf-8"))
    assert COMMITTED.read_text(encoding="utf-8") == told, "make evidence writes it anew"


def test_every_command_of_a_claim_is_a_benchmark_with_a_duration() -> None:
    for benchmark in benchmarks_of(TOPICS):
        assert (COMMITTED.parents[1] / f"{benchmark.module.replace('.', '/')}.py").exists()
        assert benchmark.minutes > 0


def test_a_figure_that_falls_short_stands_first_and_says_what_was_asked() -> None:
    bar = Bar("at least a million acknowledged", lambda _, acknowledged: acknowledged >= 1_000_000)
    told = page(found(Claim("commands", LOST, "{} of {:,}", bar)), "")
    assert section(told, "Not met").startswith("* **Some topic**: commands: **0 of 3,636**; asked: at least")
    assert "| commands | 0 of 3,636 | at least a million acknowledged | **no** |" in told


def test_a_figure_that_meets_its_bar_is_in_its_table_alone() -> None:
    told = page(found(Claim("commands", LOST, "{} of {:,}", Bar("0", lambda lost, _: lost == 0))), "")
    assert section(told, "Not met") == "Nothing."
    assert (
        "| commands | 0 of 3,636 | 0 | yes | `python -m benchmarks.crash --seed 1` | 2026-11-24 | A | — |"
        in told
    )


def test_what_nobody_measured_is_told_with_its_reason() -> None:
    told = page(found(Claim("beauty", NotMeasured("no program judges it"))), "")
    assert section(told, "Not measured") == "* **Some topic**: beauty: no program judges it"


def test_a_text_that_the_readme_lacks_is_told_however_its_lines_are_broken() -> None:
    claims = found(Claim("commands", LOST, "{} of {:,}", readme=["{1:,} were acknowledged"]))
    assert section(page(claims, "3,636 were\nacknowledged"), "README differs") == "Nowhere."
    assert "3,636 were acknowledged" in section(page(claims, "3,635 were acknowledged"), "README differs")


def test_results_that_are_not_there_are_an_error_with_the_command(results: Path) -> None:
    for path in results.glob("*-crash.json"):
        path.unlink()
    with pytest.raises(EvidenceError, match=r"Some topic, 'commands': no results named 'crash'.*--seed 1"):
        found(Claim("commands", LOST, "{}"), results=results)


def test_a_row_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(EvidenceError, match=r"'page'.*lack a row with what second paint"):
        found(Claim("second paint", figures("second paint"), "{}"))
    with pytest.raises(EvidenceError, match=r"lack 'gained'"):
        found(Claim("gained", CRASH.take(lambda kept: [kept["report"]["gained"]]), "{}"))
    with pytest.raises(EvidenceError, match="no quality of kjv, BitLM with mixing, huge, 1 min"):
        found(Claim("huge", Quality(PAGE, [Asked("kjv", MIXING, 1, "huge")]), "{}"))


def test_a_test_that_is_not_there_is_an_error() -> None:
    here = "tests/benchmarks/test_evidence.py"
    (there,) = found(Claim("it is", asserted_by(here, "test_a_test_that_is_not_there_is_an_error")))
    assert there.figure == "asserted"
    with pytest.raises(EvidenceError, match=f"there is no test {here}::test_of_something_else"):
        found(Claim("it is not", asserted_by(here, "test_of_something_else")))


def test_the_newest_results_of_exactly_that_name_win(results: Path) -> None:
    (old,) = results.glob("*-crash.json")
    record = json.loads(old.read_text(encoding="utf-8"))
    record["report"]["lost"] = 1
    (results / "2030-01-02-crash.json").write_text(json.dumps(record), encoding="utf-8")
    record["report"]["lost"] = 2
    (results / "2031-01-02-another_crash.json").write_text(json.dumps(record), encoding="utf-8")
    (one,) = found(Claim("commands", LOST, "{}"), results=results)
    assert one.figure == "1"


def states_with(code: str | None, results: Path, benchmark: Benchmark) -> dict[Benchmark, bool]:
    newest: Sequence[Path] = sorted(results.glob(f"*-{benchmark.results}.json"))
    record = json.loads(newest[-1].read_text(encoding="utf-8")) | {"code": code}
    newest[-1].write_text(json.dumps(record), encoding="utf-8")
    source = benchmark.take(lambda kept: [row(kept["rows"], measure="C", length_bytes=128)["milliseconds"]])
    return states(found(Claim("C", source, "{}"), results=results), {benchmark.module: "of today"})


def test_a_figure_is_of_todays_code_only_if_its_hash_is_todays(results: Path) -> None:
    assert states_with("of today", results, MEASURES) == {MEASURES: True}
    assert states_with("of yesterday", results, MEASURES) == {MEASURES: False}
    assert states_with(None, results, MEASURES) == {MEASURES: False}, "older than hashes are"


def test_machines_have_letters_and_are_told_once(results: Path) -> None:
    newest = max(results.glob("*-page.json"))
    record = json.loads(newest.read_text(encoding="utf-8"))
    record["machine"] |= {"processor": "another processor"}
    newest.write_text(json.dumps(record), encoding="utf-8")
    paint = Claim("paint", figures("first paint"), "{}")
    told = page(
        found(Claim("commands", LOST, "{}"), paint, replace(paint, says="again"), results=results), ""
    )
    machines = section(told, "Machines").splitlines()
    assert [machine[:6] for machine in machines] == ["* **A*", "* **B*"]
    assert "another processor, 2 cores" in machines[1]
