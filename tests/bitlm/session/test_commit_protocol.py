"""The commit protocol under sudden death: processes that really die at each of its points."""

import multiprocessing
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import Anneal, CheckpointPolicy, Command, Event, RunStore, Session, SetTelemetry
from bitlm.session.durability import ASIDE, Reached, unobserved
from bitlm.training import TrainingConfig

POINTS = (
    "weights.safetensors written",
    "optimizer.safetensors written",
    "manifest.json written",
    "folder synced",
    "folder renamed",
    "parent synced",
    "row written",
    "pruned",
)
COUNTS_FROM = POINTS.index("row written")
POLICY = CheckpointPolicy(keep=1)
COMMANDS: dict[int, Command] = {
    2: SetTelemetry(lambda_K=0.3),
    5: SetTelemetry(lambda_K=0.6, c_floor=0.2),
    6: Anneal(steps=20),
    10: SetTelemetry(lambda_K=0.1),
}
"""By the step they are given at: 5 and 10 are the steps of checkpoints."""
TEXT = b"a text of one's own, to be trained on for a while. " * 4


@dataclass(frozen=True)
class Settings:
    """What a run is made of, in a form that another process can be handed."""

    model: ModelConfig
    training: TrainingConfig
    text: bytes

    def create(self, data_dir: Path, reached: Reached = unobserved) -> Session:
        return Session.create(
            RunStore(data_dir), model=self.model, training=self.training, corpus=Corpus("text", self.text),
            seed=1, policy=POLICY, reached=reached,
        )  # fmt: skip


@pytest.fixture
def settings(model_config: ModelConfig, training_config: TrainingConfig, corpus: Corpus) -> Settings:
    return Settings(model_config, replace(training_config, checkpoint_interval=5), bytes(corpus.data))


def train(session: Session, until: int, acknowledge: Callable[[Event], object] = unobserved) -> None:
    """Train up to a step, with the commands on the way."""
    while session.step_count < until:
        if session.step_count in COMMANDS:
            acknowledge(session.apply(COMMANDS[session.step_count], source="rest"))
        if session.step_count == 7:
            acknowledge(session.request_steps(2, TEXT, source="rest"))
        session.step()


def die_now() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str, nth: int, settings: Settings, data_dir: Path, acknowledged: Path) -> None:
    """Train, and die when `point` is reached for the nth time."""
    times = Counter[str]()

    def reached(now: str) -> None:
        times[now] += 1
        if now == point and times[now] == nth:
            die_now()

    session = settings.create(data_dir, reached)
    with acknowledged.open("ab", buffering=0) as file:
        train(session, 10, lambda event: file.write(f"{event.event_id}\n".encode()))


def die_deleting(audited: str, nth: int, settings: Settings, data_dir: Path) -> None:
    """Train, and die in the deletion of the checkpoint of step 5, before what is `audited` is done."""
    session = settings.create(data_dir)
    train(session, 6)
    times = Counter[str]()

    def look(event: str, arguments: tuple[object, ...]) -> None:
        times[event] += 1
        if event == audited and times[event] == nth:
            die_now()

    sys.addaudithook(look)
    checkpoints = session.store.checkpoints
    checkpoints.delete(checkpoints.at(session.run_id, 5))


