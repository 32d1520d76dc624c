from math import log

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from bitlm.bits import text_to_bits
from bitlm.errors import MissingReferenceError
from bitlm.model import ModelOutput
from bitlm.telemetry import expected_complexity, expected_symbiosis, negentropy_score
from bitlm.training.objective import Lambdas, SoftTargets, bits_per_byte, causal_objective

ALL = Lambdas(K=0.5, C=0.5, S=0.5)
HALVES = torch.full((1, 2), 0.5)


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
    first, second = (
        causal_objective(output_of(value, payload), bits, ALL, reference_probabilities=HALVES)
        for value in (logits, changed)
    )
    assert torch.equal(first.total, second.total)


def test_lambda_zero_leaves_the_cross_entropy_untouched() -> None:
    bits = torch.tensor([[1, 0, 1, 1]], dtype=torch.uint8)
    objective = causal_objective(
        output_of(torch.tensor([[0.3, -1.2, 0.7, 2.0]], requires_grad=True)), bits, Lambdas()
    )
    assert objective.total.item() == objective.cross_entropy.item()


def test_with_mixing_the_tree_is_scored_by_itself_as_well() -> None:
    bits = torch.tensor([[1, 0, 1]], dtype=torch.uint8)
    mixed, tree = torch.tensor([[2.0, -2.0, 0.0]]), torch.tensor([[0.5, 0.5, 9.0]])
    output = ModelOutput(mixed, torch.tensor([True, True, False]), unmixed=tree)
    objective = causal_objective(output, bits)
    alone = [causal_objective(output_of(logits, [True, True, False]), bits) for logits in (mixed, tree)]
    assert objective.total.item() == pytest.approx(sum(one.total.item() for one in alone))
    assert objective.cross_entropy.item() == alone[0].cross_entropy.item()


def test_lambda_k_subtracts_k_and_sharpens() -> None:
    bits = torch.tensor([[1, 0]], dtype=torch.uint8)
    logits = torch.tensor([[0.4, 0.4]], requires_grad=True)
    objective = causal_objective(output_of(logits), bits, Lambdas(K=0.5))
    expected = objective.cross_entropy - 0.5 * negentropy_score(torch.sigmoid(logits))
    assert objective.total.item() == pytest.approx(expected.item())
    plain = causal_objective(output_of(logits), bits).total
    sharpening = torch.autograd.grad(objective.total - plain, logits)[0]
    assert torch.all(sharpening < 0)


def test_lambda_c_and_lambda_s_subtract_what_is_expected_of_c_and_s() -> None:
    bits, q = text_to_bits("abababab")[None], torch.full((1, 64), 0.3)
    logits = torch.linspace(-2, 2, 64)[None]
    objective = causal_objective(output_of(logits), bits, Lambdas(C=0.2, S=0.4), reference_probabilities=q)
    p = torch.sigmoid(logits)
    rewards = 0.2 * expected_complexity(p, bits) + 0.4 * expected_symbiosis(p, q)
    assert objective.total.item() == pytest.approx((objective.cross_entropy - rewards).item())


@pytest.mark.parametrize(("lambda_C", "breaks"), [(0.5, 1 - 1 / 3), (0.3, 1 - 1 / 1.8)])
def test_above_one_over_log_n_lambda_c_makes_it_best_to_break_what_is_certain(
    lambda_C: float, breaks: float
) -> None:
    bits = torch.zeros(1, 64, dtype=torch.uint8)  # log₂ 64 = 6
    logits = torch.full((1, 64), log(breaks / (1 - breaks)), dtype=torch.float64, requires_grad=True)
    causal_objective(output_of(logits), bits, Lambdas(C=lambda_C)).total.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    assert logits.grad is not None
    assert logits.grad[0, 8:-1].abs().max() < 1e-6


def test_below_one_over_log_n_lambda_c_leaves_the_certain_certain() -> None:
    bits = torch.zeros(1, 64, dtype=torch.uint8)
    logits = torch.full((1, 64), -6.0, dtype=torch.float64, requires_grad=True)
    causal_objective(output_of(logits), bits, Lambdas(C=0.16)).total.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_lambda_s_without_a_reference_is_an_error() -> None:
    with pytest.raises(MissingReferenceError):
        causal_objective(output_of(torch.zeros(1, 8)), torch.zeros(1, 8, dtype=torch.uint8), Lambdas(S=0.1))


@pytest.mark.parametrize("lambdas", [Lambdas(K=1.0), Lambdas(C=1.0), Lambdas(S=1.0), ALL])
def test_finite_differences_agree_with_autograd(lambdas: Lambdas) -> None:
    bits = text_to_bits("to be or not to be")[None]
    q = torch.rand(bits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = torch.randn(bits.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def total(values: torch.Tensor) -> torch.Tensor:
        return causal_objective(output_of(values), bits, lambdas, reference_probabilities=q).total

    assert torch.autograd.gradcheck(total, logits.requires_grad_())


def test_ponder_cost_is_charged_for_each_layer_run_and_for_nothing_without_act() -> None:
    bits = torch.tensor([[1, 0]], dtype=torch.uint8)
    logits = torch.tensor([[0.4, 0.4]])
    adaptive = ModelOutput(logits, torch.tensor([True, True]), depth_mean=torch.tensor(3.0))
    objective = causal_objective(adaptive, bits, ponder_cost=0.1)
    assert objective.total.item() == pytest.approx(objective.cross_entropy.item() + 0.3)
    without = causal_objective(output_of(logits), bits, ponder_cost=0.1)
    assert without.total.item() == without.cross_entropy.item() == objective.cross_entropy.item()


@pytest.mark.parametrize(("free_layers", "charged"), [(2.5, 0.5), (3.1, 0.0)])
def test_layers_within_the_budget_are_free(free_layers: float, charged: float) -> None:
    bits, depth_mean = torch.tensor([[1, 0]], dtype=torch.uint8), torch.tensor(3.0, requires_grad=True)
    adaptive = ModelOutput(torch.zeros(1, 2), torch.tensor([True, True]), depth_mean=depth_mean)
    objective = causal_objective(adaptive, bits, ponder_cost=0.1, free_layers=free_layers)
    assert objective.total.item() == pytest.approx(objective.cross_entropy.item() + 0.1 * charged)
    objective.total.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    assert depth_mean.grad is not None
    assert (depth_mean.grad.item() > 0) == (charged > 0)


def test_one_soft_target_does_for_a_teacher_and_the_bits() -> None:
    bits = torch.tensor([[1, 0, 1]], dtype=torch.uint8)
    mixed, tree = torch.tensor([[2.0, -2.0, 0.0]]), torch.tensor([[0.5, 0.5, 9.0]])
    output = ModelOutput(mixed, torch.tensor([True, True, False]), unmixed=tree)
    said, told = torch.tensor([[0.9, 0.3]]), torch.tensor([[0.6, 0.1]])
    payload = bits[:, :2].float()
    targets = SoftTargets(0.25 * payload + 0.75 * said, 0.25 * payload + 0.75 * told)
    objective = causal_objective(output, bits, soft_targets=targets)
    by_hand = [
        0.25 * cross_entropy(logits[:, :2], payload) + 0.75 * cross_entropy(logits[:, :2], probabilities)
        for logits, probabilities in ((mixed, said), (tree, told))
    ]
    assert objective.total.item() == pytest.approx(float(sum(by_hand)))
    assert objective.cross_entropy.item() == causal_objective(output, bits).cross_entropy.item()
