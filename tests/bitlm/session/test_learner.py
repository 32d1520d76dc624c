"""What the weights are trained on, when counts of the text are mixed in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import encode_frames
from bitlm.context_index import Counts
from bitlm.data import Corpus, window_starts
from bitlm.earlier_counts import EarlierCounts
from bitlm.errors import CheckpointError
from bitlm.model import ModelConfig
from bitlm.randomness import generator
from bitlm.reference import ReferenceModel
from bitlm.session.checkpoint import Checkpoint
from bitlm.session.config import RunConfig
from bitlm.session.learner import Learner
from bitlm.training import TrainingConfig
from bitlm.version import VERSION

NO_TEXTS: dict[str, bytes] = {}


def learner(corpus: Corpus, model: ModelConfig, training: TrainingConfig) -> Learner:
    config = RunConfig(
        model=replace(model, mixing="reference"),
        training=training,
        corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint,
        seed=1,
        threads=1,
        version=VERSION,
    )
    reference = ReferenceModel.fit(corpus.train, most_bytes=training.reference_bytes)
    return Learner(config, corpus, reference)


def windows_and_counts(one: Learner) -> tuple[Tensor, Counts | None]:
    batch, starts = one._batch()
    return batch, one._counts(batch, starts, 0)


def starts_of_first_step(corpus: Corpus, batch: Tensor) -> np.ndarray:
    return window_starts(corpus.train, batch.shape[1], len(batch), generator(1, 0, "batch")).numpy()


def test_a_step_mixes_in_the_counts_of_what_came_before_its_windows(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    one = learner(corpus, model_config, training_config)
    batch, counts = windows_and_counts(one)
    assert counts is not None
    rows = batch.numpy()
    starts = starts_of_first_step(corpus, batch)
    text = np.frombuffer(bytes(corpus.train), dtype=np.uint8)
    expected = EarlierCounts(text).of_step(0, rows, starts, 8)
    assert np.array_equal(counts.zeros, expected.zeros)
    assert np.array_equal(counts.ones, expected.ones)


def test_a_step_is_not_told_the_answers_that_the_whole_texts_counts_hold(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    one = learner(corpus, model_config, training_config)
    bits = encode_frames(one._batch()[0], parity=False)
    with torch.no_grad():
        told = binary_cross_entropy_with_logits(one.model(bits).logits, bits.float()).item()
    assert told < one.update().result.loss / 2


def test_a_text_that_was_handed_over_is_not_counted_and_asks_the_counts_as_they_are(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    one = learner(corpus, model_config, training_config)
    text = b"Quite another text, which nobody has counted. " * 4
    one.follow("steps_requested", {"steps": 1, "sha256": "of it"}, {"of it": text}.__getitem__)
    assert windows_and_counts(one)[1] is None
    one.update()
    assert windows_and_counts(one)[1] is not None


def test_of_a_long_text_windows_before_what_is_counted_have_no_counts(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    one = learner(corpus, model_config, replace(training_config, batch_size=16, reference_bytes=4000))
    batch, counts = windows_and_counts(one)
    assert counts is not None
    assert one.model.reference is not None
    assert one.model.reference.index.length == 4000
    starts = starts_of_first_step(corpus, batch)
    before = starts + batch.shape[1] <= len(corpus.train) - 4000
    assert before.any()
    assert not counts.zeros[before].any()
    assert not counts.ones[before].any()
    assert (counts.zeros + counts.ones)[~before].any() == (~before).any()


def test_weights_of_another_versions_model_are_refused_by_its_name(
    corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    one = learner(corpus, model_config, training_config)
    snapshot = one.snapshot()
    older = {name: weight for name, weight in snapshot.weights.items() if "out_norm" not in name}
    with pytest.raises(CheckpointError, match=rf"made by BitLM {VERSION}, .* or make a new run"):
        one.restore(Checkpoint(older, snapshot.optimizer, snapshot.state), NO_TEXTS.__getitem__)
    one.restore(snapshot, NO_TEXTS.__getitem__)
