"""A request's template and how it is filled in, and what is told of it meanwhile."""

import torch

from app.service.requests import Infer
from app.service.stream import TextFrame
from bitlm.diffusion import Denoising, Frame, Template, samples
from bitlm.draw import Filling
from bitlm.generation import GeneratedByte
from bitlm.model import BitTransformer
from bitlm.model.denoiser import require_denoises


def filling_of(model: BitTransformer, request: Infer, prompt: bytes) -> Filling | None:
    """Return what a request wants filled in, in blocks where it does not fit a window; None if nothing.

    Raises:
        ConfigError: A setting is out of range, the template has no gap, or the model cannot denoise.
    """
    asked = request.denoise
    if asked is None:
        return None
    require_denoises(model.config)
    if asked.template is None:
        template = Template.around(request.max_new_bytes, prompt=prompt, suffix=asked.suffix.encode())
    else:
        template = Template.of_parts(
            [part.encode() if isinstance(part, str) else part for part in asked.template]
        )
    how = Denoising(asked.steps, asked.noise_schedule, asked.sampler, block_bytes=asked.block_bytes)
    return Filling(template, how.fitted(len(template.given), model.config))


def frame_line(attempt: int, frame: Frame) -> TextFrame:
    """Return what is told of a frame: each byte as far as it is known, and how sure the model was of it."""
    states, ones = frame.states[0], frame.probabilities[0]
    (whole,) = samples(frame, parity=False)
    sure = torch.where(states == 1, ones, 1 - ones).prod(-1).tolist()
    masked = frame.masked[0].tolist()
    return TextFrame(
        attempt=attempt,
        step=frame.step,
        steps=frame.steps,
        values=tuple(None if hidden else value for value, hidden in zip(whole.data, masked, strict=True)),
        confidence=tuple(
            None if hidden else float(f"{value:.4g}") for value, hidden in zip(sure, masked, strict=True)
        ),
    )


def drawn_bytes(last: Frame, filling: Filling | None) -> list[GeneratedByte]:
    """Return the bytes of the stretch that was filled in, as they stand in a last frame."""
    assert filling is not None, "only what is denoised has frames"
    (whole,) = samples(last, parity=False)
    stretch = filling.template.stretch
    return whole.emitted[stretch.start : stretch.stop]
