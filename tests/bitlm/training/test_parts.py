"""Steps that are computed in parts."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.model import ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig
from bitlm.session.learner import Learner
from bitlm.training import StepResult, TrainingConfig
from bitlm.version import VERSION

CAUSAL = {"mixing": "reference"}
MIXED = {"objective": "mixed"}


def learner_in_parts(corpus: Corpus, model: ModelConfig, training: TrainingConfig, parts: int) -> Learner:
    config = RunConfig(
        model=model, training=replace(training, accumulation_steps=parts), corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint, seed=1, threads=1, version=VERSION,
    )  # fmt: skip
    return Learner(config, corpus, ReferenceModel.fit(corpus.train))


def gradients(learner: Learner) -> tuple[StepResult, list[torch.Tensor | None]]:
    result = learner.update().result
    return result, [parameter.grad for parameter in learner.model.parameters()]


@pytest.mark.parametrize(
    ("model", "training"),
    [
        (CAUSAL, {}),
        (CAUSAL, {"compress_prob": 0.7}),
        (MIXED, {"causal_share": 0.3}),
        (MIXED, {"causal_share": 0.0}),
    ],
)
def test_the_parts_of_a_step_add_up_to_the_whole(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig,
    model: dict[str, Any], training: dict[str, Any],
) -> None:  # fmt: skip
    settings = replace(model_config, **model), replace(training_config, **training)
    whole, expected = gradients(learner_in_parts(corpus, *settings, 1))
    result, found = gradients(learner_in_parts(corpus, *settings, 4))
    figures = vars(whole).copy()
    del figures["gradient_norms"]  # of what is compared below
    for name, value in figures.items():
        assert getattr(result, name) == (
            value if value is None else pytest.approx(value, rel=1e-5, abs=1e-6)
        ), name
    for one, other in zip(expected, found, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


def test_a_text_with_fewer_windows_than_parts_leaves_some_empty(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    learner = learner_in_parts(corpus, model_config, training_config, 4)
    text = (
        b"Too short for four windows of thirty-two bytes, but long enough for three of these. So it is." * 2
    )
    learner.follow("steps_requested", {"steps": 1, "sha256": "of it"}, {"of it": text[:100]}.__getitem__)
    assert learner.update().batch_bytes == 3 * model_config.window_bytes


def test_how_many_windows_are_in_memory_at_once() -> None:
    assert TrainingConfig(batch_size=8, accumulation_steps=4).rows_at_once == 2


@pytest.mark.parametrize(
    ("parts", "fix"),
    [
        (3, "use a power of two, such as 2, 4 or 8"),
        (8, "it is to divide batch_size, which is 12; use a batch_size of 16"),
        (0, "use a whole number from 1 to 4096"),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: int, fix: str) -> None:
    with pytest.raises(ConfigError, match=f"accumulation_steps={parts}: {fix}"):
        TrainingConfig(batch_size=12, accumulation_steps=parts)
