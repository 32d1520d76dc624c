"""One training in four processes, then in two, then in one, and another in one alone: a program of the tests.

    python together.py FOLDER TEXT

The processes share it in three ways: by its windows, and by its layers with either schedule. Writes
FOLDER/found.json: what all came to, and what each of four processes was told.
"""

import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.distributed.pipelining  # here, so that not each process does

from bitlm.cli.ranks import require_common
from bitlm.data import Corpus
from bitlm.distributed import Group, Launch, Schedule, joined
from bitlm.errors import ConfigError, GridOverflowError, HaltedError
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig, RunStore, Session
from bitlm.session.checkpoint import state_hashes
from bitlm.session.leading import LeadingLearner, follow_leader, tell
from bitlm.session.learner import Learner, MakeLearner
from bitlm.session.staged import TOLD, LeadingStagedLearner, StagedLearner
from bitlm.training import TrainingConfig
from bitlm.version import VERSION

MODEL = ModelConfig(
    d_model=16, nhead=2, num_layers=4, dim_feedforward=32, max_seq_len=256, dropout=0.1, memory="recompute",
    mixing="reference",
)  # fmt: skip
TRAINING = TrainingConfig(
    batch_size=4, accumulation_steps=4, validation_interval=10, probe_interval=10, diagnostics_interval=10,
    telemetry_budget=1.0,
)  # fmt: skip
OF_THE_MACHINE = {"at", "elapsed_s", "bytes_per_s", "resident_bytes", "telemetry_share"}
SPENT = {4: 20, 2: 35, 1: 50}
"""The step that so many processes go on to."""


Job = Callable[[Group, Path, Corpus], None]


def train(store: RunStore, corpus: Corpus, until: int, make: MakeLearner = Learner) -> None:
    """Take up the run of a data folder, or make one, and train it up to a step."""
    if store.runs():
        session = Session.open(store, store.runs()[0].run_id, make=make)
    else:
        session = Session.create(store, model=MODEL, training=TRAINING, corpus=corpus, make=make)
    for _ in islice(session, until - session.step_count):
        pass
    session.save()
    session.close()


def train_in_stages(group: Group, folder: Path, corpus: Corpus, schedule: Schedule) -> None:
    if group.rank:
        follow_leader(group, partial(StagedLearner, schedule=schedule), TOLD)
        return
    in_shards = schedule == "gpipe"
    make = partial(LeadingStagedLearner, group=group, schedule=schedule, in_shards=in_shards)
    train(RunStore(folder / schedule), corpus, SPENT[group.size], make)
    tell(group, "end")


IN_STAGES: tuple[Job, ...] = tuple(
    partial(train_in_stages, schedule=schedule) for schedule in get_args(Schedule)
)


def train_together(group: Group, folder: Path, corpus: Corpus) -> None:
    if group.rank:
        follow_leader(group)
        return
    train(RunStore(folder / "shared"), corpus, SPENT[group.size], partial(LeadingLearner, group=group))
    tell(group, "end")


def tell_each_other(group: Group, folder: Path, corpus: Corpus) -> None:
    found = {
        "own": list(group.own(8)),
        "total": group.total(torch.full((5,), 10.0**group.rank)).tolist(),
        "gathered": group.gathered({"rank": group.rank, "text": "é" * group.rank, "loss": 0.1}),
        "broadcast": group.broadcast(b"of rank 0" if group.rank == 0 else b"").decode(),
        "unlike": unlike_in_one(group),
        "apart": apart_in_one(group, folder),
        "overflow": overflow_in_one(group, corpus),
        "difference": difference_in_one(group, corpus),
        "stage": stage_of_one(group, corpus),
    }
    (folder / f"told-{group.rank}.json").write_text(json.dumps(found))


def unlike_in_one(group: Group) -> str:
    try:
        group.require_alike({"steps": 50, "size": "base" if group.rank == 2 else "tiny"})
    except ConfigError as error:
        return str(error)
    return "no error"


def apart_in_one(group: Group, folder: Path) -> str:
    """Return what is said of a data folder that rank 2 does not see, and that all do see rank 0's."""
    require_common(group, folder / "common")
    before = Path.cwd()
    os.chdir("/" if group.rank == 2 else folder)
    try:
        require_common(group, Path("/proc/self/cwd/common"))  # of each process another folder
    except ConfigError as error:
        return str(error)
    finally:
        os.chdir(before)
    return "no error"


