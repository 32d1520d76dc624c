"""`bitlm doctor`: what this machine has, what is wrong with it, and what to do about that."""

import json
import os
import re
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import torch
import typer

from bitlm.cli.options import DEFAULT_DATA_DIR, DataDir, Json, default_threads
from bitlm.cli.printing import text_console
from bitlm.compiled import code_folder
from bitlm.distributed import try_alone
from bitlm.machine import available_memory_bytes
from bitlm.session import RunStore
from bitlm.session.schema import MIGRATIONS
from bitlm.version import VERSION

OLDEST_PYTHON = (3, 11)
LEAST_MEMORY_BYTES = 1 << 30
"""What a training process takes beyond the model, rounded up: torch, the text, and freed memory it keeps."""
LEAST_DISK_BYTES = 1 << 27
"""Where the service stops training unless told otherwise."""
LONGEST_READ_S = 4.0
MATRIX_WIDTH, MATRIX_S = 1024, 0.5
REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
"""In a checkout; once installed the package's own description has them."""
PIN = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)$")


@dataclass(frozen=True)
class Finding:
    """What one look found.

    Attributes:
        about: What was looked at.
        found: What there is, with its unit.
        fix: What to do about it; None where nothing is wrong.
    """

    about: str
    found: str
    fix: str | None = None


def doctor(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Annotated[str, typer.Option(envvar="BITLM_HOST", help="Address of the service.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="BITLM_PORT", min=1, max=65535, help="Its TCP port.")] = 5000,
    as_json: Json = False,
) -> None:
    """Say what this machine has and what is wrong, with a fix for each; it changes nothing.

    The exit code is 0 where nothing is wrong, 1 where something is.

    Examples:
      python -m bitlm doctor

      python -m bitlm doctor --data-dir runs --port 5001 --json
    """
    console = text_console(stderr=True)
    findings = []
    for about, look in looks(data_dir, host, port).items():
        with console.status(f"{about} …"):
            finding = look(about)
        findings.append(finding)
        if not as_json:
            typer.echo(f"{'ok   ' if finding.fix is None else 'WRONG'} {about}: {finding.found}")
            if finding.fix is not None:
                typer.echo(f"      fix: {finding.fix}")
    is_well = all(finding.fix is None for finding in findings)
    if as_json:
        told = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"version": VERSION, "is_well": is_well, "findings": told}))
    raise typer.Exit(0 if is_well else 1)


def looks(data_dir: Path, host: str, port: int) -> dict[str, Callable[[str], Finding]]:
    """Return the looks by what they are about, in the order in which they are told; each takes that name."""
    return {
        "Python": python,
        "packages": partial(packages, pinned()),
        "processor": processor,
        "memory": memory,
        "disk": partial(disk, data_dir),
        "compiled functions": compiled_functions,
        "runs": partial(runs, data_dir),
        "port": partial(service_port, host, port),
        "several processes": several_processes,
        "speed": arithmetic,
    }


def python(about: str) -> Finding:
    """Look at the interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    is_old = sys.version_info[:2] < OLDEST_PYTHON
    return Finding(about, found, f"install Python {oldest} or newer." if is_old else None)


def packages(pins: dict[str, str], about: str) -> Finding:
    """Compare what is installed with the versions that BitLM is tested with."""
    there = {name: _installed(name) for name in pins}
    other = {name: found for name, found in there.items() if found.partition("+")[0] != pins[name]}
    told = f"torch {there['torch']}, {len(pins) - len(other)} of {len(pins)} as pinned"
    if not other:
        return Finding(about, told)
    differs = ", ".join(f"{name} is {found} instead of {pins[name]}" for name, found in other.items())
    wanted = " ".join(f"{name}=={pins[name]}" for name in other)
    return Finding(about, f"{told}; {differs}", f"python -m pip install {wanted}")


def pinned() -> dict[str, str]:
    """Return the version of each package that BitLM is tested with."""
    if REQUIREMENTS.exists():
        lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    else:
        lines = requires("bitlm") or []
    return {pin[1]: pin[2] for pin in map(PIN.match, lines) if pin is not None}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def processor(about: str) -> Finding:
    """Count the cores that this process may use, and the threads that it computes with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding(about, f"{cores} cores, of which a new run computes with {default_threads()}")


