from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm import adjust_learning_rate
from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.errors import ConfigError
from bitlm.growth import Growth, add_layer, carry_over, double_length, double_width, grow, only_new_weights
from bitlm.growth.carrying import new_weights
from bitlm.growth.widening import Widening, widening_of
from bitlm.model import BitTransformer
from bitlm.randomness import generator
from bitlm.training import Trainer, TrainingConfig, masked_batch
from tests.bitlm.growth.test_growing import bits_for, gradient_of, tiny

UNCLIPPED = TrainingConfig(gradient_clip=1e6)
FEATURES: dict[str, Any] = {
    "use_act": True,
    "objective": "mixed",
    "ngram_order": 2,
    "ngram_slots": 16,
    "recall": True,
}


def train(trainer: Trainer, steps: range) -> None:
    """Do updates on the embedded text, half of each denoised where the model denoises."""
    config, text = trainer.model.config, Corpus.embedded().train
    for step in steps:
        batch = windows(text, config.window_bytes, 4, generator(0, step, "batch"))
        masked = masked_batch(batch[2:], config, step) if config.denoises else None
        trainer.update(
            encode_frames(batch[:2] if config.denoises else batch, parity=config.parity),
            rate_factor=1.0,
            dropout_seed=step,
            masked=masked,
            ponder_cost=1e-4,
        )


def trained(updates: int = 3, **features: Any) -> Trainer:
    trainer = Trainer(tiny(**features), UNCLIPPED)
    train(trainer, range(updates))
    return trainer


