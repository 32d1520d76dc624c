import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitlm.model import BitTransformer, ModelConfig
from bitlm.training import HybridOptimizer, Muon, Trainer, TrainingConfig
from bitlm.training.optimizer import AdamW, orthogonalize, split_parameters


@given(rows=st.integers(2, 24), columns=st.integers(2, 24), seed=st.integers(0, 1000))
def test_orthogonalizing_brings_every_singular_value_near_one(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    wanted = torch.linalg.svdvals(matrix)
    values = torch.linalg.svdvals(orthogonalize([matrix])[0])
    conditioned = wanted > 0.02 * wanted.norm()
    assert torch.all(values <= 1.3)
    assert torch.all(values[conditioned] > 0.3)


def test_orthogonalizing_keeps_the_singular_directions() -> None:
    left, _, right = torch.linalg.svd(
        torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), full_matrices=False
    )
    (result,) = orthogonalize([left @ torch.diag(torch.tensor([1.0, 0.9, 0.8, 0.7])) @ right])
    inner = left.T @ result @ right.T
    assert torch.allclose(inner, torch.diag(inner.diag()), atol=1e-5)


def newton_schulz(matrix: Tensor) -> Tensor:
    """The iteration as it is published."""
    x: Tensor = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_orthogonalizing_is_the_published_iteration_whatever_is_in_the_batch(seed: int, scale: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    matrices = [scale * torch.randn(shape, generator=draw) for shape in ((8, 24), (8, 8), (32, 8), (8, 32))]
    for matrix, result in zip(matrices, orthogonalize(matrices), strict=True):
        assert torch.allclose(result, newton_schulz(matrix.double()).float(), atol=1e-3)


def test_orthogonalizing_nothing_gives_nothing() -> None:
    zero, other = orthogonalize([torch.zeros(3, 5), torch.ones(5, 3)])
    assert torch.equal(zero, torch.zeros(3, 5))
    assert torch.all(other.isfinite())


def test_muon_moves_a_matrix_by_the_same_amount_whatever_the_gradients_size() -> None:
    moved = []
    for scale in (1.0, 1000.0):
        weight = torch.nn.Parameter(torch.zeros(4, 4))
        weight.grad = scale * torch.eye(4)
        Muon([weight], learning_rate=0.1).step()
        moved.append(weight.detach().clone())
    assert torch.allclose(moved[0], moved[1], atol=1e-6)
    assert torch.all(moved[0].diag() < -0.05)


def test_training_does_without_torchs_compiler(
    model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # so that importing it fails
    trainer = Trainer(BitTransformer(model_config), TrainingConfig())
    assert trainer.update(torch.zeros(1, 64, dtype=torch.uint8), rate_factor=1.0, dropout_seed=0).finite


def test_adamw_is_torchs_fused_one_to_the_last_bit() -> None:
    def weights() -> list[torch.nn.Parameter]:
        draw = torch.Generator().manual_seed(0)
        shapes = ((7, 5), (33,), (), (2, 3, 4))
        return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes]

    ours, theirs = weights(), weights()
    optimizer = AdamW(ours, learning_rate=0.03, weight_decay=0.1)
    other = torch.optim.AdamW(theirs, lr=0.03, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for step in range(1, 9):
        draw = torch.Generator().manual_seed(step)
        for index, (one, twin) in enumerate(zip(ours, theirs, strict=True)):
            has_gradient = step % 3 != index  # each is left out of some steps, as what nothing denoised is
            one.grad = torch.randn(one.shape, generator=draw) if has_gradient else None
            twin.grad = None if one.grad is None else one.grad.clone()
        optimizer.learning_rate = other.param_groups[0]["lr"] = 0.03 / step
        optimizer.step()
        other.step()
        assert all(torch.equal(one, twin) for one, twin in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("use_act", [False, True])
def test_the_trunks_matrices_go_to_muon_and_nothing_is_lost(
    *, model_config: ModelConfig, use_act: bool
) -> None:
    model = BitTransformer(replace(model_config, use_act=use_act))
    matrices, others = split_parameters(model)
    assert matrices
    assert all(parameter.dim() == 2 for parameter in matrices)
    assert {id(p) for p in matrices} | {id(p) for p in others} == {id(p) for p in model.parameters()}
    assert sum(p.numel() for p in matrices) + sum(p.numel() for p in others) == model.parameter_count


def test_state_survives_a_round_trip_to_the_last_bit(model_config: ModelConfig) -> None:
    def make() -> tuple[BitTransformer, HybridOptimizer]:
        model = BitTransformer(model_config, seed=3)
        return model, HybridOptimizer(model, learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.1)

    def one_step(model: BitTransformer, optimizer: HybridOptimizer, value: int) -> None:
        bits = torch.full((1, 16), value, dtype=torch.uint8)
        optimizer.zero_grad()
        model(bits).logits.square().sum().backward()
        optimizer.step()

    model, optimizer = make()
    one_step(model, optimizer, 0)
    copy, restored = make()
    copy.load_state_dict(model.state_dict())
    restored.load_tensors({name: tensor.clone() for name, tensor in optimizer.tensors().items()})
    one_step(model, optimizer, 1)
    one_step(copy, restored, 1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copy.parameters(), strict=True))
