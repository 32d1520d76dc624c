"""One attempt at a text: everything that decides it, and how it comes."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from bitlm.bits import PAYLOAD_BITS, bits_to_bytes, bytes_to_bits
from bitlm.diffusion import Denoising, Frame, Template, denoised, samples
from bitlm.errors import ConfigError
from bitlm.generation import GeneratedByte, Sample, collect, generate
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
    def mode(self) -> str:
        """How it is drawn: "causal" from left to right, or "diffusion"."""
        return "causal" if self.filling is None else "diffusion"

    def in_other_mode(self) -> "Draw":
        """Return the same text drawn the other way.

        Raises:
            ConfigError: The model has learned one mode only, or something is given after the first gap, which
                a text that is written from left to right cannot know of.
        """
        config = self.model.config
        if config.objective != "mixed":
            fix = f"a model with objective='{config.objective}' has one mode; train one with 'mixed'."
            raise ConfigError("switch_modes", value=True, fix=fix)
        if self.filling is None:
            template = Template.around(self.max_new_bytes, prompt=self.history)
            how = Denoising(schedule="cosine").fitted(len(template.given), config)
            return replace(self, filling=Filling(template, how))
        template = self.filling.template
        length = len(template.given) - len(template.before)
        if template.given[-length:].any():
            fix = "leave out what is given after the gap: a text written from left to right cannot fit it."
            raise ConfigError("switch_modes", value=True, fix=fix)
        prompt = bytes_to_bits(template.before, parity=config.parity)
        return replace(self, prompt=prompt, max_new_bytes=length, filling=None)

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

    def sample(self) -> Sample:
        """Return the text, however it is drawn."""
        if self.filling is None:
            return collect(self.emit(), self.model.config.parity)
        steps = self.denoise(self.filling)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                drawn: Sample = end.value
                return drawn

    def denoise(self, filling: Filling) -> Generator[Frame, None, Sample]:
        """Yield the template as it fills; return the stretch from the first byte filled in to the last."""
        how = replace(filling.denoising, temperature=self.temperature, top_p=self.top_p)
        for frame in denoised(self.model, filling.template, how, seeds=[self.seed]):
            yield frame
        (whole,) = samples(frame, parity=self.model.config.parity)
        stretch = filling.template.stretch
        probabilities = whole.probabilities[stretch.start * PAYLOAD_BITS : stretch.stop * PAYLOAD_BITS]
        return Sample(whole.data[stretch.start : stretch.stop], probabilities, whole.parity)
