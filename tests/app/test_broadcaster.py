"""The pump between training and those who watch it."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import pytest

from app.service import Broadcaster, ModelManager, ServiceStoppingError
from app.service.requests import Control, Init, TrainStep
from bitlm.model import ModelConfig
from bitlm.session import RunStore
from bitlm.training import TrainingConfig

if TYPE_CHECKING:
    from tests.conftest import WaitUntil

MODEL = ModelConfig(d_model=8, nhead=2, num_layers=1, dim_feedforward=16, max_seq_len=64)
TRAINING = TrainingConfig(batch_size=1)


class Listener:
    """Takes in updates, only while it listens; `gate` holds it up as a slow connection would."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.listens = True
        self.gate = Flag()
        self.gate.set()

    def emit(self, update: dict[str, Any]) -> None:
        self.gate.wait()
        self.updates.append(update)

    def steps(self, run_id: str) -> list[int]:
        ours = [update for update in self.updates if update["run_id"] == run_id]
        return [step for update in ours for step in update["metrics"]["step"]]


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path)) as made:
        yield made


@pytest.fixture
def manager(store: RunStore, listener: Listener) -> Iterator[ModelManager]:
    """A manager whose news goes to `listener`."""
    made = ModelManager(store, torch_threads=1)
    broadcaster = Broadcaster(
        made, store, emit=listener.emit, listening=lambda: listener.listens, interval_s=0.25
    )
    broadcaster.start()
    made.start()
    yield made
    listener.gate.set()
    broadcaster.close()
    made.close()


def init(manager: ModelManager, corpus_file: Path) -> str:
    return manager.ask(Init(MODEL, TRAINING, corpus=str(corpus_file)), "rest").run_id


def test_many_steps_are_gathered_into_few_updates_and_none_is_lost(
    manager: ModelManager, listener: Listener, corpus_file: Path, wait_until: "WaitUntil"
) -> None:
    run_id = init(manager, corpus_file)
    listener.gate.clear()
    manager.ask(TrainStep(30), "rest")
    listener.gate.set()
    wait_until(lambda: listener.steps(run_id)[-1:] == [30])
    assert listener.steps(run_id) == list(range(1, 31))
    assert len(listener.updates) < 30


def test_a_slow_listener_does_not_hold_up_training(
    manager: ModelManager, listener: Listener, corpus_file: Path, wait_until: "WaitUntil"
) -> None:
    init(manager, corpus_file)
    listener.gate.clear()
    manager.ask(Control("start"), "rest")
    wait_until(lambda: manager.status().step >= 5)


def test_while_nobody_listens_nothing_is_kept_for_later(
    manager: ModelManager, store: RunStore, corpus_file: Path
) -> None:
    listener = Listener()
    broadcaster = Broadcaster(
        manager, store, emit=listener.emit, listening=lambda: listener.listens, interval_s=0.25
    )
    run_id = init(manager, corpus_file)
    listener.listens = False
    manager.ask(TrainStep(5), "rest")
    broadcaster._tell()
    listener.listens = True
    manager.ask(TrainStep(1), "rest")
    broadcaster._tell()
    assert listener.steps(run_id) == [6]


def test_the_last_state_is_always_told(
    manager: ModelManager, listener: Listener, corpus_file: Path, wait_until: "WaitUntil"
) -> None:
    init(manager, corpus_file)
    manager.ask(Control("start"), "rest")
    manager.ask(Control("pause"), "rest")
    wait_until(lambda: listener.updates and listener.updates[-1]["status"]["state"] == "paused")


def test_steps_that_wait_when_the_service_ends_are_refused(manager: ModelManager, corpus_file: Path) -> None:
    init(manager, corpus_file)
    waiting: Future[Any] = manager._worker.submit(TrainStep(10_000), "rest")
    manager.request_stop()
    with pytest.raises(ServiceStoppingError, match="shutting down"):
        waiting.result()
