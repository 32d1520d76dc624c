"""What rank 0 of a pipeline refuses to begin; what it does is tested in processes (`distributed`)."""

from dataclasses import replace

import pytest

from bitlm.data import Corpus
from bitlm.distributed import ALONE
from bitlm.errors import ConfigError
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig
from bitlm.session.staged import LeadingStagedLearner
from bitlm.training import TrainingConfig
from bitlm.version import VERSION


@pytest.fixture
def learner(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> LeadingStagedLearner:
    config = RunConfig(
        model=model_config, training=training_config, corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint, seed=0, threads=1, version=VERSION,
    )  # fmt: skip
    return LeadingStagedLearner(config, corpus, ReferenceModel.fit(corpus.train), ALONE, schedule="1f1b")


def test_steps_on_another_text_are_done_in_one_process(corpus: Corpus, learner: LeadingStagedLearner) -> None:
    def text(_digest: str) -> bytes:
        return bytes(corpus.data)

    learner.follow("steps_requested", {"steps": 2}, text)
    assert learner.has_request
    expected = r"text='abc': go on with this run in one process until these steps are done\."
    with pytest.raises(ConfigError, match=expected):
        learner.follow("steps_requested", {"steps": 2, "sha256": "abc"}, text)
    amid = learner.snapshot()
    request = {"began": 0, "until": 2, "sha256": "abc"}
    with pytest.raises(ConfigError, match=expected):
        learner.restore(replace(amid, state=amid.state | {"request": request}), text)
    learner.restore(amid, text)
    assert learner.has_request
