"""Checkpoints whose files rot: whatever happens to them, it is noticed, and the run is what it was."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import CheckpointPolicy, RunStore, Session, SetTelemetry
from bitlm.session.checkpoint import StateHashes, state_hashes
from bitlm.training import TrainingConfig

CASES = 100
STEPS = 7
CHECKPOINTS = (6, 4, 2, 0)
"""Their steps, the newest first."""
FILES = ("weights.safetensors", "optimizer.safetensors", "manifest.json")


def flip(file: Path, random: Random) -> None:
    """Flip one bit."""
    data = bytearray(file.read_bytes())
    bit = random.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def truncate(file: Path, random: Random) -> None:
    """Cut off at least a byte, at most everything."""
    data = file.read_bytes()
    file.write_bytes(data[: random.randrange(len(data))])


def lose(file: Path, random: Random) -> None:
    file.unlink()


DAMAGES: tuple[Callable[[Path, Random], None], ...] = (flip, truncate, lose)
WEIGHTS = (6, 5, 1)
"""How often each is drawn: a lost file has no place to vary."""


@dataclass(frozen=True)
class Run:
    """A run that was closed a step after its newest checkpoint, as nothing ever happened to it."""

    data_dir: Path
    run_id: str
    hashes: StateHashes
    lambda_K: float


def hashes_of(session: Session) -> StateHashes:
    """Of weights and optimizer as they are now."""
    return state_hashes(session._learner.snapshot())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Run:
    model = ModelConfig(d_model=8, nhead=2, num_layers=1, dim_feedforward=16, max_seq_len=128)
    training = TrainingConfig(batch_size=2, warmup_steps=4, checkpoint_interval=2)
    store = RunStore(tmp_path_factory.mktemp("whole"))
    session = Session.create(
        store, model=model, training=training, corpus=corpus, seed=3, policy=CheckpointPolicy(keep=4)
    )
    while session.step_count < STEPS:
        session.step()
        session.apply(SetTelemetry(lambda_K=session.step_count / 10), source="cli")
    made = Run(store.data_dir, session.run_id, hashes_of(session), session.telemetry.lambda_K)
    session.close()
    store.close()
    return made


@pytest.mark.parametrize("case", range(CASES))
def test_a_damaged_checkpoint_is_noticed_and_the_run_is_what_it_was_to_the_last_bit(
    case: int, run: Run, tmp_path: Path
) -> None:
    random = Random(case)  # noqa: S311 - a choice, not a secret
    store = RunStore(shutil.copytree(run.data_dir, tmp_path / "data"))
    damaged = CHECKPOINTS[: random.randint(1, len(CHECKPOINTS))]
    records = store.checkpoints.of(run.run_id)
    assert tuple(record.step for record in records) == CHECKPOINTS
    for record in records[: len(damaged)]:
        damage = random.choices(DAMAGES, WEIGHTS)[0]
        damage(store.checkpoints.folder(record) / random.choice(FILES), random)

    session = Session.open(store, run.run_id)
    events = store.all_events(run.run_id, kinds=("checkpoint_damaged",))
    assert tuple(event.payload["step"] for event in events) == damaged
    states = {record.step: record.state for record in store.checkpoints.of(run.run_id)}
    assert all(states[step] == "damaged" for step in damaged)
    resumed = store.all_events(run.run_id, kinds=("run_resumed",))[-1].payload
    first_whole = (*CHECKPOINTS, 0)[len(damaged)]
    assert resumed == {"checkpoint_step": first_whole, "recomputed": STEPS - first_whole}
    assert store.all_events(run.run_id, kinds=("diverged",)) == []
    assert hashes_of(session) == run.hashes
    assert session.telemetry.lambda_K == run.lambda_K
    session.close()
    store.close()
