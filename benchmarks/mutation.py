"""Do the tests notice when the code is changed? Prints a score per room and who survived, keeps them as JSON.

From all places of a room's source where a small change is possible, some are drawn. Each change is made
alone, in a copy of the tree, and the tests that run its line are run until one fails: those of the file that
mirrors the source first, the quick ones first. A line that no test was seen to run, since it runs on import,
is compiled or in another process, is tried by all tests of the room. Changes are what benchmarks/mutants.py
says.

mutmut 3 cannot do this here: it makes its changes inside functions only, and leaves out decorated ones, so
neither a module's constants nor properties nor what numba compiles would be tried.

    OMP_NUM_THREADS=1 python -m benchmarks.mutation
    OMP_NUM_THREADS=1 python -m benchmarks.mutation --rooms bits --count 99
    OMP_NUM_THREADS=1 python -m benchmarks.mutation --rooms telemetry safety --seed 0 1
"""

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import coverage
import numba  # noqa: F401 - loaded once: every process begun from this one has it
import pytest
import torch  # noqa: F401 - the same

from benchmarks.mutants import Mutant, mutants_of
from benchmarks.record import RESULTS, keep

ROOT = Path(__file__).parents[1]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "results", "docs")

MOST_MEMORY_BYTES = 16 << 30
"""Of addresses: a change that fills a list for ever shall not fill the machine."""

PATIENCE, LEAST_PATIENCE_S = 6.0, 30.0
"""A test may take so many times as long as on the source as it is, and these seconds."""

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
TIMEOUT_CODE = 99
"""A process's exit code when a test of it took too long."""


@dataclass(frozen=True)
class Room:
    """Sources and the tests that belong to them.

    Attributes:
        sources: As patterns.
        tests: Files and folders.
        from_outside: More of them, which start the service: what they run of it is not seen, so they are
            tried with every mutant that the others have left.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    from_outside: tuple[str, ...] = ()


ROOMS = {
    "bits": Room(("bitlm/bits.py",), ("tests/bitlm/test_bits.py",)),
    "telemetry": Room(("bitlm/telemetry/*.py",), ("tests/bitlm/telemetry",)),
    "safety": Room(
        ("bitlm/safety.py", "bitlm/gate.py", "bitlm/curtailment.py", "bitlm/streaming_gate.py"),
        (
            "tests/bitlm/test_safety.py",
            "tests/bitlm/test_safety_stream.py",
            "tests/bitlm/test_gate.py",
            "tests/bitlm/test_curtailment.py",
            "tests/bitlm/test_streaming_gate.py",
        ),
    ),
    "session": Room(
        ("bitlm/session/*.py",),
        ("tests/bitlm/session", "tests/bitlm/history"),
        ("tests/app/test_commit_order.py",),
    ),
}


@dataclass(eq=False)
class Watch:
    """A plugin of pytest: chooses and orders the tests, and notes how long each takes.

    Attributes:
        chosen: The tests to run, in their order, with their time on the source as it is; all where empty.
        seconds: What each test took.
        timed_out: Whether a test took too long.
    """

    chosen: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    timed_out: bool = False

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """Let hypothesis stop at the first counterexample: nobody reads the smallest one."""
        from hypothesis import Phase, settings  # noqa: PLC0415 - pytest wants to load its plugins itself

        ours = settings(settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate])
        settings.register_profile("mutation", ours)
        settings.load_profile("mutation")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the chosen tests; all, where a change has renamed one."""
        known = {item.nodeid: item for item in items}
        if self.chosen and self.chosen.keys() <= known.keys():
            items[:] = [known[name] for name in self.chosen]
        for item in items:
            limit = LEAST_PATIENCE_S + PATIENCE * self.chosen.get(item.nodeid, 0.0)
            if self.chosen:
                item.add_marker(pytest.mark.timeout(limit))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the time, and whether it was too long."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        self.timed_out |= report.failed and "Timeout" in report.longreprtext


