"""Quantisation-aware training: the model has four-bit weights at every moment."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.growth import add_layer, carry_over
from bitlm.history.branching import fork
from bitlm.history.replay import Replay
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.reversible import MEMORY_MODES
from bitlm.model_file import load_model, save_model
from bitlm.quantisation import is_quantised, rounded
from bitlm.session import RunStore, Session
from bitlm.training import Trainer, TrainingConfig

BITS = torch.randint(0, 2, (2, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def update(trainer: Trainer, seed: int = 0) -> float:
    return trainer.update(BITS, rate_factor=1.0, dropout_seed=seed).loss


def weights_of(model: BitTransformer) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def is_rounded(model: BitTransformer) -> bool:
    return all(
        torch.equal(weight, rounded(weight, 4))
        for name, weight in model.named_parameters()
        if is_quantised(name, weight)
    )


@pytest.fixture
def qat(training_config: TrainingConfig) -> TrainingConfig:
    return replace(training_config, qat=True)


def test_the_gradient_at_rounded_weights_moves_the_exact_ones(
    model_config: ModelConfig, qat: TrainingConfig
) -> None:
    exact = weights_of(BitTransformer(model_config))
    trainer = Trainer(BitTransformer(model_config), replace(qat, weight_decay=0.0))
    at = weights_of(trainer.model)
    plain = Trainer(BitTransformer(model_config), replace(qat, weight_decay=0.0, qat=False))
    plain.model.load_state_dict(at)
    assert update(trainer) == update(plain)
    latent = iter(value for name, value in trainer.optimizer.tensors().items() if name.startswith("latent."))
    for name, weight in plain.model.named_parameters():
        moved = exact[name] + (weight - at[name])
        if is_quantised(name, weight):
            found = next(latent)
            assert torch.allclose(found, moved, atol=1e-6)
            assert torch.equal(trainer.model.get_parameter(name), rounded(found, 4))
        else:
            assert torch.equal(trainer.model.get_parameter(name), weight)
    assert next(latent, None) is None


def test_steps_too_small_for_four_bits_add_up(model_config: ModelConfig, qat: TrainingConfig) -> None:
    training = replace(qat, learning_rate=1e-4, matrix_learning_rate=1e-4)
    trainer = Trainer(BitTransformer(model_config), training)
    losses = [update(trainer) for _ in range(12)]
    name = "trunk.blocks.0.feedforward.project_in.weight"
    first = rounded(BitTransformer(model_config).get_parameter(name), 4)
    assert not torch.equal(trainer.model.get_parameter(name), first)
    assert losses[-1] < losses[0]


def test_a_four_bit_file_of_such_a_model_is_exact(
    model_config: ModelConfig, qat: TrainingConfig, tmp_path: Path
) -> None:
    trainer = Trainer(BitTransformer(replace(model_config, dropout=0.1)), qat)
    for seed in range(3):
        update(trainer, seed)
    save_model(trainer.model, tmp_path / "model", precision="int4")
    kept = load_model(tmp_path / "model").model
    assert torch.equal(kept(BITS).logits, trainer.model(BITS).logits)
    assert all(torch.equal(*pair) for pair in zip(kept.parameters(), trainer.model.parameters(), strict=True))


def test_memory_modes_are_the_same_bits(model_config: ModelConfig, qat: TrainingConfig) -> None:
    found = []
    for memory in MEMORY_MODES:
        trainer = Trainer(BitTransformer(replace(model_config, dropout=0.1, memory=memory)), qat)
        losses = [update(trainer, seed) for seed in range(3)]
        found.append((losses, [weight.tolist() for weight in trainer.model.parameters()]))
    assert found[0] == found[1] == found[2]


def made(
    store: RunStore, model: ModelConfig, training: TrainingConfig, corpus: Corpus, steps: int
) -> Session:
    session = Session.create(store, model=model, training=training, corpus=corpus)
    list(islice(session, steps))
    return session


def test_a_run_goes_on_bit_for_bit_after_a_death_and_is_replayed(
    store: RunStore, model_config: ModelConfig, qat: TrainingConfig, corpus: Corpus
) -> None:
    whole = made(store, model_config, qat, corpus, 6)
    whole.save()
    whole.close()
    other = made(store, model_config, qat, corpus, 3)
    other.save()
    list(islice(other, 1))
    other.close()  # a step after its checkpoint, which is computed again
    again = Session.open(store, other.run_id)
    list(islice(again, 2))
    expected = weights_of(whole.model)
    assert all(torch.equal(weight, expected[name]) for name, weight in again.model.named_parameters())
    assert is_rounded(again.model)
    again.save()
    again.close()
    assert Replay(store, other.run_id).all().same


@pytest.mark.parametrize("to_qat", [True, False])
def test_a_fork_begins_or_ends_it(
    store: RunStore, model_config: ModelConfig, qat: TrainingConfig, corpus: Corpus, *, to_qat: bool
) -> None:
    training = replace(qat, qat=not to_qat)
    parent = made(store, model_config, training, corpus, 3)
    parent.save()
    parent.close()
    before = parent.model.get_parameter("head.weight")
    forked = Session.open(store, fork(store, parent.run_id, settings={"qat": to_qat}, source="cli"))
    assert torch.equal(forked.model.get_parameter("head.weight"), rounded(before, 4))
    list(islice(forked, 2))
    assert is_rounded(forked.model) == to_qat
    forked.save()
    kept = forked._learner.snapshot().optimizer
    assert any(name.startswith("latent.") for name in kept) == to_qat
    forked.close()
    assert Replay(store, forked.run_id).all().same


def test_such_a_model_is_not_grown(model_config: ModelConfig, qat: TrainingConfig) -> None:
    trainer = Trainer(BitTransformer(model_config), qat)
    with pytest.raises(ConfigError, match="qat=True: rounding what is new would change predictions"):
        carry_over(trainer, add_layer(trainer.model))


def test_it_is_on_or_off(unchecked_types: None) -> None:
    with pytest.raises(ConfigError, match="qat=4: use true or false"):
        TrainingConfig(qat=4)  # type: ignore[arg-type] # a user's mistake
