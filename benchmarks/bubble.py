"""How long do the stages of a pipeline wait for each other? Prints a table, writes it to results/.

Stages that sleep in place of computing, a part forward for a third of its time and back for two thirds: they
need no core, so the clock says what the schedule costs, also on a machine with fewer cores than stages and
much else to do. Beside it what is expected, (p - 1) / (m + p - 1) for p stages and m parts.
`python -m benchmarks.bubble`
"""

import argparse
import multiprocessing
import os
import time
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from benchmarks.record import RESULTS, keep
from bitlm.distributed import Group, Launch, Pipeline, Schedule, joined

FORWARD_SHARE = 1 / 3
STAGES = (2, 4)
PARTS = (4, 8, 16)


@dataclass(frozen=True)
class Row:
    """So many stages, with one schedule.

    Attributes:
        waiting: Share of a step that a stage did nothing, on the mean over the stages.
        expected: The same, by the formula.
    """

    schedule: str
    stages: int
    parts: int
    waiting: float
    expected: float


class _Slow(torch.autograd.Function):
    """What takes so many seconds forward, and back."""

    @staticmethod
    def forward(context: Any, part_s: float, carried: Tensor) -> Tensor:
        context.part_s = part_s
        time.sleep(FORWARD_SHARE * part_s)
        return carried.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        time.sleep((1 - FORWARD_SHARE) * context.part_s)
        return None, gradients[0]


class SleepingStage:
    """A stage whose work is to let time pass."""

    def __init__(self, part_s: float) -> None:
        self._part_s = part_s

    def forward(self, _part: int, received: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Hand on what was received; the first stage makes it."""
        (carried,) = received or (torch.zeros(1, requires_grad=True),)
        slow: Tensor = _Slow.apply(self._part_s, carried)  # type: ignore[no-untyped-call]
        return (slow,)

    def loss(self, _part: int, carried: tuple[Tensor, ...]) -> Tensor:
        """Return anything with a gradient."""
        return carried[0].sum()

    def learned(self) -> None:
        """Keep nothing."""


def waiting_share(group: Group, schedule: Schedule, parts: int, part_s: float, steps: int) -> float:
    """Return which share of some steps this process waited."""
    pipeline = Pipeline(SleepingStage(part_s), group, schedule, parts, (torch.Size([1]),))
    pipeline.run()  # meets its neighbours
    group.gathered("all are ready")
    began = time.perf_counter()
    for _ in range(steps):
        pipeline.run()
        group.gathered("a step is over")
    return 1 - steps * parts * part_s / (time.perf_counter() - began)


def measure(launch: Launch, part_s: float, steps: int, found: "SimpleQueue[Row]") -> None:
    """Try every schedule and count of parts as one of the processes; the first tells what came of it."""
    with joined(launch) as group:
        for schedule, parts in product(get_args(Schedule), PARTS):
            shares = group.gathered(waiting_share(group, schedule, parts, part_s, steps))
            if group.rank == 0:
                expected = (group.size - 1) / (parts + group.size - 1)
                found.put(Row(schedule, group.size, parts, sum(shares) / group.size, expected))


def rows_of(stages: int, part_s: float, steps: int, port: int) -> list[Row]:
    """Measure so many stages, in processes that are started anew."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port + stages)}
    spawn = multiprocessing.get_context("spawn")
    found: SimpleQueue[Row] = spawn.SimpleQueue()
    arguments = [(Launch(rank, stages), part_s, steps, found) for rank in range(stages)]
    started = [spawn.Process(target=measure, args=each) for each in arguments]
    for process in started:
        process.start()
    rows = [found.get() for _ in product(get_args(Schedule), PARTS)]
    for process in started:
        process.join()
    return rows


def main() -> None:
    """Measure every count of stages, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part-ms", type=float, default=150.0, help="forward and back, in each stage")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--port", type=int, default=29_700, help="the first of the ports to meet on")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = [row for stages in STAGES for row in rows_of(stages, given.part_ms / 1e3, given.steps, given.port)]
    print("schedule  stages  parts  waiting  expected")
    for row in rows:
        print(f"{row.schedule:8}  {row.stages:6}  {row.parts:5}  {row.waiting:7.1%}  {row.expected:8.1%}")
    settings = {"part_ms": given.part_ms, "steps": given.steps}
    keep(given.output, "bubble", by=__file__, settings=settings, rows=[asdict(row) for row in rows])


if __name__ == "__main__":
    main()
