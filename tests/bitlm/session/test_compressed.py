"""Runs that learn run lengths beside text."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.errors import ConfigError
from bitlm.history.replay import Replay
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import generator
from bitlm.run_length import run_length_rows
from bitlm.session import RunStore, Session, preset
from bitlm.training import TrainingConfig, bits_per_byte


@pytest.mark.parametrize("mixing", ["reference", "none"])
def test_the_loss_of_the_text_and_that_of_the_run_lengths_stand_apart(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig, mixing: str
) -> None:
    shape = replace(model_config, mixing=mixing)
    recipe = replace(training_config, compress_prob=1.0)
    run = Session.create(store, model=shape, training=recipe, corpus=corpus, seed=3)
    weights = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    (first,) = islice(run, 1)
    run.close()
    plain = Session.create(store, model=shape, training=training_config, corpus=corpus, seed=3)
    (of_plain,) = islice(plain, 1)
    plain.close()
    assert of_plain.compressed_bits_per_byte is None
    assert first.loss != of_plain.loss  # of the first window alone, not of all
    model = BitTransformer(replace(shape, mixing="none"))
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    draw = generator(3, 0, "batch")
    rows = windows(corpus.train, shape.window_bytes, recipe.batch_size, draw)[1:].numpy()
    bits = encode_frames(torch.from_numpy(run_length_rows(rows)), parity=shape.parity)
    with torch.no_grad():
        output = model(bits)
    payload = bits[:, output.is_payload].float()
    expected = binary_cross_entropy_with_logits(output.logits[:, output.is_payload], payload)
    assert first.compressed_bits_per_byte == pytest.approx(bits_per_byte(expected.item()), abs=1e-5)


def test_a_run_with_run_lengths_learns_both_and_is_done_again_bit_for_bit(
    store: RunStore, corpus: Corpus, model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    recipe = replace(training_config, compress_prob=0.5)
    run = Session.create(store, model=model_config, training=recipe, corpus=corpus)
    events = list(islice(run, 40))
    run.save()
    run.close()
    told = [event.compressed_bits_per_byte for event in events]
    assert any(figure is not None for figure in told)
    assert any(figure is None for figure in told)
    lengths = [figure for figure in told if figure is not None]
    assert lengths[-1] < lengths[0] - 1  # eight of the 256 values are all there is in prose
    assert events[-1].bits_per_byte < events[0].bits_per_byte
    assert Replay(store, run.run_id).all().same


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compress_prob": 1.5}, "compress_prob"),
        ({"compress_prob": 0.5, "batch_size": 1}, "first window of a step is always text"),
        ({"compress_prob": 0.5, "objective": "mixed"}, "the objective 'causal'"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        preset("tiny", **changes)
