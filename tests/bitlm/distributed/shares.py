"""A run in four processes that keep shares, one in two of which one is killed, and one alone: a program.

    python shares.py FOLDER TEXT

Writes FOLDER/found.json: what all three came to, and what each process of a few has seen.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # or each process would, at its first step
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from bitlm.data import Corpus
from bitlm.distributed import Group
from bitlm.distributed.sharding import share_of
from bitlm.errors import GridOverflowError
from bitlm.model import BitTransformer
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig, RunStore, Session
from bitlm.session.checkpoint import IN_SHARDS, Checkpoint, state_hashes
from bitlm.session.leading import follow_leader, tell
from bitlm.session.learner import Learner, MakeLearner, Update
from bitlm.session.sharded import TOLD, LeadingShardedLearner, ShardedLearner
from bitlm.training import TrainingConfig
from tests.bitlm.distributed import together
from tests.bitlm.distributed.together import ended, exit_codes_of, side_by_side

MODEL = replace(together.MODEL, num_layers=2, objective="mixed", use_act=True)
TRAINING = TrainingConfig(
    batch_size=4, accumulation_steps=4, causal_share=0.75, ponder_start=10, checkpoint_interval=10,
    validation_interval=25,
)  # fmt: skip
STEPS = 50
DIES_AT = 27
SIZES = (2, 4)
"""The count of processes; where there are most, checkpoints are in shards."""


class Dying(ShardedLearner):
    """Rank 1's, which is killed within a step."""

    def update(self) -> Update:
        if self.step_count == DIES_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update()


def train(store: RunStore, corpus: Corpus, make: MakeLearner = Learner) -> None:
    """Take up the run of a data folder, or make one, and train it to its end."""
    if store.runs():
        session = Session.open(store, store.runs()[0].run_id, make=make)
    else:
        session = Session.create(store, model=MODEL, training=TRAINING, corpus=corpus, make=make)
    while session.step_count < STEPS:
        session.step()
    session.save()
    session.close()


def train_in_shares(
    group: Group, folder: Path, corpus: Corpus, name: str, follower: type[ShardedLearner] = ShardedLearner
) -> None:
    if group.rank:
        follow_leader(group, follower, TOLD)
        return
    in_shards = group.size == max(SIZES)
    train(RunStore(folder / name), corpus, partial(LeadingShardedLearner, group=group, in_shards=in_shards))
    tell(group, "end")


def look(group: Group, folder: Path, corpus: Corpus) -> None:
    """Take up the checkpoint that four processes left, and see what each keeps, tells and fails in."""
    learner = ShardedLearner(run_config(corpus), corpus, ReferenceModel.fit(corpus.train), group)
    left = newest(RunStore(folder / "four"))
    learner.restore(left, lambda _: b"")
    kept = asdict(state_hashes(learner.snapshot()))
    learner.update()
    seen = {"numbers": numbers(learner), "overflow": overflow_in_one(learner)}
    learner.restore(left, lambda _: b"")
    seen |= {"kept": kept, "kept_after": asdict(state_hashes(learner.snapshot()))}
    seen["short"] = on_a_short_text(learner)
    (folder / f"seen-{group.size}-{group.rank}.json").write_text(json.dumps(seen))


def numbers(learner: ShardedLearner) -> dict[str, int]:
    """Return how many numbers of each kind a process keeps between two steps."""
    weights = list(learner.model.parameters())
    moments = [one for one in learner._trainer.optimizer.tensors().values() if one.dim()]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    return {"weights": numel(weights), "gradients": numel(gradients), "moments": numel(moments)}


def numel(shares: Sequence[Tensor]) -> int:
    return sum(share_of(share).numel() for share in shares)


def overflow_in_one(learner: ShardedLearner) -> str:
    """Let what only the last process denoises overflow; return what each of them says."""
    with torch.no_grad():
        share_of(learner.model.get_parameter("denoiser.project.weight")).fill_(1e6)
    try:
        learner.update()
    except GridOverflowError as error:
        return str(error)
    return "no error"


def on_a_short_text(learner: Learner) -> dict[str, Any]:
    """Return what a step on a text of one window measures, of which but one process has something."""
    learner.follow("steps_requested", {"steps": 1, "sha256": "its"}, lambda _: b"a text of a few words")
    return learner.update().measured


def newest(store: RunStore) -> Checkpoint:
    (run,) = store.runs()
    return store.checkpoints.load(store.checkpoints.of(run.run_id)[0])


def loaded_by_torch(store: RunStore) -> dict[str, str]:
    """Return the hashes of a checkpoint in shards as torch reads it, by its own format alone."""
    (run,) = store.runs()
    reader = HuggingFaceStorageReader(str(store.checkpoints.folder(store.checkpoints.of(run.run_id)[0])))
    outlines = reader.read_metadata().state_dict_metadata
    tensors = {}
    for name, outline in outlines.items():
        assert isinstance(outline, TensorStorageMetadata)
        tensors[name] = torch.empty(outline.size)
    load(tensors, storage_reader=reader, no_dist=True)
    weights, optimizer = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in IN_SHARDS
    )
    return asdict(state_hashes(Checkpoint(weights, optimizer, {})))


def run_config(corpus: Corpus) -> RunConfig:
    return together.run_config(corpus).model_copy(update={"model": MODEL, "training": TRAINING})


def main() -> None:
    folder, corpus = Path(sys.argv[1]), Corpus.load(sys.argv[2])
    side_by_side(4, (partial(train_in_shares, name="four"), look), folder, corpus)
    killed = partial(train_in_shares, name="two", follower=Dying)
    exit_codes = exit_codes_of(2, (killed,), folder, corpus)
    side_by_side(2, (partial(train_in_shares, name="two"), look), folder, corpus)
    train(RunStore(folder / "one"), corpus)
    came_to = {name: ended(RunStore(folder / name)) for name in ("one", "two", "four")}
    (run,) = RunStore(folder / "two").runs()
    resumed = RunStore(folder / "two").all_events(run.run_id, kinds=("run_resumed",))
    seen = {
        size: [json.loads((folder / f"seen-{size}-{rank}.json").read_text()) for rank in range(size)]
        for size in SIZES
    }
    alone = Learner(run_config(corpus), corpus, ReferenceModel.fit(corpus.train))
    alone.restore(newest(RunStore(folder / "four")), lambda _: b"")
    found = {
        **came_to,
        "short": on_a_short_text(alone),
        "exit_codes": exit_codes,
        "loaded_by_torch": loaded_by_torch(RunStore(folder / "four")),
        "resumed": [[event.step, event.payload] for event in resumed],
        "parameters": BitTransformer(MODEL).parameter_count,
        "seen": seen,
    }
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
