"""When a run got below what others need."""

from itertools import islice

from bitlm.data import Corpus
from bitlm.history.branching import fork
from bitlm.history.milestones import milestones, passed
from bitlm.model import ModelConfig
from bitlm.session import RunStore, Session
from bitlm.training import TrainingConfig

BASELINES = {"gzip": 2.0, "xz": 1.5, "order-0": 4.5}


def test_a_baseline_is_passed_once_two_estimates_in_a_row_are_no_higher() -> None:
    estimates = [(50, 5.0), (100, 4.0), (150, 1.9), (200, 2.1), (250, 2.0), (300, 1.9), (350, 1.5)]
    assert passed(estimates, BASELINES) == {"order-0": (100, 4.0), "gzip": (250, 2.0)}


def test_what_was_passed_at_one_step_is_told_from_the_easiest_on() -> None:
    assert list(passed([(50, 1.0), (100, 1.0)], BASELINES)) == ["order-0", "gzip", "xz"]


def test_the_last_estimate_alone_passes_nothing() -> None:
    assert passed([(50, 1.0)], BASELINES) == {}
    assert passed([], BASELINES) == {}


def test_a_branch_has_the_milestones_of_its_past_with_the_time_it_took_then(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    run = Session.create(store, model=model_config, training=training_config, corpus=corpus)
    list(islice(run, 20))
    run.close()
    assert milestones(store, run.run_id) == []
    store.set_baselines(corpus.fingerprint, {"a coin": 8.0, "a wizard": 0.1})
    (found,) = milestones(store, run.run_id)
    row = store.metrics_of_step(run.run_id, 5)
    assert row is not None
    assert (found.name, found.baseline, found.step) == ("a coin", 8.0, 5)
    assert (found.elapsed_s, found.bytes_seen) == (row["elapsed_s"], row["bytes_seen"])
    assert found.validation_bits_per_byte == row["validation_bits_per_byte"]
    branch = fork(store, run.run_id, step=10, source="ui")
    assert milestones(store, branch) == [found]
