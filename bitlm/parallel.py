"""Compiled work shared among as many threads as torch has."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def share(work: Callable[[int, int], None], count: int) -> None:
    """Do things that do not depend on each other; how they are shared must change no bit.

    Args:
        work: Does those from one to below another; runs without the interpreter's lock.
        count: How many there are.
    """
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        work(0, count)
        return
    ends = [count * part // threads for part in range(threads + 1)]
    others = [_workers(os.getpid()).submit(work, *ends[part : part + 2]) for part in range(1, threads)]
    work(*ends[:2])
    for other in others:
        other.result()


@cache
def _workers(_process: int) -> ThreadPoolExecutor:
    """Return a process's own threads: after a fork its parent's are not there."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="share")
