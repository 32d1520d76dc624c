"""One attempt at a text: everything that decides it, and how it comes."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from bitlm.bits import PAYLOAD_BITS, bits_to_bytes
from bitlm.diffusion import Denoising, Frame, Template, denoised, samples
from bitlm.generation import GeneratedByte, Sample, generate
from bitlm.model import BitTransformer


@dataclass(frozen=True)
class Filling:
    """A text to be denoised instead of written from left to right.

    Attributes:
        template: What is given, and what is to be filled in.
        denoising: How; its temperature and top_p are those of the draw.
    """

    template: Template
    denoising: Denoising


@dataclass(frozen=True)
class Draw:
    """Everything that decides one sample.

    Attributes:
        model: Draws it.
        prompt: Whole frames in the model's format; with a filling, what that begins with counts instead.
        max_new_bytes: As for `generate`; with a filling, its gaps count instead.
        temperature: As for `generate`.
        top_p: As for `generate`.
        seed: As for `generate`.
        alternatives: As for `generate`; none are told of what is denoised.
        filling: None where the text is written from left to right.
    """

    model: BitTransformer
    prompt: Tensor
    max_new_bytes: int
    temperature: float
    top_p: float
    seed: int
    alternatives: int = 0
    filling: Filling | None = None

    @property
    def history(self) -> bytes:
        """What comes before the first byte that is drawn."""
        if self.filling is not None:
            return self.filling.template.before
        return bits_to_bytes(self.prompt, parity=self.model.config.parity)

    def emit(self) -> Iterator[GeneratedByte]:
        """Yield the text byte by byte."""
        return generate(
            self.model,
            self.prompt,
            max_new_bytes=self.max_new_bytes,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            alternatives=self.alternatives,
        )

    def denoise(self, filling: Filling) -> Generator[Frame, None, Sample]:
        """Yield the template as it fills; return the stretch from the first byte filled in to the last."""
        how = replace(filling.denoising, temperature=self.temperature, top_p=self.top_p)
        for frame in denoised(self.model, filling.template, how, seeds=[self.seed]):
            yield frame
        (whole,) = samples(frame, parity=self.model.config.parity)
        stretch = filling.template.stretch
        probabilities = whole.probabilities[stretch.start * PAYLOAD_BITS : stretch.stop * PAYLOAD_BITS]
        return Sample(whole.data[stretch.start : stretch.stop], probabilities, whole.parity)
