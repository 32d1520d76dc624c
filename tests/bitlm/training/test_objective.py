from math import log

import pytest
import torch

from bitlm.bits import text_to_bits
from bitlm.model import ModelOutput
from bitlm.telemetry import negentropy_score
from bitlm.training.objective import bits_per_byte, causal_objective


def output_of(logits: torch.Tensor, payload: list[bool] | None = None) -> ModelOutput:
    return ModelOutput(logits=logits, is_payload=torch.tensor(payload or [True] * logits.shape[1]))


def test_a_coin_costs_eight_bits_per_byte() -> None:
    bits = text_to_bits("any text")[None]
    objective = causal_objective(output_of(torch.zeros(bits.shape)), bits)
    assert bits_per_byte(objective.cross_entropy.item()) == pytest.approx(8.0)
    assert objective.negentropy.item() == 0.0


def test_cross_entropy_by_hand() -> None:
    bits = torch.tensor([[1, 0]], dtype=torch.uint8)
    logits = torch.tensor([[log(3.0), log(3.0)]])
    objective = causal_objective(output_of(logits), bits)
    assert objective.cross_entropy.item() == pytest.approx(-(log(0.75) + log(0.25)) / 2)


def test_parity_bits_are_not_counted() -> None:
    bits = torch.tensor([[1, 0, 1]], dtype=torch.uint8)
    logits = torch.tensor([[2.0, -2.0, 0.0]])
    changed = torch.tensor([[2.0, -2.0, -50.0]])
    payload = [True, True, False]
    first, second = (causal_objective(output_of(value, payload), bits, 0.5) for value in (logits, changed))
    assert torch.equal(first.total, second.total)


def test_lambda_zero_leaves_the_cross_entropy_untouched() -> None:
    bits = torch.tensor([[1, 0, 1, 1]], dtype=torch.uint8)
    objective = causal_objective(
        output_of(torch.tensor([[0.3, -1.2, 0.7, 2.0]], requires_grad=True)), bits, 0.0
    )
    assert objective.total.item() == objective.cross_entropy.item()


def test_lambda_k_subtracts_k_and_sharpens() -> None:
    bits = torch.tensor([[1, 0]], dtype=torch.uint8)
    logits = torch.tensor([[0.4, 0.4]], requires_grad=True)
    objective = causal_objective(output_of(logits), bits, 0.5)
    expected = objective.cross_entropy - 0.5 * negentropy_score(torch.sigmoid(logits))
    assert objective.total.item() == pytest.approx(expected.item())
    plain = causal_objective(output_of(logits), bits).total
    sharpening = torch.autograd.grad(objective.total - plain, logits)[0]
    assert torch.all(sharpening < 0)


def test_ponder_cost_is_charged_for_each_layer_run_and_for_nothing_without_act() -> None:
    bits = torch.tensor([[1, 0]], dtype=torch.uint8)
    logits = torch.tensor([[0.4, 0.4]])
    adaptive = ModelOutput(logits, torch.tensor([True, True]), depth_mean=torch.tensor(3.0))
    objective = causal_objective(adaptive, bits, ponder_cost=0.1)
    assert objective.total.item() == pytest.approx(objective.cross_entropy.item() + 0.3)
    without = causal_objective(output_of(logits), bits, ponder_cost=0.1)
    assert without.total.item() == without.cross_entropy.item() == objective.cross_entropy.item()
