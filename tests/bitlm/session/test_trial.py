"""What a run would take is what it takes."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session
from bitlm.session.trial import MOST_TRIED_PARAMETERS, try_settings
from bitlm.training import TrainingConfig

SHAPE = ModelConfig(
    d_model=16, nhead=2, num_layers=6, dim_feedforward=32, max_seq_len=512, mixing="reference"
)
TRAINING = TrainingConfig(batch_size=3)


def test_a_checkpoint_takes_what_the_trial_said(tmp_path: Path, corpus_file: Path) -> None:
    needs = try_settings(SHAPE, TRAINING, longest_step_s=10)
    assert needs is not None
    assert needs.is_whole
    store = RunStore(tmp_path)
    corpus = Corpus.from_path(corpus_file)
    session = Session.create(store, model=SHAPE, training=TRAINING, corpus=corpus)
    session.step()
    session.checkpoint()
    saved = store.checkpoints.of(session.run_id)[0].bytes
    session.close()
    store.close()
    assert needs.checkpoint_bytes == pytest.approx(saved, rel=0.2)
    assert needs.training_bytes > needs.checkpoint_bytes + 4 * SHAPE.parameter_count


def test_what_takes_too_long_is_reckoned_and_comes_out_alike() -> None:
    """By a clock that says each step takes a second, whatever it does."""
    whole = try_settings(SHAPE, TRAINING, longest_step_s=1e9, clock=count().__next__)
    reckoned = try_settings(SHAPE, TRAINING, longest_step_s=0.5, clock=count().__next__)
    assert whole is not None
    assert reckoned is not None
    assert (whole.is_whole, reckoned.is_whole) == (True, False)
    assert reckoned.training_bytes == pytest.approx(whole.training_bytes, rel=0.25)
    assert reckoned.checkpoint_bytes == pytest.approx(whole.checkpoint_bytes, rel=0.1)
    assert reckoned.step_s == 3  # three windows; by this clock a further layer takes no time
    assert reckoned.bytes_per_s == SHAPE.window_bytes


def test_less_is_kept_where_less_memory_is_asked_for() -> None:
    modes = ("store", "checkpoint", "recompute")
    found = [try_settings(replace(SHAPE, memory=memory), TRAINING, longest_step_s=10) for memory in modes]
    taken = [needs.training_bytes for needs in found if needs is not None]
    assert taken[0] > taken[1] > 0
    assert taken[0] > taken[2] > 0


def test_what_is_too_large_to_be_made_for_a_trial_is_not_tried() -> None:
    wide = ModelConfig(d_model=2048, nhead=16, num_layers=8, dim_feedforward=8192)
    assert replace(wide, num_layers=2).parameter_count > MOST_TRIED_PARAMETERS
    assert try_settings(wide, TRAINING) is None
