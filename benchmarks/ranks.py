"""What does it take to share a step among processes? Prints a table, writes it to results/.

The same updates of a size on the embedded text in one process and in several of this machine, each with one
thread; the weights are compared at the end. Processor time is that of all processes together: on a machine
that is not idle only that means anything. `python -m benchmarks.ranks`
"""

import argparse
import json
import multiprocessing
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.record import RESULTS, keep
from bitlm.data import Corpus
from bitlm.distributed import Group, Launch, joined
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig, preset
from bitlm.session.checkpoint import state_hashes
from bitlm.session.learner import Learner
from bitlm.version import VERSION

WARM_UP = 2
"""Updates before those that are measured."""


@dataclass(frozen=True)
class Row:
    """So many processes.

    Attributes:
        cpu_ms: Of all processes, a step.
        weights: SHA-256 of the weights after the last step.
    """

    processes: int
    wall_ms: float
    cpu_ms: float
    bytes_per_s: float
    bytes_per_cpu_s: float
    weights: str


def measure(rank: int, processes: int, config: RunConfig, steps: int, folder: Path) -> None:
    """Do the updates as one of the processes, and write what they took to the folder."""
    corpus = Corpus.embedded()
    with joined(Launch(rank, processes)) as group:
        learner = Learner(config, corpus, ReferenceModel.fit(corpus.train), group)
        for _ in range(WARM_UP):
            learner.update()
        wall_s, cpu_s = _timed(learner, steps, group)
    weights = state_hashes(learner.snapshot()).weights
    (folder / f"{rank}.json").write_text(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "weights": weights}))


def _timed(learner: Learner, steps: int, group: Group) -> tuple[float, float]:
    group.gathered("all are ready")
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        learner.update()
    return time.perf_counter() - wall, time.process_time() - cpu


def row_of(processes: int, config: RunConfig, steps: int, port: int) -> Row:
    """Measure so many processes, which are started anew."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port + processes)}
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [(rank, processes, config, steps, folder) for rank in range(processes)]
        started = [spawn.Process(target=measure, args=each) for each in arguments]
        for process in started:
            process.start()
        for process in started:
            process.join()
        told = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]
    (weights,) = {each["weights"] for each in told}
    wall_s, cpu_s = max(each["wall_s"] for each in told), sum(each["cpu_s"] for each in told)
    seen = steps * config.training.batch_size * config.model.window_bytes
    return Row(processes, 1e3 * wall_s / steps, 1e3 * cpu_s / steps, seen / wall_s, seen / cpu_s, weights)


def main() -> None:
    """Measure every count of processes, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--port", type=int, default=29_600, help="the first of the ports to meet on")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    model, training = preset(given.size, batch_size=given.batch_size, accumulation_steps=max(given.processes))
    corpus = Corpus.embedded()
    config = RunConfig(
        model=model, training=replace(training, autocast="off"), corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint, seed=0, threads=1, version=VERSION,
    )  # fmt: skip
    rows = [row_of(processes, config, given.steps, given.port) for processes in given.processes]
    print("processes  wall ms/step  cpu ms/step  kB/s  kB/cpu s")
    for row in rows:
        print(
            f"{row.processes:9}  {row.wall_ms:12.0f}  {row.cpu_ms:11.0f}  {row.bytes_per_s / 1e3:4.1f}"
            f"  {row.bytes_per_cpu_s / 1e3:8.1f}"
        )
    same = len({row.weights for row in rows}) == 1
    print("the weights are the same to the last bit" if same else "THE WEIGHTS DIFFER")
    settings = {"size": given.size, "batch_size": given.batch_size, "steps": given.steps}
    keep(given.output, "ranks", by=__file__, settings=settings, rows=[asdict(row) for row in rows], same=same)


if __name__ == "__main__":
    main()
