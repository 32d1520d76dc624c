"""What does it take of each process to write a checkpoint, gathered by rank 0 or in shards? Prints a table.

A model in shares (fsdp), a step after its start, in processes of this machine with one thread each. Memory is
what each holds at its peak beyond what it held before; processor time is that of all. The hashes that are
recorded are compared. Both ways in one run: `python -m benchmarks.sharded_checkpoints`, which writes to
results/. Reads /proc, so Linux only.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import bitlm.training.sharded  # noqa: F401 - what torch's part of it takes is no checkpoint's
from benchmarks.ranks import PEAK, of_memory_mb
from benchmarks.record import RESULTS, keep
from bitlm.cli.options import parsed
from bitlm.data import Corpus
from bitlm.distributed import Group, Launch, joined
from bitlm.session import RunStore, Session, preset
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.leading import follow_leader, tell
from bitlm.session.sharded import TOLD, LeadingShardedLearner, ShardedLearner

SHAPE = ["d_model=512", "nhead=8", "dim_feedforward=2048", "max_seq_len=512"]
"""17 million weights, a window of 64 bytes: next to nothing but weights is to hold."""


@dataclass(frozen=True)
class Row:
    """A way to write it.

    Attributes:
        grown_mb: By rank, at the peak, on the median over the checkpoints.
        cpu_s: Of all processes, the same.
        wall_s: Of rank 0, the same.
        mb: Size of a checkpoint.
        hashes: Of the last one's weights and optimizer state.
    """

    in_shards: bool
    grown_mb: list[float]
    cpu_s: float
    wall_s: float
    mb: float
    hashes: list[str]


@contextmanager
def watched(taken: list[tuple[float, float, float]]) -> Iterator[None]:
    """Add what is taken within: memory at the peak in MB, processor seconds, seconds."""
    PEAK.write_text("5")
    began, cpu, wall = of_memory_mb("VmRSS"), time.process_time(), time.perf_counter()
    yield
    grown = of_memory_mb("VmHWM") - began
    taken.append((grown, time.process_time() - cpu, time.perf_counter() - wall))


class Watched(ShardedLearner):
    """A follower that notes what its part of a checkpoint takes."""

    def __init__(self, *given: Any, taken: list[tuple[float, float, float]], **how: Any) -> None:
        super().__init__(*given, **how)
        self._taken = taken

    def snapshot(self) -> Checkpoint:
        """As the learner's."""
        with watched(self._taken):
            return super().snapshot()

    def write_shard(self, folder: str) -> list[str]:
        """As the learner's."""
        with watched(self._taken):
            return super().write_shard(folder)


def measure(launch: Launch, given: argparse.Namespace, folder: Path, *, in_shards: bool) -> None:
    """Train and save as one of the processes, and write what a checkpoint took to the folder."""
    taken: list[tuple[float, float, float]] = []
    told: dict[str, Any] = {}
    with joined(launch) as group:
        if group.rank:
            follow_leader(group, partial(Watched, taken=taken), TOLD)
        else:
            told = saved(group, given, taken, folder, in_shards=in_shards)
    told["taken"] = [median(each) for each in zip(*taken[-given.checkpoints :], strict=True)]
    (folder / f"{launch.rank}.json").write_text(json.dumps(told))


def saved(
    group: Group, given: argparse.Namespace, taken: list[tuple[float, float, float]], folder: Path,
    *, in_shards: bool,
) -> dict[str, Any]:  # fmt: skip
    """Save as rank 0; return what is recorded of the last checkpoint."""
    model, training = preset("base", batch_size=4, accumulation_steps=4, **parsed(given.set))
    make: Callable[..., LeadingShardedLearner] = partial(
        LeadingShardedLearner, group=group, in_shards=in_shards
    )
    session = Session.create(
        store := RunStore(folder / "data"), model=model, training=training, corpus=Corpus.embedded(),
        threads=1, make=make,
    )  # fmt: skip
    for _ in range(given.checkpoints):
        session.step()
        with watched(taken):
            session.checkpoint()
    record = store.checkpoints.of(session.run_id)[0]
    tell(group, "end")
    return {"mb": record.bytes / 2**20, "hashes": [record.weights_sha256, record.optimizer_sha256]}


def row_of(given: argparse.Namespace, port: int, *, in_shards: bool) -> Row:
    """Measure one way, in processes that are started anew."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as name:
        started = [
            spawn.Process(
                target=measure,
                args=(Launch(rank, given.processes), given, Path(name)),
                kwargs={"in_shards": in_shards},
            )
            for rank in range(given.processes)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        told = [json.loads((Path(name) / f"{rank}.json").read_text()) for rank in range(given.processes)]
    grown, cpu, wall = zip(*(each["taken"] for each in told), strict=True)
    return Row(in_shards, list(grown), sum(cpu), wall[0], told[0]["mb"], told[0]["hashes"])


def main() -> None:
    """Measure both ways, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", nargs="+", default=SHAPE, metavar="NAME=VALUE", help="of size base")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--checkpoints", type=int, default=3)
    parser.add_argument("--port", type=int, default=29_700, help="the first of the ports to meet on")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = [row_of(given, given.port + in_shards, in_shards=in_shards) for in_shards in (False, True)]
    print("           MB     cpu s  wall s  peak MB of each process")
    for row in rows:
        kind = "in shards" if row.in_shards else "gathered"
        each = " ".join(f"{mb:.0f}" for mb in row.grown_mb)
        print(f"{kind:9}  {row.mb:5.0f}  {row.cpu_s:5.1f}  {row.wall_s:6.1f}  {each}")
    same = rows[0].hashes == rows[1].hashes
    print("the hashes are the same" if same else "THE HASHES DIFFER")
    settings = {"set": given.set, "processes": given.processes, "checkpoints": given.checkpoints}
    keep(
        given.output, "sharded_checkpoints",
        by=__file__, settings=settings, rows=[asdict(row) for row in rows], same=same,
    )  # fmt: skip


if __name__ == "__main__":
    main()