def memory(about: str) -> Finding:
    """Ask what this process can still take."""
    there = available_memory_bytes()
    fix = "end other programs, or raise the limit of the container." if there < LEAST_MEMORY_BYTES else None
    return Finding(about, f"{there / 1e9:.1f} GB available", fix)


def disk(data_dir: Path, about: str) -> Finding:
    """Ask what fits where the runs are kept, and whether anything may be written there."""
    folder = next(path for path in (data_dir, *data_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free for {data_dir.absolute()}"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            about, f"{found}; {folder} cannot be written in", "choose another: --data-dir, BITLM_DATA_DIR."
        )
    fix = "make room: delete runs, or use another folder." if free < LEAST_DISK_BYTES else None
    return Finding(about, found, fix)


def compiled_functions(about: str) -> Finding:
    """Ask whether what is compiled for the processor is kept, and whether it is there."""
    folder = code_folder()
    if not folder:
        found = "kept nowhere: every process compiles anew, for a minute"
        return Finding(about, found, "set XDG_CACHE_HOME to a folder that can be written.")
    count = sum(1 for _ in Path(folder).rglob("*.nbc"))
    fix = "python -m bitlm compile" if count == 0 else None
    return Finding(about, f"{count} in {folder}", fix)


def runs(data_dir: Path, about: str) -> Finding:
    """Read the store through, without changing it."""
    path = data_dir / RunStore.FILE_NAME
    if not path.exists():
        return Finding(about, f"none in {data_dir.absolute()} yet")
    try:
        return Finding(about, *_soundness(path))
    except sqlite3.Error as error:
        return Finding(about, f"{path} cannot be read: {error}", "take a backup back (docs/operations.md).")


def _soundness(path: Path) -> tuple[str, str | None]:
    """Return what is in a store, and what to do where it is damaged.

    Raises:
        sqlite3.Error: It is no store.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        if layout > len(MIGRATIONS):
            return (
                f"{path} has layout {layout} of a newer BitLM",
                "use the BitLM that wrote it, or another folder.",
            )
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        deadline = time.monotonic() + LONGEST_READ_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return f"{count} runs; sound as far as it was read in {LONGEST_READ_S:.0f} s", None
    finally:
        connection.close()
    if verdict == "ok":
        return f"{count} runs, the store is sound", None
    return f"{path} is damaged: {verdict}", "take a backup back (docs/operations.md)."


def service_port(host: str, port: int, about: str) -> Finding:
    """Ask whether a service could listen; nothing is sent to whoever does already."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        fix = "end what uses it (a BitLM that runs already?), or choose another: --port, BITLM_PORT."
        return Finding(about, f"{host}:{port}: {error.strerror}", fix)
    return Finding(about, f"{host}:{port} is free")


def several_processes(about: str) -> Finding:
    """Try what `torchrun … train --strategy ddp` would have its processes talk by."""
    try:
        try_alone()
    except RuntimeError as error:
        fix = "set GLOO_SOCKET_IFNAME to a network interface that there is, such as lo on one machine."
        return Finding(about, f"they cannot talk: {str(error).splitlines()[0]}", fix)
    return Finding(about, "they can talk (gloo)")


def arithmetic(about: str) -> Finding:
    """Multiply 32-bit matrices with as many threads as a new run takes, and tell the best time."""
    before = torch.get_num_threads()
    torch.set_num_threads(default_threads())
    matrix = torch.ones(MATRIX_WIDTH, MATRIX_WIDTH)
    best, deadline = float("inf"), time.perf_counter() + MATRIX_S
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    torch.set_num_threads(before)
    return Finding(
        about, f"{2 * MATRIX_WIDTH**3 / best / 1e9:.0f} GFLOP/s in fp32 on {default_threads()} of the cores"
    )
