import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitlm.quantisation import dequantise, pack, quantise, rounded, unpack


def weight_of(seed: int, shape: list[int]) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draw) * torch.rand(shape, generator=draw) ** 4


SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def test_a_group_is_worked_out_by_hand() -> None:
    weight = torch.zeros(2, 32)
    weight[0, :4] = torch.tensor([16.0, -8.0, 5.2, -16.0])
    groups = quantise(weight, 4)
    assert groups.scales.tolist() == [-2.0, 0.0]  # of a group of zeros the scale is 0
    assert groups.codes[0, :5].tolist() == [-8, 4, -3, 7, 0]  # 8 is one more than there is
    assert dequantise(groups, weight.shape)[0, :5].tolist() == [16.0, -8.0, 6.0, -14.0, 0.0]
    assert rounded(weight, 8)[0, :4].tolist() == [16.0, -8.0, 5.25, -15.875]


@given(seed=st.integers(0, 99), shape=SHAPES, bits=st.sampled_from([4, 8]))
def test_what_was_rounded_is_rounded_to_itself_and_is_a_step_away_at_most(
    seed: int, shape: list[int], bits: int
) -> None:
    weight = weight_of(seed, shape)
    once = rounded(weight, bits)
    assert torch.equal(rounded(once, bits), once)
    greatest = float(weight.abs().max())
    assert float((weight - once).abs().max()) <= 1.01 * greatest / 2 ** (bits - 1)


def test_each_group_has_a_scale_of_its_own() -> None:
    weight = torch.cat([weight_of(1, [32]), 1e-6 * weight_of(2, [32])])
    once = rounded(weight, 4)
    assert torch.equal(once[32:], rounded(weight[32:], 4))
    assert once[32:].any()


def test_two_whole_numbers_share_a_byte() -> None:
    codes = torch.tensor([[-8, 7, 1, -1] + [0] * 28], dtype=torch.int8)
    assert pack(codes)[0, :3].tolist() == [0x78, 0xF1, 0]


@given(seed=st.integers(0, 99))
def test_unpack_undoes_pack(seed: int) -> None:
    codes = torch.randint(-8, 8, (3, 32), generator=torch.Generator().manual_seed(seed)).to(torch.int8)
    assert torch.equal(unpack(pack(codes)), codes)
