import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bitlm.model import BitTransformer, ModelConfig, cpu_autocast, reversibility
from bitlm.model.trunk import Trunk

BITS = torch.randint(0, 2, (1, 144), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))


def small_model(patch_bits: int = 8, *, parity: bool = False, dropout: float = 0.0) -> BitTransformer:
    config = ModelConfig(
        d_model=16, nhead=2, num_layers=5, dim_feedforward=32, max_seq_len=144,
        patch_bits=patch_bits, parity=parity, dropout=dropout,
    )  # fmt: skip
    model = BitTransformer(config, seed=3).train()
    with torch.no_grad():
        for parameter in model.trunk.parameters():
            parameter.mul_(2)
    return model


@pytest.mark.parametrize("patch_bits", [1, 8])
@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_both_figures_are_zero_in_every_format_with_dropout_and_bf16(
    *, patch_bits: int, parity: bool, autocast: str
) -> None:
    model = small_model(patch_bits, parity=parity, dropout=0.3)
    with cpu_autocast(model, autocast):
        found = reversibility(model, BITS, dropout_seed=8)
    assert found.inversion_error == found.gradient_agreement == 0.0


def test_a_branch_that_does_not_repeat_itself_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))
    exact = Trunk.reversible_layers

    def drifting(trunk: Trunk, positions: int, dropout_seed: int | None, **how: Any) -> list[object]:
        layers = exact(trunk, positions, dropout_seed, **how)
        attend = layers[0].attention.function
        object.__setattr__(layers[0].attention, "function", lambda x: attend(x) + 1e-3 * next(calls))
        return list(layers)

    monkeypatch.setattr(Trunk, "reversible_layers", drifting)
    found = reversibility(small_model(), BITS)
    assert found.inversion_error > 0
    assert found.gradient_agreement > 0


def test_measuring_leaves_mode_gradients_and_weights_alone() -> None:
    model = small_model()
    model.trunk.memory = "checkpoint"
    marks = {name: torch.full_like(p, 7.0) for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.grad = marks[name].clone()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    reversibility(model, BITS)
    assert model.trunk.memory == "checkpoint"
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[name])
        gradient: Tensor | None = parameter.grad
        assert gradient is not None
        assert torch.equal(gradient, marks[name])


def test_outside_training_there_is_no_dropout_to_invert() -> None:
    model = small_model(dropout=0.3).eval()
    found = reversibility(model, BITS)
    assert (found.inversion_error, found.gradient_agreement) == (0.0, 0.0)
    assert not math.isnan(found.inversion_error)
