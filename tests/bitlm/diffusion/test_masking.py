import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.bits import MASK
from bitlm.diffusion import draw_mask, draw_mask_of_size, hidden_logits, hidden_nats, revealed_nats
from bitlm.diffusion.masking import mask_by_count, mask_by_time, masked_states
from bitlm.model import ModelConfig, bit_marginals, known_log_probabilities, leaf_log_probabilities
from bitlm.model.bit_tree import gather_paths, leaf_bits

UNITS = ["byte", "bit"]


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("unit", UNITS)
def test_each_row_is_masked_to_its_share_and_given_bytes_never(unit: str) -> None:
    maskable = (torch.arange(4000) >= 1000).expand(3, -1)
    mask = draw_mask(torch.tensor([0.1, 0.5, 1.0]), maskable, unit, draws())
    assert not mask[:, :1000].any()
    shares = mask[:, 1000:].float().mean((1, 2)).tolist()
    assert shares == pytest.approx([0.1, 0.5, 1.0], abs=0.03)


def test_a_byte_is_masked_as_a_whole_and_bits_each_by_itself() -> None:
    maskable = torch.ones(2, 500, dtype=torch.bool)
    shares = torch.tensor([0.5, 0.5])
    of_bytes = draw_mask(shares, maskable, "byte", draws()).sum(-1)
    assert set(of_bytes.flatten().tolist()) == {0, 8}
    of_bits = draw_mask(shares, maskable, "bit", draws()).sum(-1)
    assert len(set(of_bits.flatten().tolist())) > 4


@pytest.mark.parametrize("unit", ["byte", "bit"])
def test_each_block_is_masked_by_its_own_share(unit: str) -> None:
    config = ModelConfig(objective="diffusion", mask_unit=unit, block_bytes=4)
    maskable = torch.arange(10) >= torch.tensor([[0], [6]])
    places = torch.tensor([[0.1, 0.5, 1.0], [1.0, 0.5, 0.3]])
    units = 1 if unit == "byte" else 8
    counted = mask_by_count(places, maskable, config, draws())
    hidden = counted.mask.sum(2) // (8 // units)
    of_blocks = [[int(part.sum()) for part in torch.split(row, 4)] for row in hidden]
    allowed = torch.tensor([[4, 4, 2], [0, 2, 2]]) * units
    assert of_blocks == (places * allowed).ceil().int().tolist()
    shares = torch.stack([part[:, 0] for part in torch.split(counted.shares, 4, dim=1)], dim=1)
    wanted = torch.where(allowed > 0, (places * allowed).ceil() / allowed, 1.0)
    torch.testing.assert_close(shares, wanted)
    assert not counted.mask[~maskable].any()
    timed = mask_by_time(places, maskable, config, draws())
    assert timed.mask[0, 8:].all()
    assert torch.equal(timed.shares[:, ::4], places)
    assert not timed.mask[~maskable].any()


@given(
    seed=st.integers(0, 2**32),
    unit=st.sampled_from(UNITS),
    counts=st.lists(st.integers(0, 5), min_size=2, max_size=2),
)
def test_a_mask_of_a_size_has_that_size(seed: int, unit: str, counts: list[int]) -> None:
    maskable = torch.tensor([[False, True, True, True, True, True]]).expand(2, -1)
    mask = draw_mask_of_size(torch.tensor(counts), maskable, unit, draws(seed))
    assert mask.sum((1, 2)).tolist() == [count * (8 if unit == "byte" else 1) for count in counts]
    assert not mask[:, 0].any()


def test_all_sets_of_a_size_are_equally_likely() -> None:
    maskable = torch.ones(6000, 4, dtype=torch.bool)
    mask = draw_mask_of_size(torch.full((6000,), 2), maskable, "byte", draws())[..., 0]
    values = (mask.long() << torch.arange(4)).sum(-1)
    counts = torch.bincount(values)[[3, 5, 6, 9, 10, 12]]
    assert counts.sum() == 6000
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 20.5, "chi-squared of 5 degrees, p = 0.001"


@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.5, 3.0, 40.0]))
def test_what_is_known_of_a_byte_leaves_the_leaves_that_agree_with_it(seed: int, scale: float) -> None:
    draw = draws(seed)
    logits = torch.randn(3, 255, generator=draw, dtype=torch.float64) * scale
    states = torch.randint(0, 3, (3, 8), generator=draw)
    paths = gather_paths(logits[:, None].expand(-1, 256, -1), torch.arange(256).expand(3, -1), 8)
    whole = torch.nn.functional.logsigmoid(paths * (leaf_bits(8) * 2 - 1)).sum(-1)
    agrees = ((states[:, None] == MASK) | (states[:, None] == leaf_bits(8))).all(-1)
    expected = whole.masked_fill(~agrees, -torch.inf)
    expected = expected - expected.logsumexp(-1, keepdim=True)
    torch.testing.assert_close(known_log_probabilities(logits, states), expected, atol=1e-9, rtol=0)


@given(seed=st.integers(0, 2**32))
def test_masked_bits_cost_what_enumeration_says(seed: int) -> None:
    draw = draws(seed)
    logits = torch.randn(1, 2, 255, generator=draw, dtype=torch.float64) * 2
    bits = torch.randint(0, 2, (1, 2, 8), generator=draw)
    mask = torch.rand(1, 2, 8, generator=draw) < 0.6
    known = known_log_probabilities(logits, masked_states(bits, mask))
    leaves = known[0].exp()
    for byte in range(2):
        true = leaf_bits(8) == bits[0, byte]
        alone = sum(-leaves[byte][true[:, bit]].sum().log() for bit in range(8) if mask[0, byte, bit])
        found = hidden_nats(hidden_logits(logits, bits, mask, "bit"), bits, mask)[0, byte]
        assert float(found.sum()) == pytest.approx(float(alone), abs=1e-9)
        assert not found[~mask[0, byte]].any()
        left = mask & (torch.arange(8) > 3)
        kept = true[:, :4][:, mask[0, byte, :4]].all(1)
        cost = float(revealed_nats(logits, bits, mask, left)[0, byte])
        assert cost == pytest.approx(-float(leaves[byte][kept].sum().log()), abs=1e-9)


def test_a_masked_byte_costs_what_its_leaf_does_and_a_known_one_nothing() -> None:
    logits = torch.randn(1, 2, 255, generator=draws(), dtype=torch.float64) * 2
    bits = (torch.tensor([[[65], [200]]]) >> torch.arange(7, -1, -1)) & 1
    mask = torch.tensor([[[True], [False]]]).expand(1, 2, 8)
    costs = hidden_nats(hidden_logits(logits, bits, mask, "byte"), bits, mask).sum(-1)
    assert float(costs[0, 0]) == pytest.approx(-float(leaf_log_probabilities(logits.numpy())[0, 0, 65]))
    assert float(costs[0, 1]) == 0.0
    assert revealed_nats(logits, bits, mask, torch.zeros_like(mask)).tolist() == [
        pytest.approx(costs[0].tolist())
    ]


def test_marginals_are_the_sums_of_the_leaves_that_have_the_bit() -> None:
    known = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log()
    torch.testing.assert_close(
        bit_marginals(known, 2), torch.tensor([[0.3, 0.7], [0.4, 0.6]], dtype=torch.float64)
    )
