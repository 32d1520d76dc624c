from dataclasses import replace

import pytest
import torch

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.diffusion import Denoising, Template
from bitlm.draw import Draw, Filling
from bitlm.errors import ConfigError, SafetyGateError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.safety import Attempt, safe_sample_with_retry

PROMPT = b"The "
GAP = Filling(Template.around(12, prompt=PROMPT), Denoising(steps=3, schedule="cosine"))


@pytest.fixture
def model(corpus: Corpus, model_config: ModelConfig) -> BitTransformer:
    """A model that writes either way; nothing that it says passes S ≥ 1."""
    made = BitTransformer(replace(model_config, objective="mixed")).eval()
    made.reference = ReferenceModel.fit(corpus.train)
    return made


def refused(model: BitTransformer, filling: Filling | None) -> tuple[Attempt, ...]:
    prompt = bytes_to_bits(PROMPT, parity=model.config.parity)
    with pytest.raises(SafetyGateError) as refusal:
        safe_sample_with_retry(
            model, prompt, s_floor=1.0, max_new_bytes=12, stop_early=False, filling=filling, switch_modes=True
        )
    return refusal.value.attempts


def text_of(draw: Draw, attempt: Attempt) -> str:
    """What the model says with the settings of an attempt."""
    drawing = replace(draw, temperature=attempt.temperature, seed=attempt.seed)
    if drawing.filling is None:
        return bytes(one.value for one in drawing.emit()).decode(errors="replace")
    steps = drawing.denoise(drawing.filling)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return str(end.value.text)


@pytest.mark.parametrize("filling", [None, GAP])
def test_every_other_retry_says_the_same_in_the_other_mode(
    model: BitTransformer, filling: Filling | None
) -> None:
    attempts = refused(model, filling)
    modes = ["causal", "diffusion"] if filling is None else ["diffusion", "causal"]
    assert [attempt.mode for attempt in attempts] == modes * 2
    causal = Draw(model, bytes_to_bits(PROMPT, parity=model.config.parity), 12, 1.0, 1.0, 0)
    filled = Filling(GAP.template, GAP.denoising if filling else Denoising(schedule="cosine"))
    for attempt in attempts:
        draw = causal if attempt.mode == "causal" else replace(causal, filling=filled)
        assert attempt.text == text_of(draw, attempt)


def test_what_cannot_be_switched_says_why(model: BitTransformer, model_config: ModelConfig) -> None:
    between = Filling(Template.around(12, prompt=PROMPT, suffix=b" end."), Denoising())
    with pytest.raises(ConfigError, match=r"switch_modes=True: leave out what is given after the gap"):
        refused(model, between)
    causal = BitTransformer(model_config)
    causal.reference = model.reference
    with pytest.raises(ConfigError, match=r"objective='causal' has one mode; train one with 'mixed'"):
        refused(causal, None)
    several = replace(GAP, template=Template.of_parts([PROMPT, 3, b" and ", 4]))
    with pytest.raises(ConfigError, match="switch_modes"):
        Draw(model, torch.zeros(0, dtype=torch.uint8), 0, 1.0, 1.0, 0, filling=several).in_other_mode()
