"""One training in four processes, then in two, then in one, and another in one alone: a program of the tests.

    python together.py FOLDER TEXT

Writes FOLDER/found.json: what both came to, and what each of four processes was told.
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
from typing import Any

import torch

from bitlm.data import Corpus
from bitlm.distributed import Group, Launch, joined
from bitlm.errors import ConfigError, GridOverflowError, HaltedError
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig, RunStore, Session
from bitlm.session.checkpoint import state_hashes
from bitlm.session.leading import LeadingLearner, follow_leader, tell
from bitlm.session.learner import Learner, MakeLearner
from bitlm.training import TrainingConfig
from bitlm.version import VERSION

MODEL = ModelConfig(
    d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256, dropout=0.1, memory="recompute",
    mixing="reference",
)  # fmt: skip
TRAINING = TrainingConfig(batch_size=4, accumulation_steps=4)
SPENT = {4: 20, 2: 35, 1: 50}
"""The step that so many processes go on to."""


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
        "overflow": overflow_in_one(group, corpus),
        "difference": difference_in_one(group, corpus),
    }
    (folder / f"told-{group.rank}.json").write_text(json.dumps(found))


def unlike_in_one(group: Group) -> str:
    try:
        group.require_alike({"steps": 50, "size": "base" if group.rank == 2 else "tiny"})
    except ConfigError as error:
        return str(error)
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


def run_config(corpus: Corpus) -> RunConfig:
    return RunConfig(
        model=MODEL, training=TRAINING, corpus=corpus.name, corpus_fingerprint=corpus.fingerprint,
        seed=0, threads=1, version=VERSION,
    )  # fmt: skip


def ended(store: RunStore) -> dict[str, Any]:
    (run,) = store.runs()
    newest = store.checkpoints.load(store.checkpoints.of(run.run_id)[0])
    return {
        "losses": store.metrics(run.run_id)["loss"],
        "hashes": asdict(state_hashes(newest)),
        "diverged": [event.payload for event in store.all_events(run.run_id, kinds=("diverged",))],
    }


Job = Callable[[Group, Path, Corpus], None]


def one_of(size: int, rank: int, jobs: tuple[Job, ...], folder: Path, corpus: Corpus) -> None:
    with joined(Launch(rank, size)) as group:
        for job in jobs:
            job(group, folder, corpus)


def side_by_side(size: int, jobs: tuple[Job, ...], folder: Path, corpus: Corpus) -> None:
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
        assert process.exitcode == 0, "a process failed; it said why on stderr"


def main() -> None:
    folder, corpus = Path(sys.argv[1]), Corpus.load(sys.argv[2])
    side_by_side(4, (tell_each_other, train_together), folder, corpus)
    side_by_side(2, (train_together,), folder, corpus)
    stores = [RunStore(folder / name) for name in ("shared", "alone")]
    for store in stores:
        train(store, corpus, SPENT[1])
    told = [json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(4)]
    shared, alone = map(ended, stores)
    (folder / "found.json").write_text(json.dumps({"shared": shared, "alone": alone, "told": told}))


if __name__ == "__main__":
    main()
