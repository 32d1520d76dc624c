import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bitlm.errors import GridOverflowError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.reversible import MEMORY_MODES
from bitlm.training import StepResult, Trainer, TrainingConfig, masked_batch

BITS = torch.randint(0, 2, (2, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def step(trainer: Trainer, seed: int = 0) -> float:
    return trainer.update(BITS, rate_factor=1.0, dropout_seed=seed).loss


def state(trainer: Trainer) -> dict[str, Tensor]:
    tensors = {**trainer.model.state_dict(), **trainer.optimizer.tensors()}
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("memory", MEMORY_MODES)
@pytest.mark.parametrize("value", [1e6, math.nan])
def test_an_overflow_leaves_the_other_weights_and_the_optimizer_as_they_were(
    model_config: ModelConfig, training_config: TrainingConfig, memory: str, value: float
) -> None:
    model = BitTransformer(replace(model_config, memory=memory, dropout=0.1))
    trainer = Trainer(model, training_config)
    step(trainer)
    broken = model.get_parameter("trunk.blocks.0.attention.out_norm.weight")
    good = broken.detach().clone()
    before = state(trainer)
    with torch.no_grad():
        broken.fill_(value)
    with pytest.raises(GridOverflowError, match="layer 0 attention"):
        step(trainer, seed=1)
    assert not model.training
    with torch.no_grad():
        broken.copy_(good)
    after = state(trainer)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_the_memory_mode_can_change_between_steps_without_changing_a_bit(
    model_config: ModelConfig, training_config: TrainingConfig, autocast: str
) -> None:
    training = replace(training_config, autocast=autocast)
    changing = Trainer(BitTransformer(replace(model_config, dropout=0.1)), training)
    storing = Trainer(BitTransformer(replace(model_config, dropout=0.1)), training)
    for seed, memory in enumerate((*MEMORY_MODES, *reversed(MEMORY_MODES))):
        changing.model.trunk.memory = memory
        assert step(changing, seed) == step(storing, seed)
    assert all(
        torch.equal(*pair) for pair in zip(state(changing).values(), state(storing).values(), strict=True)
    )


def test_bf16_is_in_force_while_a_step_computes_and_auto_is_settled_first(
    model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    losses = {}
    for autocast in ("off", "bf16"):
        trainer = Trainer(BitTransformer(model_config), replace(training_config, autocast=autocast))
        losses[autocast] = [step(trainer) for _ in range(3)]
        assert trainer.model.trunk.autocast == "off"
    assert losses["off"] != losses["bf16"]
    assert losses["off"] == pytest.approx(losses["bf16"], rel=0.02)
    settled = Trainer(BitTransformer(model_config), replace(training_config, autocast="auto"))
    assert settled.config.autocast in ("off", "bf16")


def trained(
    config: ModelConfig, *, ponder_cost: float, updates: int, budget: float = 0.0
) -> tuple[BitTransformer, StepResult]:
    """A model after some updates on one batch, and what the last one saw."""
    trainer = Trainer(BitTransformer(config), TrainingConfig(warmup_steps=0, ponder_budget=budget))
    for key in range(updates):
        result = trainer.update(BITS, rate_factor=1.0, dropout_seed=key, ponder_cost=ponder_cost)
    return trainer.model, result


def test_ponder_cost_makes_positions_halt_sooner(model_config: ModelConfig) -> None:
    depths = []
    for cost in (1e-9, 1.0):
        _, result = trained(replace(model_config, use_act=True), ponder_cost=cost, updates=20)
        assert result.depth_mean is not None
        assert 1 <= result.depth_mean <= model_config.num_layers
        depths.append(result.depth_mean)
    assert depths[1] < depths[0]


def test_what_lies_within_the_budget_is_not_saved(model_config: ModelConfig) -> None:
    config, depths = replace(model_config, use_act=True), []
    for budget in (0.0, 0.96):
        _, result = trained(config, ponder_cost=1.0, updates=20, budget=budget)
        assert result.depth_mean is not None
        depths.append(result.depth_mean)
    assert depths[0] + 0.02 < depths[1] < 2


def test_free_depth_is_used_to_the_full_and_trained_as_without_act(model_config: ModelConfig) -> None:
    adaptive, result = trained(replace(model_config, use_act=True), ponder_cost=0.0, updates=3)
    plain, plain_result = trained(model_config, ponder_cost=0.0, updates=3)
    assert (result.loss, result.depth_mean) == (plain_result.loss, model_config.num_layers)
    weights = adaptive.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in plain.state_dict().items())


def test_an_update_without_act_tells_of_no_depth(model_config: ModelConfig) -> None:
    _, result = trained(model_config, ponder_cost=1.0, updates=1)
    assert result.depth_mean is None


def test_a_mixed_step_weighs_both_objectives_by_their_rows(
    model_config: ModelConfig, training_config: TrainingConfig
) -> None:
    def gradients(causal: bool, denoised: bool) -> list[Tensor]:  # noqa: FBT001 - which of the two
        model = BitTransformer(replace(model_config, objective="mixed"), seed=2)
        trainer = Trainer(model, replace(training_config, gradient_clip=1e6))
        masked = masked_batch(values, model.config, 3) if denoised else None
        done = trainer.update(BITS if causal else None, rate_factor=0.0, dropout_seed=0, masked=masked)
        assert (done.bound is None) == (not denoised)
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]

    values = torch.arange(6 * 32, dtype=torch.uint8).reshape(6, 32)
    both, causal, denoised = (gradients(*parts) for parts in ((True, True), (True, False), (False, True)))
    for together, one, other in zip(both, causal, denoised, strict=True):
        torch.testing.assert_close(together, 0.25 * one + 0.75 * other)
