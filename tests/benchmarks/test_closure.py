import json
import os
import shutil
import time
from pathlib import Path

import pytest

from benchmarks.closure import PACKAGES, ROOT, code_in_force, code_of, files_of, module_of
from benchmarks.record import keep


def names(module: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in files_of(module)}


def test_a_benchmark_depends_on_what_it_imports_through_others_and_on_the_sizes() -> None:
    found = names("benchmarks.measures")
    assert {"benchmarks/measures.py", "bitlm/telemetry/lempel_ziv.py", "config/presets.toml"} <= found
    assert not any(name.startswith(("app/", "static/", "templates/")) for name in found)


def test_what_is_started_as_a_program_counts_with_its_package_and_the_page_where_a_browser_drives_it() -> (
    None
):
    service, page = names("benchmarks.service_latency"), names("benchmarks.page")
    assert "app/factory.py" in service & page
    assert "templates/dashboard.html" not in service
    assert {"templates/dashboard.html", "static/js/plot.js"} <= page


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The files that the measures' benchmark depends on, in a folder of their own."""
    for path in files_of("benchmarks.measures"):
        there = tmp_path / path.relative_to(ROOT)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, there)
    return tmp_path


def test_the_hash_changes_with_any_file_and_comes_back(copied: Path) -> None:
    before = code_of("benchmarks.measures")
    assert code_of("benchmarks.measures", copied) == before
    file = copied / "bitlm" / "bits.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "\n", encoding="utf-8")
    assert code_of("benchmarks.measures", copied) != before
    file.write_text(text, encoding="utf-8")
    assert code_of("benchmarks.measures", copied) == before


def test_code_that_was_written_while_the_process_ran_is_not_vouched_for(copied: Path) -> None:
    benchmark = str(copied / "benchmarks" / "measures.py")
    long_ago = time.time() - 10 * 365 * 86_400
    for file in copied.rglob("*"):
        os.utime(file, (long_ago, long_ago))
    assert code_in_force(benchmark, copied) == code_of("benchmarks.measures")
    os.utime(copied / "bitlm" / "bits.py")
    assert code_in_force(benchmark, copied) is None


def test_a_benchmark_is_named_by_its_file() -> None:
    assert module_of(str(ROOT / "benchmarks" / "crash.py")) == "benchmarks.crash"
    assert set(PACKAGES) == {"app", "benchmarks", "bitlm"}


def test_results_are_kept_with_the_code_they_came_from(tmp_path: Path) -> None:
    file = str(ROOT / "benchmarks" / "measures.py")
    keep(tmp_path, "measures", by=file, rows=[1])
    (path,) = tmp_path.glob("*-measures.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["rows"], kept["code"]) == ([1], code_in_force(file))
