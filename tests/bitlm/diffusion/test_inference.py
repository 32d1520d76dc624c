from typing import Any

import pytest
import torch

from bitlm.bits import MASK, parity_errors
from bitlm.diffusion import SAMPLERS, SCHEDULES, Denoising, Template, denoised, diffusion_inference, samples
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig

PROMPT, SUFFIX = b"The ", b" end."


def lively(seed: int = 0, **settings: Any) -> BitTransformer:
    """A model of the first weights, whose head is a hundred times as large: far from a coin."""
    shape = {"d_model": 16, "nhead": 2, "num_layers": 2, "dim_feedforward": 32, "max_seq_len": 256}
    model = BitTransformer(ModelConfig(**(shape | settings), objective="diffusion"), seed=seed).eval()
    with torch.no_grad():
        model.head.weight.mul_(100)
    return model


@pytest.mark.parametrize("mask_unit", ["byte", "bit"])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_template_is_filled_in_and_what_was_given_is_kept(
    mask_unit: str, sampler: str, schedule: str
) -> None:
    template = Template.around(20, prompt=PROMPT, suffix=SUFFIX)
    model = lively(mask_unit=mask_unit)
    frames = list(
        denoised(model, template, Denoising(steps=5, schedule=schedule, sampler=sampler), seeds=[1])
    )
    assert [(frame.step, frame.steps) for frame in frames] == [(step, 5) for step in range(6)]
    assert frames[0].masked[0].tolist() == [False] * 4 + [True] * 20 + [False] * 5
    masked = [int((frame.states == MASK).sum()) for frame in frames]
    assert masked[0] == 160
    assert masked[-1] == 0
    (sample,) = samples(frames[-1], parity=False)
    assert (sample.data[:4], sample.data[-5:], len(sample.data)) == (PROMPT, SUFFIX, 29)
    given = frames[-1].probabilities[0, :4]
    assert torch.equal(given, frames[-1].states[0, :4].double()), "what is given is certain"


def test_a_bit_is_revealed_with_what_the_model_thought_of_it_then() -> None:
    model = lively()
    first, second = list(denoised(model, Template.around(8), Denoising(steps=2), seeds=[3]))[:2]
    revealed = first.masked & ~second.masked
    with torch.inference_mode():
        window = torch.full((1, 32, 8), MASK)
        root = torch.sigmoid(model.denoise(window)[0, :8, 0].double())
    torch.testing.assert_close(second.probabilities[revealed][:, 0], root[revealed[0]])
    assert bool((second.probabilities[second.masked] == 0.5).all())


def test_a_seed_gives_its_text_again_alone_and_beside_others() -> None:
    model, template = lively(), Template.around(24)
    alone = diffusion_inference(model, 24, steps=6, seed=7).data
    *_, last = denoised(model, template, Denoising(steps=6), seeds=[5, 7])
    other, same = (sample.data for sample in samples(last, parity=False))
    assert same == alone != other


def test_parity_is_valid_and_no_repair_was_needed() -> None:
    sample = diffusion_inference(lively(parity=True), 16, steps=4)
    assert len(sample.bits) == 16 * 9
    assert parity_errors(sample.bits) == []
    assert sample.parity_faults == ()


def test_temperature_0_takes_the_likeliest_and_needs_no_seed() -> None:
    cold = Denoising(steps=4, sampler="confidence", temperature=0)
    texts = [
        samples(last, parity=False)[0].data
        for seed in (1, 2)
        for *_, last in [denoised(lively(), Template.around(9), cold, seeds=[seed])]
    ]
    assert texts[0] == texts[1]


def test_blocks_go_from_left_to_right_past_the_window() -> None:
    template = Template.around(70, prompt=PROMPT)
    frames = list(denoised(lively(), template, Denoising(steps=2, block_bytes=16), seeds=[0]))
    assert len(frames) == 1 + 2 * 5
    for frame in frames:
        block = (frame.step // 2) * 16
        assert not frame.masked[0, :block].any()
        assert frame.masked[0, block + 16 :].all()
    assert not frames[-1].masked.any()


def test_a_model_of_blocks_fills_them_in_from_left_to_right_past_the_window() -> None:
    model, template = lively(block_bytes=8), Template.around(70, prompt=PROMPT)
    frames = list(denoised(model, template, Denoising(steps=2), seeds=[0]))
    assert len(frames) == 1 + 2 * 10
    for frame in frames:
        block = (frame.step // 2) * 8
        assert not frame.masked[0, :block].any()
        assert frame.masked[0, max(4, block + 8) :].all()
    assert samples(frames[-1], parity=False)[0].data[:4] == PROMPT
    again = list(denoised(model, template, Denoising(steps=2, block_bytes=8), seeds=[0]))
    assert torch.equal(again[-1].states, frames[-1].states)


def test_what_a_model_of_blocks_cannot_do_says_why() -> None:
    model = lively(block_bytes=8)
    with pytest.raises(ConfigError, match=r"block_bytes=4: this model has learned blocks of 8 bytes"):
        next(denoised(model, Template.around(8), Denoising(block_bytes=4)))
    with pytest.raises(
        ConfigError, match=r"template=b' end\.'.*sees nothing after one: leave out what comes after the gap"
    ):
        next(denoised(model, Template.around(8, suffix=SUFFIX)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps=0: use a whole number from 1 to 256"),
        ({"schedule": "sine"}, "use one of linear, cosine, exp"),
        ({"sampler": "best"}, "use one of ancestral, confidence, remask"),
        ({"temperature": -1.0}, "temperature=-1.0: use a number from 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Denoising(**settings)


@pytest.mark.parametrize("block_bytes", [0, 17])
def test_a_block_fits_half_a_window(block_bytes: int) -> None:
    with pytest.raises(ConfigError, match="from 1 to 16, half a window"):
        next(denoised(lively(), Template.around(8), Denoising(block_bytes=block_bytes)))


def test_a_text_beyond_the_window_is_told_to_use_blocks() -> None:
    with pytest.raises(ConfigError, match="fits the window of 32 bytes; give block_bytes, at most 16"):
        next(denoised(lively(), Template.around(33)))


def test_a_model_that_never_learned_to_denoise_says_how_it_would() -> None:
    model = BitTransformer(
        ModelConfig(d_model=16, nhead=2, num_layers=2, dim_feedforward=32, max_seq_len=256)
    )
    with pytest.raises(ConfigError, match="never learned to denoise: make one with objective='diffusion'"):
        diffusion_inference(model, 8)


def test_a_template_has_gaps_anywhere() -> None:
    template = Template.of_parts([b"a", 2, b"bc", 1])
    assert template.given.tolist() == [True, False, False, True, True, False]
    text = diffusion_inference(lively(), template, steps=3).data
    assert (text[:1], text[3:5], len(text)) == (b"a", b"bc", 6)


@pytest.mark.parametrize(
    ("parts", "message"), [([b"ab"], "leave at least one byte"), ([b"a", -1], "gap is a whole number")]
)
def test_a_template_that_cannot_be_is_refused(parts: list[bytes | int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Template.of_parts(parts)
