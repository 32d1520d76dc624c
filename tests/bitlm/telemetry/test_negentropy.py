import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.errors import ConfigError
from bitlm.telemetry import negentropy_score


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [([0.5], 0.0), ([0.0, 1.0], 1.0), ([0.5, 1.0], 0.5), ([0.25], 1 - (2 - 0.75 * math.log2(3)))],
)
def test_negentropy_equals_a_hand_worked_value(probabilities: list[float], expected: float) -> None:
    assert negentropy_score(torch.tensor(probabilities)).item() == pytest.approx(expected, abs=1e-7)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_negentropy_lies_between_0_and_1_and_does_not_change_when_bits_are_turned_over(
    values: list[float],
) -> None:
    probabilities = torch.tensor(values, dtype=torch.float64)
    score = negentropy_score(probabilities)
    assert -1e-12 <= score.item() <= 1
    assert torch.allclose(score, negentropy_score(1 - probabilities))


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=6))
def test_the_gradient_equals_finite_differences(values: list[float]) -> None:
    probabilities = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(negentropy_score, (probabilities,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certainty_has_an_exact_value_and_a_finite_gradient(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([0.0, 1.0, 1e-300, 1e-40], dtype=dtype, requires_grad=True)
    score = negentropy_score(probabilities)
    score.backward()  # type: ignore[no-untyped-call]
    assert score.item() == pytest.approx(1, abs=1e-15)
    assert probabilities.grad is not None
    assert bool(probabilities.grad.isfinite().all())
    assert (probabilities.grad.sign()[:2]).tolist() == [-1, 1]


def test_saturated_logits_train_on_without_a_nan() -> None:
    logits = torch.tensor([-1000.0, -20.0, 0.0, 20.0, 1000.0], requires_grad=True)
    negentropy_score(torch.sigmoid(logits)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_a_nan_stays_a_nan() -> None:
    assert math.isnan(negentropy_score(torch.tensor([0.5, math.nan])).item())


@pytest.mark.parametrize(
    ("values", "named"),
    [([], "empty"), ([-0.5, 0.5], "-0.5: must lie in"), ([0.5, 3.0], "3.0: must"), ([0.0, 3.0], "3.0: must")],
)
def test_what_is_no_probability_is_refused_by_the_value_that_is_none(values: list[float], named: str) -> None:
    with pytest.raises(ConfigError, match=f"probabilities='?{named}"):
        negentropy_score(torch.tensor(values))
