"""What this machine has to offer: memory that is still free, and units for bf16."""

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch

KILOBYTE = 1024
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_KEPT_BYTES = 1 << 30, 1 << 25
BF16_UNITS = ("avx512_bf16", "amx_bf16")


def available_memory_bytes(root: Path = Path("/")) -> int:
    """Return the bytes this process can still take before something is swapped out or killed.

    The least of what the system calls available and what the limits of the process's control groups leave.

    Args:
        root: Folder that holds `proc` and `sys`.
    """
    return min([_system_bytes(root / "proc/meminfo"), *_group_bytes(root)])


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GB that it freed, in pieces of up to 32 MB; return whether it can.

    A training step frees what the next one takes. Given back to the system in between, every page of it is
    fetched and cleared anew: a twentieth of a step. Only glibc can be told.

    Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


def resident_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes of this process that are in memory now: its resident set, shared libraries included.

    Args:
        root: Folder that holds `proc`.

    Returns:
        None where the system has no /proc to tell it.
    """
    try:
        pages = (root / "proc/self/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def has_bf16_units() -> bool:
    """Whether the processor multiplies bf16 matrices itself; without it they take many times longer."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(unit, False) for unit in BF16_UNITS)


def _system_bytes(meminfo: Path) -> int:
    if meminfo.exists():
        found = re.search(r"^MemAvailable: +(\d+) kB", meminfo.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * KILOBYTE
    free = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(free) * os.sysconf("SC_PAGE_SIZE")


def _group_bytes(root: Path) -> Iterator[int]:
    """Yield what each memory limit on the process leaves, in control groups of version 2 and 1."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit, usage = root / "sys/fs/cgroup", "memory.max", "memory.current"
        elif controllers == "memory":
            mount, limit, usage = (
                root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
            )  # fmt: skip
        else:
            continue
        folder = mount / path.lstrip("/")
        for group in (folder, *folder.parents):
            if group.is_relative_to(mount):
                yield from _left_bytes(group, limit, usage)


def _left_bytes(group: Path, limit: str, usage: str) -> Iterator[int]:
    """Yield what one group's limit leaves, if it has one; cached files can be dropped and count as free."""
    if not (group / limit).exists() or not (group / usage).exists():
        return
    most = (group / limit).read_text().strip()
    if most != "max":
        cached = _statistic(group / "memory.stat", "inactive_file")
        yield max(0, int(most) - int((group / usage).read_text()) + cached)


def _statistic(file: Path, name: str) -> int:
    found = re.search(rf"^{name} (\d+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return int(found[1]) if found is not None else 0
