from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import Event, RunStore, Session
from bitlm.session.plateau import LEAST_ESTIMATES, Plateau
from bitlm.training import TrainingConfig


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path / "data")) as opened:
        yield opened


def told(plateau: Plateau, estimates: list[float], first_step: int = 50) -> list[tuple[int, float]]:
    """The steps at which something was said, and of which best."""
    steps = range(first_step, first_step + 50 * len(estimates), 50)
    said = [(step, plateau.observe(step, one)) for step, one in zip(steps, estimates, strict=True)]
    return [(step, one["best"]) for step, one in said if one is not None]


def test_a_best_that_stays_the_best_for_twenty_estimates_is_told_once() -> None:
    estimates = [2.0, 1.5, *[1.6] * (LEAST_ESTIMATES + 30)]
    assert told(Plateau(), estimates) == [(50 * (2 + LEAST_ESTIMATES), 1.5)]


def test_after_a_new_best_the_next_is_told_again_and_waited_for_as_long_as_it_took() -> None:
    plateau = Plateau()
    falling = [3.0 - 0.01 * index for index in range(40)]
    assert told(plateau, falling + [2.9] * 39) == []
    assert told(plateau, [2.9], 50 * 80) == [(4000, falling[-1])]
    assert told(plateau, [1.0] + [2.0] * 80, 4050) == []
    assert told(plateau, [2.0], 8100) == [(8100, 1.0)]


def test_what_is_remembered_counts_and_is_not_told_again() -> None:
    plateau = Plateau()
    plateau.remember([(step, 1.5 + 0.01 * step) for step in range(LEAST_ESTIMATES + 5)])
    assert told(plateau, [2.0] * 30) == []


def test_a_run_whose_held_out_text_gets_worse_says_so_and_not_again_when_it_is_taken_up(
    store: RunStore, corpus: Corpus
) -> None:
    model = ModelConfig(d_model=16, nhead=2, num_layers=1, dim_feedforward=32, max_seq_len=256)
    training = TrainingConfig(batch_size=2, validation_interval=1, telemetry_budget=1.0)
    run = Session.create(store, model=model, training=training, corpus=corpus, seed=1)
    run._observer.plateau.observe(0, 0.1)
    list(islice(run, LEAST_ESTIMATES + 2))
    (said,) = stalls(run)
    assert (said.step, said.payload["best"], said.payload["best_step"]) == (LEAST_ESTIMATES, 0.1, 0)
    run.close()
    again = Session.open(store, run.run_id)
    list(islice(again, 2))
    assert stalls(again) == [said]
    again.close()


def stalls(run: Session) -> list[Event]:
    return run.store.all_events(run.run_id, kinds=("held_out_stalled",))
