import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitlm.machine import available_memory_bytes, resident_bytes

MEMINFO = {"proc/meminfo": "MemTotal:       16000 kB\nMemFree:         100 kB\nMemAvailable:    8000 kB\n"}
FREE = 8000 * 1024


def machine(folder: Path, files: dict[str, str]) -> Path:
    """A folder that looks like the root of a Linux system."""
    for name, text in (MEMINFO | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_without_a_limit_it_is_what_the_system_calls_available(tmp_path: Path) -> None:
    assert available_memory_bytes(machine(tmp_path, {})) == FREE
    unlimited = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}
    assert available_memory_bytes(machine(tmp_path, unlimited)) == FREE


@pytest.mark.parametrize(
    ("line", "group", "limit", "usage"),
    [
        ("0::/a/b", "sys/fs/cgroup/a/b", "memory.max", "memory.current"),
        ("0::/a/b", "sys/fs/cgroup/a", "memory.max", "memory.current"),
        ("0::/elsewhere", "sys/fs/cgroup", "memory.max", "memory.current"),
        ("4:memory:/a", "sys/fs/cgroup/memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_a_limit_on_the_group_or_on_one_around_it_leaves_less(
    tmp_path: Path, line: str, group: str, limit: str, usage: str
) -> None:
    files = {
        "proc/self/cgroup": f"9:cpu:/a\n{line}\n",
        f"{group}/{limit}": "1000000\n",
        f"{group}/{usage}": "700000\n",
        f"{group}/memory.stat": "anon 650000\ninactive_file 50000\n",
    }
    assert available_memory_bytes(machine(tmp_path, files)) == 1_000_000 - 700_000 + 50_000


def test_a_group_above_its_limit_has_nothing_left(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "1000\n",
        "sys/fs/cgroup/memory.current": "2000\n",
    }
    assert available_memory_bytes(machine(tmp_path, files)) == 0


def test_where_there_is_no_proc_the_system_is_asked_otherwise(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path) > 0


FAULTS = """
import os, resource, torch
from bitlm.machine import keep_freed_memory
from bitlm.model import BitTransformer, ModelConfig
from bitlm.training import Trainer, TrainingConfig
def give_back():
    pass
def keep():
    assert keep_freed_memory()
def train():
    small = ModelConfig(d_model=8, nhead=1, num_layers=1, dim_feedforward=8, max_seq_len=64)
    Trainer(BitTransformer(small), TrainingConfig())
def step():
    return [torch.zeros(1 << 20) for _ in range(20)]
for prepare in (give_back, keep, train):
    if os.fork() == 0:  # what one keeps is kept for the rest of its process
        prepare()
        for _ in range(10):  # the heap grows until small things lie still between the large
            step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)
        os._exit(0)
    os.wait()
"""


def test_memory_that_is_kept_is_not_fetched_page_by_page_again() -> None:
    # Without this glibc learns from what is freed first, and what it gives back depends on what lies on top.
    gives_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    told = subprocess.check_output([sys.executable, "-c", FAULTS], text=True, timeout=120, env=gives_back)
    given_back, kept, trained = map(int, told.split())
    assert max(kept, trained) < given_back / 20


def test_what_is_resident_is_the_second_count_of_pages(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/self/statm": "90000 1234 500 1 0 800 0\n"})
    assert resident_bytes(root) == 1234 * os.sysconf("SC_PAGE_SIZE")


def test_what_is_resident_is_unknown_where_there_is_no_proc(tmp_path: Path) -> None:
    assert resident_bytes(tmp_path) is None
