from dataclasses import replace

import pytest
import torch

from bitlm.diffusion.sampler import SAMPLERS, Moment, ancestral, confident, remasking


def moment(before: float, after: float, seed: int = 0) -> Moment:
    draw = torch.Generator().manual_seed(seed)
    shape = (2, 5000, 1)
    free = (torch.arange(5000) >= 1000)[:, None].expand(shape)
    masked = free & (torch.rand(shape, generator=draw) < before)
    confidence, uniforms = (torch.rand(shape, generator=draw, dtype=torch.float64) for _ in range(2))
    return Moment(masked, free, confidence, uniforms, before, after)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(("before", "after"), [(1.0, 0.7), (0.5, 0.25), (0.1, 0.0)])
def test_a_step_leaves_the_share_of_the_schedule_masked_and_given_bytes_alone(
    name: str, before: float, after: float
) -> None:
    now = moment(before, after)
    left = SAMPLERS[name](now)
    assert not left[:, :1000].any()
    assert left[:, 1000:].double().mean((1, 2)).tolist() == pytest.approx([after] * 2, abs=0.02)


@pytest.mark.parametrize("sampler", [ancestral, confident])
def test_only_remasking_hides_again(sampler: object) -> None:
    now = moment(0.5, 0.25)
    assert callable(sampler)
    assert not (sampler(now) & ~now.masked).any()
    hidden = (remasking(now) & ~now.masked)[:, 1000:].sum() / (~now.masked)[:, 1000:].sum()
    assert float(hidden) == pytest.approx(0.1, abs=0.02)
    assert not remasking(moment(0.5, 0.0)).any()


def test_confidence_reveals_what_the_model_is_surest_of() -> None:
    now = moment(0.5, 0.25)
    left = confident(now)
    revealed = now.masked & ~left
    for text in range(2):
        assert now.confidence[text][revealed[text]].min() >= now.confidence[text][left[text]].max()


def test_each_text_keeps_its_own_number_masked() -> None:
    now = moment(1.0, 0.5)
    uneven = replace(now, free=now.free & torch.tensor([True, False])[:, None, None])
    assert confident(replace(uneven, masked=uneven.free)).sum((1, 2)).tolist() == [2000, 0]
