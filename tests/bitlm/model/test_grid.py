import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.errors import GridOverflowError
from bitlm.model.grid import (
    LIMIT,
    STEP,
    add_on_grid,
    check_on_grid,
    extremes,
    round_to_grid,
    subtract_on_grid,
)

on_grid = st.integers(-(2**23) + 1, 2**23 - 1).map(lambda steps: steps * STEP)
in_range = st.floats(-LIMIT, LIMIT, width=32)


@given(stream=on_grid, branch=in_range)
def test_subtracting_what_was_added_returns_every_stream_exactly(stream: float, branch: float) -> None:
    before, added = torch.tensor([stream]), torch.tensor([branch])
    assert torch.equal(subtract_on_grid(add_on_grid(before, added), added), before)


@given(value=in_range)
def test_rounding_moves_a_value_by_half_a_step_at_most_and_then_no_more(value: float) -> None:
    rounded = round_to_grid(torch.tensor([value]))
    assert abs(rounded.item() - value) <= STEP / 2
    assert torch.equal(round_to_grid(rounded), rounded)


def test_rounding_passes_the_gradient_straight_through() -> None:
    values = torch.tensor([0.1, -3.7], requires_grad=True)
    stream = torch.zeros(2, requires_grad=True)
    (add_on_grid(stream, round_to_grid(values)) * torch.tensor([2.0, 5.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert stream.grad is not None
    assert values.grad.tolist() == stream.grad.tolist() == [2.0, 5.0]


@pytest.mark.parametrize("wrong", [512.0, -600.0, float("nan"), float("inf")])
def test_the_first_place_out_of_range_is_named(wrong: float) -> None:
    fine, broken = extremes(torch.tensor([1.0, 511.0])), extremes(torch.tensor([0.0, wrong]))
    with pytest.raises(GridOverflowError, match=r"^layer 3: .* lower the learning rate"):
        check_on_grid([("input", fine), ("layer 3", broken), ("layer 4", broken)])
    check_on_grid([("input", fine)])
