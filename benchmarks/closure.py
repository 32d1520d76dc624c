"""Which code a figure was measured with: a hash over every file that a benchmark imports, directly or not.

Imports are those that grimp finds. What a benchmark starts as a program of its own (`python -m NAME`) counts
with its whole package, templates/ and static/ count where playwright drives the page, and config/ always.
Libraries are no part of it: the versions that decide a figure are told with the machine.
"""

import ast
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "benchmarks", "bitlm")
BROWSER = "playwright"
DATA, PAGE = ("config",), ("templates", "static")


def module_of(file: str) -> str:
    """Return the name that a benchmark's file is imported by; pass `__file__`."""
    return f"benchmarks.{Path(file).stem}"


def code_of(module: str, root: Path = ROOT) -> str:
    """Return the SHA-256 over names and contents of the files that a module's figures depend on.

    Raises:
        grimp.exceptions.ModuleNotPresent: There is no such module.
    """
    digest = sha256()
    for path in files_of(module, root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def code_in_force(file: str, root: Path = ROOT) -> str | None:
    """Return the hash of the code that this process runs, whose benchmark is the file; pass `__file__`.

    None if a file of it was written since the process began: then nobody knows what was measured.
    """
    module = module_of(file)
    began = _process_began()
    if any(path.stat().st_mtime > began for path in files_of(module, root)):
        return None
    return code_of(module, root)


def files_of(module: str, root: Path = ROOT) -> list[Path]:
    """Return the files that a module's figures depend on, in the order of their names."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    found: set[str] = set()
    waiting = {module}
    while waiting:
        reached = {name for one in waiting for name in {one, *graph.find_upstream_modules(one)}} - found
        found |= reached
        started = {name for one in reached for name in _programs(_file(one, root))}
        waiting = {name for one in started for name in {one, *graph.find_descendants(one)}} - found
    files = {path for path in (_file(name, root) for name in found) if path is not None}
    folders = DATA + (PAGE if BROWSER in found else ())
    files |= {path for folder in folders for path in (root / folder).rglob("*") if path.is_file()}
    return sorted(files)


def _file(module: str, root: Path) -> Path | None:
    """Return a module's file; None for a library's, and for a folder without code of its own."""
    if not _is_ours(module):
        return None
    path = root.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _programs(path: Path | None) -> Iterator[str]:
    """Yield the modules of ours that a file starts by `-m NAME`."""
    if path is None:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.List | ast.Tuple):
            continue
        words = [element.value if isinstance(element, ast.Constant) else None for element in node.elts]
        for flag, name in pairwise(words):
            if flag == "-m" and isinstance(name, str) and _is_ours(name):
                yield name


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def _process_began() -> float:
    """Return when this process began, in seconds since 1970; at the end of time where nobody says."""
    told = Path("/proc/self/stat")
    if not told.exists():
        return float("inf")
    ticks = int(told.read_text().rpartition(")")[2].split()[19])
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