def weights(model: BitTransformer) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moments(trainer: Trainer) -> dict[str, dict[str, Tensor]]:
    """What the optimizers keep, by the weight's name."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in trainer.model.named_parameters()}
    parts = trainer.optimizer.parts.values()
    return {names[one]: dict(kept) for part in parts for one, kept in part.state.items()}


@pytest.mark.parametrize("growth", ["layer", "context"])
def test_old_weights_go_on_to_the_last_bit_as_if_nothing_had_grown(growth: Growth) -> None:
    going_on = trained(**FEATURES | {"use_act": False})
    carried = carry_over(going_on, grow(going_on.model, growth))
    steps = range(3, 4)
    if growth == "context":  # on the same windows
        bits = bits_for(going_on.model)
        for trainer in (going_on, carried):
            trainer.update(bits, rate_factor=1.0, dropout_seed=0)
    else:
        train(going_on, steps)
        train(carried, steps)
    grown = weights(carried.model)
    assert all(torch.equal(weight, grown[name]) for name, weight in weights(going_on.model).items())
    kept = moments(carried)
    for name, entries in moments(going_on).items():
        assert all(torch.equal(value, kept[name][key]) for key, value in entries.items())


def test_new_weights_begin_without_moments() -> None:
    before = trained(use_act=True)
    carried = carry_over(before, add_layer(before.model))
    new = {name for name, which in new_weights(before.model, carried.model).items() if which.all()}
    assert any(name == "trunk.blocks.1.halting.weight" for name in new)
    assert all(name.startswith(("trunk.blocks.2.", "trunk.blocks.1.halting.")) for name in new)
    assert moments(carried).keys() == moments(before).keys()
    assert not new & moments(carried).keys()


def in_parts(weight: Tensor, how: Widening) -> Tensor:
    """The weight with a dimension for its parts, if it has several."""
    return weight.reshape(how.parts, -1, *weight.shape[1:]) if how.parts > 1 else weight


def evenly_split(model: BitTransformer) -> BitTransformer:
    """The wider model with every weight split in halves."""
    wider = double_width(model)
    with torch.no_grad():
        for name, parameter in wider.named_parameters():
            how = widening_of(name)
            if how.split is not None:
                apart = in_parts(parameter, how)
                other = apart.roll(apart.shape[how.split] // 2, how.split)
                parameter.copy_(((apart + other) / 2).reshape(parameter.shape))
    return wider


def test_moments_of_a_wider_weight_are_those_of_its_gradients() -> None:
    model = tiny(**FEATURES).train()
    wider, bits = evenly_split(model), bits_for(model)
    states = torch.randint(0, 3, (3, 16, 8), generator=torch.Generator().manual_seed(1))
    found = []
    for one in (model, wider):
        output = one(bits, dropout_seed=7)
        loss = binary_cross_entropy_with_logits(output.logits, bits.float()) + 0.1 * output.depth_mean
        (loss + one.denoise(states, dropout_seed=7).sigmoid().mean()).backward()
        found.append({name: gradient_of(parameter) for name, parameter in one.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        expected = widening_of(name).moment(gradient, 1)
        torch.testing.assert_close(
            found[1][name], expected, rtol=0.02, atol=0.005 * float(expected.abs().max())
        )
        torch.testing.assert_close(widening_of(name).moment(gradient**2, 2), expected**2)


def test_moments_are_widened_and_counts_of_steps_kept() -> None:
    before = trained(**FEATURES)
    carried = carry_over(before, double_width(before.model))
    kept = moments(carried)
    for name, entries in moments(before).items():
        assert kept[name].keys() == entries.keys()
        for key, value in entries.items():
            if key == "step":
                assert torch.equal(kept[name][key], value)
            else:
                assert kept[name][key].shape == carried.model.get_parameter(name).shape
    train(carried, range(3, 5))


def test_the_optimizer_of_a_grown_model_can_be_saved_and_loaded() -> None:
    before = trained()
    grown = double_width(add_layer(before.model))
    carried = carry_over(carry_over(before, add_layer(before.model)), grown)
    again = Trainer(double_width(add_layer(before.model)), UNCLIPPED)
    again.optimizer.load_tensors({name: one.clone() for name, one in carried.optimizer.tensors().items()})
    for trainer in (carried, again):
        train(trainer, range(3, 4))
    assert all(torch.equal(*pair) for pair in zip(grown.parameters(), again.model.parameters(), strict=True))


def between_copies(model: BitTransformer) -> dict[str, float]:
    """How far the two copies of each weight are apart, in what they do where they read equals."""
    apart = {}
    for name, parameter in weights(model).items():
        how = widening_of(name)
        if how.copied is not None:
            read = in_parts(parameter, how)
            if how.split is not None:
                read = torch.stack(read.chunk(2, dim=how.split)).sum(0)
            one, other = read.chunk(2, dim=how.copied)
            apart[name] = float((one - other).abs().max())
    return apart


@pytest.mark.parametrize("features", [{}, FEATURES])
def test_the_two_copies_of_a_wider_model_are_equal_and_part(features: dict[str, Any]) -> None:
    before = trained(**features)
    carried = carry_over(before, double_width(before.model))
    assert max(between_copies(carried.model).values()) < 1e-6
    train(carried, range(3, 6))
    assert min(between_copies(carried.model).values()) > 1e-4


def test_a_narrower_model_or_another_ones_is_refused_with_what_to_give() -> None:
    for other in (tiny(d_model=4), tiny(recall=True, d_model=24, nhead=2)):
        with pytest.raises(ConfigError, match=r"grown=.* add_layer, double_width or double_length made"):
            carry_over(Trainer(tiny(), UNCLIPPED), other)


@pytest.mark.parametrize("grown_by", [add_layer, double_width])
def test_while_old_weights_rest_only_new_ones_move(grown_by: Callable[..., BitTransformer]) -> None:
    before = trained(**FEATURES)
    carried = carry_over(before, grown_by(before.model))
    at_first, new = weights(carried.model), new_weights(before.model, carried.model)
    with only_new_weights(carried, before.model) as count:
        train(carried, range(3, 6))
    assert count == sum(int(which.sum()) for which in new.values())
    assert count == carried.model.parameter_count - before.model.parameter_count
    after = weights(carried.model)
    for name, which in new.items():
        moved = after[name] != at_first[name]
        assert not (moved & ~which).any(), name
        if which.any() and "vectors" not in name and "patterns" not in name:
            assert moved[which].float().mean() > 0.5, name
    train(carried, range(6, 7))
    last = weights(carried.model)
    assert not torch.equal(last["head.weight"], after["head.weight"])
    assert not torch.equal(last["head.bias"], after["head.bias"])
    assert all(parameter.requires_grad for parameter in carried.model.parameters())


def test_after_a_longer_window_nothing_is_new_so_that_nothing_rests() -> None:
    before = trained()
    carried = carry_over(before, double_length(before.model))
    at_first = weights(carried.model)
    with only_new_weights(carried, before.model) as count:
        train(carried, range(3, 4))
    assert count == carried.model.parameter_count
    assert all(not torch.equal(weight, at_first[name]) for name, weight in weights(carried.model).items())


def test_a_rate_that_was_adjusted_is_carried_over_and_warms_up_and_falls_as_before() -> None:
    before = trained()
    assert adjust_learning_rate(before.optimizer, 0.5) == UNCLIPPED.learning_rate / 2
    carried = carry_over(before, add_layer(before.model))
    adjust_learning_rate(carried.optimizer, 0.5)
    carried.optimizer.set_learning_rate_factor(0.1)
    for part, peak in (("muon", UNCLIPPED.matrix_learning_rate), ("adamw", UNCLIPPED.learning_rate)):
        assert carried.optimizer.parts[part].learning_rate == pytest.approx(0.25 * 0.1 * peak)
    before.optimizer.set_learning_rate_factor(1.0)
    assert before.optimizer.parts["adamw"].learning_rate == UNCLIPPED.learning_rate / 2


def test_the_rates_of_an_optimizer_of_torchs_are_adjusted_as_well() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.5, 0.25)]
    optimizer = torch.optim.SGD(groups)
    assert adjust_learning_rate(optimizer, 0.5) == 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.125]


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_that_would_end_learning_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match=r"factor=.*: use a number above 0"):
        adjust_learning_rate(trained(0).optimizer, factor)
