import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bitlm import RunStore

ROOT = Path(__file__).parents[1]
IGNORED = {".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())}
LONGEST_FUNCTION = 60
LONGEST_FILE = 400
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:work|root|home(?!/me/)|Users|tmp|mnt|opt)/")
LINK = re.compile(r"""(?:\]\(|src=")([^)\s"]+)""")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z-]+)\b(?=[^\n`]*`)|^make ([a-z-]+)", re.MULTILINE)
PIN = re.compile(r"[a-z0-9-]+(\[[a-z,]+\])?==\d[\w.]*")


def files(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in IGNORED):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def with_suffix(*suffixes: str) -> list[Path]:
    return [path for path in files() if path.suffix in suffixes]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def linked_from(page: Path) -> set[Path]:
    links = (link.split("#")[0] for link in LINK.findall(page.read_text()))
    return {(page.parent / link).resolve() for link in links if link and "://" not in link}


@pytest.mark.parametrize("page", with_suffix(".md"), ids=name)
def test_every_link_of_a_page_leads_to_something(page: Path) -> None:
    assert [name(target) for target in linked_from(page) if not target.exists()] == []


def test_every_page_of_the_documentation_can_be_reached_from_its_index() -> None:
    index = ROOT / "docs" / "README.md"
    reached, waiting = {index}, [index]
    while waiting:
        pages = {page for page in linked_from(waiting.pop()) if page.suffix == ".md"} - reached
        reached |= pages
        waiting.extend(pages)
    everything = [page for page in with_suffix(".md") if page.is_relative_to(ROOT / "docs")]
    assert [name(page) for page in everything if page not in reached] == []


@pytest.mark.parametrize("page", with_suffix(".md"), ids=name)
def test_every_make_command_a_page_names_is_a_target(page: Path) -> None:
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    named = {first or second for first, second in MAKE.findall(page.read_text())}
    assert named <= targets


def test_the_readme_shows_the_two_commands() -> None:
    assert {"make run", "make test"} <= set((ROOT / "README.md").read_text().splitlines())


@pytest.mark.parametrize("changed", ["bitlm/sampling.py", "bitlm/model/kernels.py", "requirements.txt"])
def test_make_compiles_again_once_a_source_of_compiled_code_has_changed(tmp_path: Path, changed: str) -> None:
    def commands() -> str:
        dry = ["/usr/bin/make", "--dry-run", "compiled"]
        return subprocess.run(dry, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    for copied in ("Makefile", "requirements.txt"):
        shutil.copy2(ROOT / copied, tmp_path)
    stamp = "bitlm/__pycache__/compiled"
    for path in (tmp_path / made for made in ("bitlm/sampling.py", "bitlm/model/kernels.py", stamp)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "bitlm compile" not in commands()
    later = (tmp_path / stamp).stat().st_mtime + 1
    os.utime(tmp_path / changed, (later, later))
    assert "bitlm compile" in commands()


@pytest.mark.parametrize("page", with_suffix(".md"), ids=name)
def test_no_page_still_holds_a_placeholder(page: Path) -> None:
    assert "TBD" not in page.read_text()


@pytest.mark.parametrize(
    "path", [path for path in with_suffix(".txt") if path.stem.startswith("requirements")], ids=name
)
def test_every_requirement_is_pinned_exactly(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "-r "))]
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    texts = [path for path in files() if path.suffix not in {".png", ".ico", ".woff2"}]
    assert [name(path) for path in texts if MACHINE_PATH.search(path.read_text())] == []


def test_no_file_is_too_long_to_read() -> None:
    code = with_suffix(".py", ".js", ".css", ".html")
    assert [name(path) for path in code if len(path.read_text().splitlines()) > LONGEST_FILE] == []


def test_no_function_is_too_long_to_read() -> None:
    functions = [
        (name(path), node.name, (node.end_lineno or 0) - node.lineno + 1)
        for path in with_suffix(".py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [function for function in functions if function[2] > LONGEST_FUNCTION] == []


def test_no_folder_of_tests_is_a_package() -> None:
    assert [name(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


def test_the_readmes_program_runs_and_leaves_a_run_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    short = program.replace("islice(session, 200)", "islice(session, 2)").replace(
        'preset("small")', 'preset("tiny")'
    )
    exec(short, {})  # noqa: S102 - the README's own
    *steps, whole = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in steps] == ["1", "2"]
    assert 0 < float(whole) < 8
    with closing(RunStore(tmp_path / ".bitlm")) as store:
        (run,) = store.runs()
        assert store.checkpoints.of(run.run_id)[0].step == 2
