"""What does it take to share a step among processes? Prints a table, writes it to results/.

The same updates of a size on the embedded text in one process and in several of this machine, each with one
thread; the weights are compared at the end. Processor time is that of all processes together: on a machine
that is not idle only that means anything. `python -m benchmarks.ranks`, and the same with `--by fsdp` for
weights in shares, `--by 1f1b` or `gpipe` for a pipeline. Reads /proc, so Linux only.
"""

import argparse
import json
import multiprocessing
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from benchmarks.record import RESULTS, keep
from bitlm.cli.options import parsed
from bitlm.data import Corpus
from bitlm.distributed import Group, Launch, Schedule, joined
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig, preset
from bitlm.session.checkpoint import state_hashes
from bitlm.session.leading import MakeShared
from bitlm.session.learner import Learner
from bitlm.session.sharded import ShardedLearner
from bitlm.session.staged import StagedLearner
from bitlm.version import VERSION

WARM_UP = 2
"""Updates before those that are measured."""

Strategy = Literal["ddp", "fsdp"]
By = Strategy | Schedule
"""What processes share a step by: windows, windows and weights, or the model's layers with a schedule."""

PEAK = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Row:
    """So many processes.

    Attributes:
        cpu_ms: Of all processes, a step.
        rank_cpu_ms: Of each.
        rank_grown_mb: What each holds at its peak beyond what it held before its model was made.
        weights: SHA-256 of the weights after the last step.
    """

    processes: int
    wall_ms: float
    cpu_ms: float
    rank_cpu_ms: list[float]
    rank_grown_mb: list[float]
    bytes_per_s: float
    bytes_per_cpu_s: float
    weights: str


def measure(launch: Launch, by: By, config: RunConfig, steps: int, folder: Path) -> None:
    """Do the updates as one of the processes, and write what they took to the folder."""
    make = Learner if launch.size == 1 else learner_by(by)
    corpus = Corpus.embedded()
    reference = ReferenceModel.fit(corpus.train)
    with joined(launch) as group:
        PEAK.write_text("5")  # from here on
        began = of_memory_mb("VmRSS")
        learner = make(config, corpus, reference, group)
        for _ in range(WARM_UP):
            learner.update()
        wall_s, cpu_s = _timed(learner, steps, group)
        told: dict[str, Any] = {"wall_s": wall_s, "cpu_s": cpu_s, "grown_mb": of_memory_mb("VmHWM") - began}
        checkpoint = learner.snapshot()
    if by == "ddp" or launch.rank == 0:
        told["weights"] = state_hashes(checkpoint).weights
    (folder / f"{launch.rank}.json").write_text(json.dumps(told))


def learner_by(by: By) -> MakeShared:
    """Return what makes the learner of one of several processes."""
    if by == "ddp":
        return Learner
    if by != "fsdp":
        return partial(StagedLearner, schedule=by)
    import bitlm.training.sharded  # noqa: F401, PLC0415 - what torch's part of it takes is no model's

    return ShardedLearner


def of_memory_mb(name: str) -> float:
    """Return a figure of this process's memory: VmRSS is what it holds, VmHWM the most it has held."""
    (kilobytes,) = re.findall(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    return int(kilobytes) / 1024


def _timed(learner: Learner, steps: int, group: Group) -> tuple[float, float]:
    group.gathered("all are ready")
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        learner.update()
    return time.perf_counter() - wall, time.process_time() - cpu


def row_of(processes: int, by: By, config: RunConfig, steps: int, port: int) -> Row:
    """Measure so many processes, which are started anew."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port + processes)}
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [(Launch(rank, processes), by, config, steps, folder) for rank in range(processes)]
        started = [spawn.Process(target=measure, args=each) for each in arguments]
        for process in started:
            process.start()
        for process in started:
            process.join()
        told = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]
    (weights,) = {each["weights"] for each in told if "weights" in each}
    wall_s, cpu_s = max(each["wall_s"] for each in told), sum(each["cpu_s"] for each in told)
    seen = steps * config.training.batch_size * config.model.window_bytes
    rank_cpu_ms, grown_mb = ([each[name] for each in told] for name in ("cpu_s", "grown_mb"))
    return Row(
        processes, 1e3 * wall_s / steps, 1e3 * cpu_s / steps, [1e3 * each / steps for each in rank_cpu_ms],
        grown_mb, seen / wall_s, seen / cpu_s, weights,
    )  # fmt: skip


def main() -> None:
    """Measure every count of processes, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small")
    parser.add_argument("--num-layers", type=int, help="in place of the size's")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other settings")
    parser.add_argument("--by", choices=(*get_args(Strategy), *get_args(Schedule)), default="ddp")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--port", type=int, default=29_600, help="the first of the ports to meet on")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    depth = {} if given.num_layers is None else {"num_layers": given.num_layers}
    parts = {"batch_size": given.batch_size, "accumulation_steps": max(given.processes)}
    model, training = preset(given.size, **parts, **depth, **parsed(given.set))
    corpus = Corpus.embedded()
    config = RunConfig(
        model=model, training=replace(training, autocast="off"), corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint, seed=0, threads=1, version=VERSION,
    )  # fmt: skip
    rows = [row_of(processes, given.by, config, given.steps, given.port) for processes in given.processes]
    print("processes  wall ms/step  cpu ms/step  kB/s  kB/cpu s  cpu ms/step and peak MB of each")
    for row in rows:
        print(
            f"{row.processes:9}  {row.wall_ms:12.0f}  {row.cpu_ms:11.0f}  {row.bytes_per_s / 1e3:4.1f}"
            f"  {row.bytes_per_cpu_s / 1e3:8.1f}  "
            + " ".join(
                f"{ms:.0f}/{mb:.0f}" for ms, mb in zip(row.rank_cpu_ms, row.rank_grown_mb, strict=True)
            )
        )
    same = len({row.weights for row in rows}) == 1
    print("the weights are the same to the last bit" if same else "THE WEIGHTS DIFFER")
    settings = {"size": given.size, "by": given.by, **parts, **depth, "set": given.set, "steps": given.steps}
    name = "ranks" if given.by == "ddp" else f"ranks_{given.by}"
    keep(given.output, name, by=__file__, settings=settings, rows=[asdict(row) for row in rows], same=same)


if __name__ == "__main__":
    main()
