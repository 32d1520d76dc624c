"""What pip makes of the repository, installed where nothing else is and used from another folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core.caching import _CacheLocator
from packaging.requirements import Requirement

from bitlm.cli.compile import COMPLETE
from bitlm.cli.doctor import OLDEST_PYTHON
from bitlm.compiled import code_folder
from bitlm.version import VERSION
from tests.conftest import ROOT, WaitUntil, free_port

SOURCES = ("app", "bitlm", "config", "static", "templates")
WITHOUT_THE_WEB = """
import sys
for name in ("app", "flask", "flask_socketio", "gunicorn", "structlog", "simple_websocket"):
    sys.modules[name] = None
from bitlm.__main__ import main
main()
"""


def run(*command: str, folder: Path, **environment: str) -> str:
    ended = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, of a copy: setuptools writes beside what it builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml", "requirements.txt", "setup.py"):
        shutil.copy(ROOT / name, folder)
    build = "import setuptools.build_meta as backend; print(backend.build_sdist('dist'))"
    run(sys.executable, "-c", build, folder=folder)
    (made,) = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of that distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *options, str(sdist), folder=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that wheel installed in it, and nothing that it needs."""
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(wheel), folder=folder)
    hand_on_compiled_code(folder)
    return folder


def other_pythons() -> Iterator[str]:
    """One of every other Python 3 that this machine has: pyenv's, or the one on its path."""
    for minor in set(range(10, 20)) - {sys.version_info.minor}:
        kept = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
        there = str(kept[-1]) if kept else shutil.which(f"python3.{minor}")
        if there is not None:
            yield there


@pytest.fixture
def elsewhere(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to call the installed program from, which has an `app` of its own."""
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("PATH", f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('this is another app')")
    return tmp_path


def hand_on_compiled_code(installed: Path) -> None:
    """Give the installed sources what was compiled of the same ones here, where numba looks for it.

    It goes by a source's folder and time; to compile anew takes half a minute.
    """
    ours, theirs = ROOT / "bitlm", installed / "bitlm"
    kept, place = Path(code_folder()), _CacheLocator.get_suitable_cache_subpath
    (theirs / "__pycache__" / kept.name).mkdir(parents=True)
    (theirs / "__pycache__" / kept.name / COMPLETE).touch()
    for source in theirs.rglob("*.py"):
        here = ours / source.relative_to(theirs)
        os.utime(source, ns=(here.stat().st_atime_ns, here.stat().st_mtime_ns))
        code = kept / place(str(here))  # type: ignore[no-untyped-call] # numba has no types
        if code.is_dir():
            name = place(str(source))  # type: ignore[no-untyped-call] # the same
            shutil.copytree(code, theirs / "__pycache__" / kept.name / name, dirs_exist_ok=True)


def test_the_source_distribution_has_every_file_that_runs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    files = (path for name in SOURCES for path in (ROOT / name).rglob("*") if path.is_file())
    wanted = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert wanted <= held


def test_it_trains_from_any_folder_and_where_no_web_framework_is(elsewhere: Path) -> None:
    (elsewhere / "text.txt").write_bytes((ROOT / "README.md").read_bytes())
    asked = ("train", "--corpus", "text.txt", "--size", "tiny", "--steps", "2", "--json")
    told = run(sys.executable, "-P", "-c", WITHOUT_THE_WEB, *asked, folder=elsewhere)
    assert json.loads(told)["steps"] == 2
    assert (elsewhere / ".bitlm" / "bitlm.sqlite3").exists()


def test_the_program_that_pip_installs_says_its_version(elsewhere: Path) -> None:
    assert run("bitlm", "--version", folder=elsewhere) == f"BitLM {VERSION}\n"


def test_every_other_python_of_this_machine_installs_it_and_reads_its_sources_or_is_told_it_is_too_old(
    wheel: Path, tmp_path: Path
) -> None:
    read = (
        "import compileall, importlib.metadata; "
        "print(compileall.compile_dir('.', quiet=1), importlib.metadata.version('bitlm'))"
    )
    for python in other_pythons():
        version = tuple(map(int, Path(python).name.removeprefix("python").split(".")))
        folder = tmp_path / Path(python).name
        options = ("--python", python, "install", "--no-deps", "--no-index", "--no-compile", "--quiet")
        install = (sys.executable, "-m", "pip", *options, "--target", str(folder), str(wheel))
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if version < OLDEST_PYTHON:
            assert "requires a different Python" in done.stderr
            continue
        assert done.returncode == 0, done.stderr
        told = run(python, "-W", "error", "-c", read, folder=folder, PYTHONPATH=str(folder))
        assert told == f"True {VERSION}\n"


@pytest.fixture
def url(elsewhere: Path, wait_until: WaitUntil) -> Iterator[str]:
    """The address of `bitlm serve`."""
    port = free_port()
    log = elsewhere / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(["bitlm", "serve", "--port", str(port)], cwd=elsewhere, stdout=written)
    wait_until(lambda: process.poll() is not None or "BitLM is ready" in log.read_text())
    assert process.poll() is None
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    assert process.wait(timeout=60) == 0


def test_the_service_has_its_page_with_all_that_this_loads(url: str) -> None:
    def read(path: str) -> bytes:
        with urllib.request.urlopen(url + path) as answer:  # noqa: S310 - our own server
            return bytes(answer.read())

    page = read("/").decode()
    files = set(re.findall(r'"(/static[^"]+)"', page))
    assert any("plotly" in name for name in files)
    assert all(read(name) for name in files)
    assert json.loads(read("/openapi.json"))["info"]["title"] == "BitLM"


def test_what_the_checks_are_run_with_is_what_the_extras_ask_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    for extra in (Requirement(line) for lines in extras.values() for line in lines):
        assert pins[extra.name] in extra.specifier