def overflow_in_one(group: Group, corpus: Corpus) -> str:
    learner = Learner(run_config(corpus), corpus, ReferenceModel.fit(corpus.train), group)
    if group.rank == 3:
        with torch.no_grad():
            learner.model.get_parameter("trunk.blocks.0.attention.out_norm.weight").fill_(1e6)
    try:
        learner.update()
    except GridOverflowError as error:
        return str(error)
    return "no error"


def difference_in_one(group: Group, corpus: Corpus) -> str:
    """Return why rank 0 saves nothing where rank 3, of which this is all it says, has other weights."""
    if group.rank == 3:
        for _ in range(3):  # that it is to begin, the text, that it is to compare
            group.broadcast()
        group.gathered({"weights": "others", "optimizer": "the same"})
        group.broadcast()
    elif group.rank:
        follow_leader(group)
    else:
        learner = LeadingLearner(run_config(corpus), corpus, ReferenceModel.fit(corpus.train), group)
        try:
            learner.snapshot()
        except HaltedError as error:
            return str(error)
        finally:
            tell(group, "end")
    return "no error"


def stage_of_one(group: Group, corpus: Corpus) -> dict[str, Any]:
    """Return what a stage has, and what becomes of steps in which the first, third and last overflow."""
    reference = ReferenceModel.fit(corpus.train)
    learner = StagedLearner(run_config(corpus), corpus, reference, group, schedule="1f1b")
    has = [name for name, weight in learner.model.named_parameters() if not weight.is_meta]
    overflows = []
    for place in (0, 2, 3):
        weight = learner.model.get_parameter(f"trunk.blocks.{place}.attention.out_norm.weight")
        before = weight.detach().clone()
        if place == group.rank:
            weight.data.fill_(1e6)
        with pytest.raises(GridOverflowError) as overflow:
            learner.update()
        overflows.append(str(overflow.value))
        weight.data.copy_(before)
    moments = learner.snapshot().optimizer
    return {"has": has, "overflows": overflows, "steps": learner.step_count, "moments": len(moments)}


def run_config(corpus: Corpus) -> RunConfig:
    return RunConfig(
        model=MODEL, training=TRAINING, corpus=corpus.name, corpus_fingerprint=corpus.fingerprint,
        seed=0, threads=1, version=VERSION,
    )  # fmt: skip


def ended(store: RunStore) -> dict[str, Any]:
    (run,) = store.runs()
    record = store.checkpoints.of(run.run_id)[0]
    hashes = asdict(state_hashes(store.checkpoints.load(record)))
    assert hashes == {"weights": record.weights_sha256, "optimizer": record.optimizer_sha256}
    figures = store.metrics(run.run_id)
    return {
        "figures": {name: kept for name, kept in figures.items() if name not in OF_THE_MACHINE},
        "hashes": hashes,
        "diverged": [event.payload for event in store.all_events(run.run_id, kinds=("diverged",))],
    }


def one_of(size: int, rank: int, jobs: tuple[Job, ...], folder: Path, corpus: Corpus) -> None:
    with joined(Launch(rank, size)) as group:
        for job in jobs:
            job(group, folder, corpus)


def side_by_side(size: int, jobs: tuple[Job, ...], folder: Path, corpus: Corpus) -> None:
    """Do jobs in so many processes, none of which fails."""
    assert exit_codes_of(size, jobs, folder, corpus) == [0] * size, "one failed; it said why on stderr"


def exit_codes_of(size: int, jobs: tuple[Job, ...], folder: Path, corpus: Corpus) -> list[int | None]:
    """Do jobs in so many processes, which are forked: so they need not import everything again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=one_of, args=(size, rank, jobs, folder, corpus)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def main() -> None:
    folder, corpus = Path(sys.argv[1]), Corpus.load(sys.argv[2])
    side_by_side(4, (tell_each_other, train_together, *IN_STAGES), folder, corpus)
    side_by_side(2, (train_together, *IN_STAGES), folder, corpus)
    found: dict[str, Any] = {}
    for name in ("shared", *get_args(Schedule), "alone"):
        train(store := RunStore(folder / name), corpus, SPENT[1])
        found[name] = ended(store)
    found["told"] = [json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(4)]
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
