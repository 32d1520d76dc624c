from dataclasses import replace
from itertools import islice

import pytest

from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.history import branching
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.model.reversible import MEMORY_MODES
from bitlm.session import RunStore, Session
from bitlm.training import TrainingConfig


def session_of(store: RunStore, corpus: Corpus, model: ModelConfig, training: TrainingConfig) -> Session:
    return Session.create(store, model=model, training=training, corpus=corpus, seed=1)


def test_a_run_that_leaves_memory_open_says_what_was_chosen_at_its_beginning_and_at_each_resumption(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = session_of(store, corpus, replace(model_config, memory="auto"), training_config)
    assert session.config.model.memory == "auto"
    losses = [event.loss for event in islice(session, 3)]
    session.close()
    reopened = Session.open(store, session.run_id)
    told = [event for event in store.events(session.run_id) if event.kind == "memory_chosen"]
    assert [event.step for event in told] == [0, 3]
    for event in told:
        assert event.source == "session"
        assert event.payload["memory"] in MEMORY_MODES
        assert event.payload["reason"]
        assert event.payload["available_bytes"] > 0
        assert [trial["memory"] for trial in event.payload["trials"]] == list(MEMORY_MODES)
    assert reopened.model.trunk.memory == told[-1].payload["memory"]
    reopened.close()
    assert Replay(store, session.run_id).all().same
    plain = session_of(store, corpus, model_config, training_config)
    assert losses == [event.loss for event in islice(plain, 3)]
    assert not [event for event in store.events(plain.run_id) if event.kind == "memory_chosen"]


def test_autocast_is_settled_before_the_run_is_made_and_never_again(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    session = session_of(store, corpus, model_config, replace(training_config, autocast="auto"))
    chosen = session.config.training.autocast
    assert chosen in ("off", "bf16")
    told = [event for event in store.events(session.run_id) if event.kind == "autocast_chosen"]
    assert [event.payload["autocast"] for event in told] == [chosen]
    with pytest.raises(ConfigError, match=r"autocast='auto' is settled when a run is made"):
        branching.fork(store, session.run_id, settings={"autocast": "auto"}, source="cli")
    branch = branching.fork(store, session.run_id, settings={"autocast": "bf16"}, source="cli")
    assert store.run(branch).config.training.autocast == "bf16"
