import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlm.growth.widening import Widening, widening_of

MATRIX = Widening(copied=0, split=1)
QUERIES_KEYS_VALUES = Widening(parts=3, copied=1, split=2)


@settings(max_examples=30)
@given(outputs=st.integers(1, 5), inputs=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_wider_matrix_makes_two_copies_of_what_it_made_of_one(outputs: int, inputs: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(3 * outputs, inputs, generator=draw)
    given_in = torch.randn(inputs, generator=draw)
    twice = torch.cat([given_in, given_in])
    expected = (weight @ given_in).repeat(2)
    torch.testing.assert_close(MATRIX.weight(weight, draw) @ twice, expected)
    in_parts = (weight @ given_in).view(3, outputs).repeat(1, 2).flatten()
    torch.testing.assert_close(QUERIES_KEYS_VALUES.weight(weight, draw) @ twice, in_parts)


def test_no_two_numbers_of_a_matrix_are_split_alike() -> None:
    wider = MATRIX.weight(torch.ones(2, 3), torch.Generator().manual_seed(1))
    assert len(set(wider[:, :3].flatten().tolist())) == 12
    torch.testing.assert_close(wider[:, :3] + wider[:, 3:], torch.ones(4, 3))


def test_what_is_new_is_the_second_copy_of_a_row_and_what_reads_one() -> None:
    assert MATRIX.is_new(torch.Size([1, 2])).tolist() == [
        [False, False, True, True],
        [True, True, True, True],
    ]
    assert QUERIES_KEYS_VALUES.is_new(torch.Size([3, 1])).tolist() == [[False, True], [True, True]] * 3
    assert Widening(copied=-1).is_new(torch.Size([2])).tolist() == [False, False, True, True]
    assert not Widening().is_new(torch.Size([2, 2])).any()


def test_moments_worked_out_by_hand() -> None:
    gradient = torch.tensor([[2.0, 4.0]])
    assert MATRIX.moment(gradient, 1).tolist() == [[1, 2, 1, 2], [1, 2, 1, 2]]
    assert MATRIX.moment(gradient, 2).tolist() == [[0.5, 1, 0.5, 1], [0.5, 1, 0.5, 1]]
    assert Widening(split=1).moment(gradient, 1).tolist() == [[2, 4, 2, 4]]
    assert Widening(split=1, scale=2.0).moment(gradient, 1).tolist() == [[1, 2, 1, 2]]


@pytest.mark.parametrize(
    ("name", "widening"),
    [
        ("trunk.blocks.3.attention.project_in.weight", QUERIES_KEYS_VALUES),
        ("trunk.blocks.10.feedforward.project_out.weight", MATRIX),
        ("mixer.project_in.weight", Widening()),
        ("trunk.norm.weight", Widening(copied=-1)),
        ("trunk.blocks.0.attention.query_key_norm.weight", Widening()),
    ],
)
def test_a_weights_name_says_how_it_widens(name: str, widening: Widening) -> None:
    assert widening_of(name) == widening


def test_a_new_kind_of_weight_is_a_mistake_of_ours_until_it_is_said_how_it_widens() -> None:
    with pytest.raises(AssertionError, match=r"memory\.weight is a new kind of weight"):
        widening_of("memory.weight")