@pytest.fixture(scope="module")
def killed() -> Callable[..., None]:
    """Call a function in a process of its own, which it kills."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bitlm.session", __name__])

    def run(function: Callable[..., None], *arguments: object) -> None:
        process = context.Process(target=function, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        process.close()

    return run


def same_bits(ours: Session, theirs: Session) -> bool:
    pairs = zip(ours.model.state_dict().values(), theirs.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def going_on(session: Session) -> list[float]:
    return [event.loss for event in islice(session, 3)]


@pytest.fixture
def undisturbed(settings: Settings, tmp_path: Path) -> Session:
    """A session that nothing happened to, at the step where the others die."""
    session = settings.create(tmp_path / "undisturbed")
    train(session, 10)
    return session


def test_these_are_all_the_points_that_a_checkpoint_reaches(settings: Settings, tmp_path: Path) -> None:
    reached: list[str] = []
    settings.create(tmp_path / "data", reached.append)
    assert tuple(reached) == POINTS


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_died_there_goes_on_bit_for_bit_with_every_command_it_had_acknowledged(
    point: str, killed: Callable[..., None], settings: Settings, tmp_path: Path, undisturbed: Session
) -> None:
    acknowledged = tmp_path / "acknowledged"
    killed(die_at, point, 3, settings, tmp_path / "data", acknowledged)

    store = RunStore(tmp_path / "data")
    run_id = store.runs()[0].run_id
    counts = POINTS.index(point) >= COUNTS_FROM
    assert (store.checkpoints.of(run_id)[0].step == 10) == counts
    kept = {event.event_id for event in store.all_events(run_id)}
    told = [int(line) for line in acknowledged.read_text().split()]
    assert len(told) == 4
    assert kept >= set(told)

    session = Session.open(store, run_id, policy=POLICY)
    assert session.step_count == 10
    assert same_bits(session, undisturbed)
    assert session.telemetry == undisturbed.telemetry
    resumed = store.all_events(run_id, kinds=("run_resumed",))[0].payload
    assert resumed == {"checkpoint_step": 10 if counts else 5, "recomputed": 0 if counts else 5}
    assert list(store.run_dir(run_id).rglob(f"{ASIDE}*")) == []
    train(session, 13)
    train(undisturbed, 13)
    assert same_bits(session, undisturbed)
    assert going_on(session) == going_on(undisturbed)


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_died_making_its_first_checkpoint_is_computed_from_its_seed_and_gets_one(
    point: str, killed: Callable[..., None], settings: Settings, tmp_path: Path
) -> None:
    killed(die_at, point, 1, settings, tmp_path / "data", tmp_path / "acknowledged")
    store = RunStore(tmp_path / "data")
    session = Session.open(store, store.runs()[0].run_id, policy=POLICY)
    assert [record.step for record in store.checkpoints.of(session.run_id)] == [0]
    assert same_bits(session, settings.create(tmp_path / "undisturbed"))
    assert list(store.run_dir(session.run_id).rglob(f"{ASIDE}*")) == []


@pytest.mark.parametrize("where", [("shutil.rmtree", 1), ("os.remove", 2), ("os.rmdir", 1)], ids=str)
def test_a_checkpoint_whose_deletion_was_cut_off_does_not_count_and_is_deleted_when_the_run_is_opened(
    where: tuple[str, int],
    killed: Callable[..., None],
    settings: Settings,
    tmp_path: Path,
    undisturbed: Session,
) -> None:
    killed(die_deleting, *where, settings, tmp_path / "data")
    store = RunStore(tmp_path / "data")
    run_id = store.runs()[0].run_id
    folders = store.run_dir(run_id) / "checkpoints"
    assert [record.step for record in store.checkpoints.of(run_id)] == [0]
    assert states(store) == {"good", "leaving"}
    assert any(folders.glob("*05-*")), "it died before the folder was gone"

    session = Session.open(store, run_id, policy=POLICY)
    assert states(store) == {"good"}
    assert not any(path for path in folders.glob("*05-*") if path.name not in listed(store, run_id))
    train(session, 10)
    assert same_bits(session, undisturbed)


def listed(store: RunStore, run_id: str) -> set[str]:
    return {record.folder for record in store.checkpoints.of(run_id)}


def states(store: RunStore) -> set[str]:
    """The states of all rows, those included that no list shows."""
    connection = sqlite3.connect(store.data_dir / RunStore.FILE_NAME)
    found = {state for (state,) in connection.execute("SELECT state FROM checkpoints")}
    connection.close()
    return found