@dataclass
class Copy:
    """A copy of the tree in which sources are changed, one at a time."""

    tree: Path
    folder: Path
    changes: int = 0

    @classmethod
    def make(cls, tree: Path, folder: Path) -> "Copy":
        """Copy the tree and compile its kernels."""
        shutil.copytree(tree, folder, symlinks=True)
        subprocess.run(
            [sys.executable, "-m", "bitlm", "compile"], cwd=folder, check=True, capture_output=True
        )
        return cls(tree, folder)

    def change(self, path: str, mutant: Mutant) -> None:
        """Make one change; its time tells Python and numba that it is another source."""
        source = self.folder / path
        self.changes += 1
        kept = self._code_folder()
        source.write_bytes(mutant.applied(source.read_bytes()))
        unlike = (self.tree / path).stat().st_mtime - 1_000.0 * self.changes
        os.utime(source, (unlike, unlike))
        other = self._code_folder()
        # It is named after the sources, and nothing that is compiled calls those of the rooms.
        if other != kept and not other.is_symlink():
            other.rmdir()
            other.symlink_to(kept)

    def restore(self, path: str) -> None:
        """Take the change back."""
        shutil.copy2(self.tree / path, self.folder / path)

    def _code_folder(self) -> Path:
        spec = importlib.util.spec_from_file_location("compiled_of_copy", self.folder / "bitlm/compiled.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return Path(module.code_folder())  # this copy's, not that of the tree

    def test(self, watch: Watch, files: list[str], *options: str, limit_s: float, after: Any = None) -> int:
        """Run tests in a process of its own and return its exit code; -9 where it had to be ended."""
        process = multiprocessing.get_context("fork").Process(
            target=_test, args=(self.folder, watch, files, options, after)
        )
        process.start()
        assert process.pid is not None
        process.join(limit_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has begun
        process.join()
        assert process.exitcode is not None
        return process.exitcode


def _test(
    folder: Path,
    watch: Watch,
    files: list[str],
    options: tuple[str, ...],
    after: Callable[[Watch], None] | None,
) -> None:
    os.setsid()
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    os.environ["HOME"] = str(folder)
    sys.path[:] = [str(folder), *(entry for entry in sys.path if Path(entry).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    temporary = f"--basetemp={folder.with_suffix('.tmp')}"
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", temporary, *options, *files], plugins=[watch]))
    if after is not None:
        after(watch)
    sys.stdout.flush()
    os._exit(TIMEOUT_CODE if watch.timed_out else code)


@dataclass(frozen=True)
class Baseline:
    """The room's tests on the source as it is.

    Attributes:
        seconds: What each took.
        tests_of: Path and line to the tests that run it.
        from_outside: Those that are always tried.
    """

    seconds: dict[str, float]
    tests_of: dict[tuple[str, int], set[str]]
    from_outside: frozenset[str]

    def tests_for(self, path: str, mutant: Mutant) -> dict[str, float]:
        """Return the tests to try a mutant with, in order."""
        lines = range(mutant.line, mutant.last_line + 1)
        seen = set().union(*(self.tests_of.get((path, line), ()) for line in lines)) or set(self.seconds)
        mirror = f"/test_{Path(path).stem}.py"
        order = sorted(
            seen | self.from_outside,
            key=lambda name: (name in self.from_outside, mirror not in name, self.seconds[name], name),
        )
        return {name: self.seconds[name] for name in order}


def baseline_of(room: Room) -> Baseline:
    """Run the room's tests and note which lines each runs; they must pass."""
    copy = _copy()
    noted = copy.folder / "seconds.json"

    def note(watch: Watch) -> None:
        noted.write_text(json.dumps(watch.seconds))

    tests = [test for test in (*room.tests, *room.from_outside) if (copy.folder / test).exists()]
    options = ("--cov=bitlm", "--cov-context=test", "--cov-report=")
    code = copy.test(Watch(), tests, *options, limit_s=3_600, after=note)
    if code:
        raise SystemExit(
            f"the tests of {room.tests} fail as they are: {copy.folder.with_suffix('.log').read_text()}"
        )
    data = coverage.CoverageData(str(copy.folder / ".coverage"))
    data.read()
    tests_of: dict[tuple[str, int], set[str]] = {}
    for source in (path for pattern in room.sources for path in copy.folder.glob(pattern)):
        for line, contexts in data.contexts_by_lineno(str(source)).items():
            names = {context.rpartition("|")[0] for context in contexts if context}
            tests_of[str(source.relative_to(copy.folder)), line] = names
    seconds = json.loads(noted.read_text())
    from_outside = frozenset(name for name in seconds if name.startswith(room.from_outside))
    return Baseline(seconds, tests_of, from_outside)


def judge(path: str, mutant: Mutant, tests: dict[str, float]) -> str:
    """Make the change, run the tests, take it back; return what became of the mutant."""
    copy = _copy()
    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    copy.change(path, mutant)
    try:
        limit_s = 2 * LEAST_PATIENCE_S + PATIENCE * sum(tests.values())
        code = copy.test(Watch(chosen=tests), files, "-x", limit_s=limit_s)
    finally:
        copy.restore(path)
    if code == pytest.ExitCode.INTERNAL_ERROR:
        raise SystemExit(f"pytest failed itself: {copy.folder.with_suffix('.log').read_text()}")
    return {0: SURVIVED, TIMEOUT_CODE: TIMED_OUT, -signal.SIGKILL: TIMED_OUT}.get(code, KILLED)


_copies: list[Copy] = []
"""This process's own, once it has one."""


def _copy() -> Copy:
    return _copies[0]


def _begin(tree: Path) -> None:
    _copies.append(Copy.make(tree, tree.with_name(str(os.getpid()))))


def _tree_as_it_is(tree: Path) -> None:
    """Copy the tree aside: whoever works on it meanwhile does not get in the way."""
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
    (tree / "docs").symlink_to(ROOT / "docs")


def drawn(tree: Path, name: str, count: int, seed: int) -> list[tuple[str, Mutant]]:
    """Return some of a room's mutants, each place of all its sources as likely as any other."""
    sources = sorted(path for pattern in ROOMS[name].sources for path in tree.glob(pattern))
    places = [
        (str(path.relative_to(tree)), mutant) for path in sources for mutant in mutants_of(path.read_bytes())
    ]
    chosen = random.Random(f"{name} {seed}").sample(places, min(count, len(places)))  # noqa: S311 - a draw, no secret
    return sorted(chosen, key=lambda place: (place[0], place[1].start))


def measure(
    pool: ProcessPoolExecutor, name: str, seed: int, baseline: Baseline, places: list[tuple[str, Mutant]]
) -> dict[str, Any]:
    """Try a room's mutants of one seed and return its line."""
    began = time.monotonic()
    waiting = {
        pool.submit(judge, path, mutant, baseline.tests_for(path, mutant)): (path, mutant)
        for path, mutant in places
    }
    outcomes: Counter[str] = Counter()
    left: list[dict[str, Any]] = []
    for future in as_completed(waiting):
        (path, mutant), outcome = waiting[future], future.result()
        outcomes[outcome] += 1
        if outcome != KILLED:
            where = f"{path}:{mutant.line}"
            left.append(
                {
                    "at": where,
                    "before": mutant.before,
                    "after": mutant.after,
                    "kind": mutant.kind,
                    "outcome": outcome,
                }
            )
            print(f"  {outcome}: {where}  {mutant.before}  →  {mutant.after}", flush=True)
    dead = outcomes[KILLED] + outcomes[TIMED_OUT]
    print(f"{name}, seed {seed}: {dead} of {len(waiting)} killed", flush=True)
    return {
        "room": name,
        "seed": seed,
        "mutants": len(waiting),
        "killed": dead,
        "timed_out": outcomes[TIMED_OUT],
        "survived": outcomes[SURVIVED],
        "score": round(dead / len(waiting), 3),
        "seconds": round(time.monotonic() - began),
        "not_killed_by_a_failing_test": sorted(left, key=lambda row: (row["outcome"], row["at"])),
    }


def keep_beside_others(folder: Path, row: dict[str, Any]) -> None:
    """Write a line to the folder, with those of the same day for other rooms and seeds."""
    earlier = folder / f"{datetime.now(UTC):%Y-%m-%d}-mutation.json"
    others = json.loads(earlier.read_text())["rows"] if earlier.exists() else []
    rows = [other for other in others if (other["room"], other["seed"]) != (row["room"], row["seed"])]
    keep(
        folder, "mutation", by=__file__, rows=sorted([*rows, row], key=lambda one: (one["room"], one["seed"]))
    )


def main() -> None:
    """Draw, try, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--count", type=int, default=40, help="mutants of a room and seed")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="each draws mutants of its own")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        _tree_as_it_is(tree)
        with ProcessPoolExecutor(
            options.processes, multiprocessing.get_context("fork"), initializer=_begin, initargs=(tree,)
        ) as pool:
            baselines = {name: pool.submit(baseline_of, ROOMS[name]) for name in options.rooms}
            for name, baseline in baselines.items():
                found = baseline.result()
                for seed in options.seed:
                    places = drawn(tree, name, options.count, seed)
                    keep_beside_others(options.output, measure(pool, name, seed, found, places))


if __name__ == "__main__":
    main()
