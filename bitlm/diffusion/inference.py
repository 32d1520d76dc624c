"""Filling in a template, step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor
from torch.nn.functional import pad

from bitlm.bits import MASK, PAYLOAD_BITS
from bitlm.diffusion.masking import payload_bits, units_of
from bitlm.diffusion.sampler import SAMPLERS, Moment
from bitlm.diffusion.schedules import masked_shares, noise_schedule
from bitlm.diffusion.template import Template
from bitlm.errors import ConfigError
from bitlm.generation import HIGHEST_TEMPERATURE, Sample
from bitlm.model import BitTransformer, ModelConfig, bit_marginals, known_log_probabilities
from bitlm.model.bit_tree import leaf_bits, patch_values
from bitlm.randomness import generator

DEFAULT_STEPS = 16


@dataclass(frozen=True)
class Denoising:
    """How a text is denoised.

    Attributes:
        steps: Passes of the model over a block, from 1 to 256.
        schedule: How much is masked after each step: "linear", "cosine" or "exp".
        sampler: What is revealed: "ancestral" any of the masked, "confidence" what the model is surest of;
            "remask" hides some of what is revealed again.
        temperature: Divides log-probabilities; 0 takes the likeliest.
        top_p: Of each byte's values the likeliest are drawn from that together have at least this share.
        block_bytes: Fill in from left to right, so many bytes at a time, each block in so many steps; None
            fills in everything at once, or in the blocks that the model has learned. Needed beyond a window,
            half of which is for what is before a block.

    Raises:
        ConfigError: A setting is out of range.
    """

    steps: int = DEFAULT_STEPS
    schedule: str = "linear"
    sampler: str = "ancestral"
    temperature: float = 1.0
    top_p: float = 1.0
    block_bytes: int | None = None

    def __post_init__(self) -> None:
        masked_shares(noise_schedule(self.schedule), self.steps)
        if self.sampler not in SAMPLERS:
            raise ConfigError("sampler", self.sampler, f"use one of {', '.join(SAMPLERS)}.")
        if not 0 <= self.temperature <= HIGHEST_TEMPERATURE:
            raise ConfigError(
                "temperature", self.temperature, f"use a number from 0 to {HIGHEST_TEMPERATURE:g}."
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError("top_p", self.top_p, "use a number above 0, at most 1.")

    def fitted(self, length: int, config: ModelConfig) -> "Denoising":
        """Return the same, in blocks of half a window where a text of that length fits no window at once."""
        if self.block_bytes is not None or config.block_bytes or length <= config.window_bytes:
            return self
        return replace(self, block_bytes=max(1, config.window_bytes // 2))

    @property
    def shares(self) -> list[float]:
        """The share masked before each step of a block, and after the last."""
        return masked_shares(noise_schedule(self.schedule), self.steps)


DEFAULTS = Denoising()


@dataclass(frozen=True)
class Frame:
    """Texts in the middle of being denoised.

    Attributes:
        step: Steps done, from 0.
        steps: Steps in all.
        states: 0, 1 or MASK for each bit of each text.
        probabilities: For each bit that was revealed, the model's P(bit = 1) at temperature 1 when it was,
            given all that was known before that step; 0 or 1 for given bits, ½ for masked ones.
    """

    step: int
    steps: int
    states: UInt8[Tensor, "text byte bit"]
    probabilities: Float64[Tensor, "text byte bit"]

    @property
    def masked(self) -> Bool[Tensor, "text byte"]:
        """Bytes of which a bit is still masked."""
        return (self.states == MASK).any(-1)


def diffusion_inference(
    model: BitTransformer,
    length: int | Template,
    steps: int = DEFAULT_STEPS,
    schedule: str = "linear",
    *,
    seed: int = 0,
) -> Sample:
    """Return a text that was denoised; its frames have valid parity by construction.

    Args:
        model: Made to denoise, and trained to.
        length: Bytes to write, or a template to fill in.
        steps: As of `Denoising`.
        schedule: As of `Denoising`.
        seed: As for `denoised`.

    Raises:
        ConfigError: As `denoised`.
        GridOverflowError: As `denoised`.
    """
    template = length if isinstance(length, Template) else Template.around(length)
    *_, last = denoised(model, template, Denoising(steps=steps, schedule=schedule), seeds=[seed])
    return samples(last, parity=model.config.parity)[0]


def samples(last: Frame, *, parity: bool) -> list[Sample]:
    """Return the texts of a frame, masked bits as 0, with what the model thought of each bit it revealed."""
    values = patch_values(last.states.masked_fill(last.states == MASK, 0))
    rows = zip(values.tolist(), last.probabilities, strict=True)
    return [Sample(bytes(row), probabilities.flatten(), parity) for row, probabilities in rows]


def denoised(
    model: BitTransformer, template: Template, denoising: Denoising = DEFAULTS, *, seeds: Sequence[int] = (0,)
) -> Iterator[Frame]:
    """Yield texts before the first step and after each, until nothing is masked.

    Each step reveals some of what is masked, all at once: what one step reveals is drawn without knowing the
    rest of it, but for the bits of one byte, which are drawn together. More steps are better and slower.

    Args:
        model: Made to denoise, and trained to.
        template: What is given, and what is to be filled in.
        denoising: How.
        seeds: One for each text; with the step, decides all its draws. Beside others a text may differ by
            what rounding makes of it.

    Raises:
        ConfigError: The text does not fit, or the model does not denoise.
        GridOverflowError: An activation left the exact range; names the layer.
    """
    blocks = [
        block
        for block in _blocks(template, model.config, denoising.block_bytes)
        if not bool(template.given[block.start : block.stop].all())
    ]
    texts = _Texts(model, template, len(seeds))
    shares, total = denoising.shares, denoising.steps * len(blocks)
    yield texts.frame(0, total)
    for number, block in enumerate(blocks):
        for step in range(denoising.steps):
            done = number * denoising.steps + step
            draws = [generator(seed, done, "denoise") for seed in seeds]
            texts.step(block, (shares[step], shares[step + 1]), denoising, draws)
            yield texts.frame(done + 1, total)


def _blocks(template: Template, config: ModelConfig, block_bytes: int | None) -> Sequence[range]:
    length, window = len(template.given), config.window_bytes
    if config.block_bytes:
        if block_bytes not in {None, config.block_bytes}:
            fix = f"this model has learned blocks of {config.block_bytes} bytes; leave it out."
            raise ConfigError("block_bytes", block_bytes, fix)
        after = slice(template.stretch.start, None)
        if template.given[after].any():
            raise ConfigError(
                "template",
                bytes(template.values[after][template.given[after]].tolist()),
                f"this model denoises in blocks of {config.block_bytes} bytes and sees nothing after one: "
                "leave out what comes after the gap, or train one with block_bytes=0.",
            )
        block_bytes = config.block_bytes
    elif block_bytes is None:
        if length > window:
            raise ConfigError(
                "length",
                length,
                f"a text that is filled in at once fits the window of {window} bytes; "
                f"give block_bytes, at most {window // 2}, to fill it in from left to right.",
            )
        return [range(length)]
    most = config.block_bytes or max(1, window // 2)
    if isinstance(block_bytes, bool) or not isinstance(block_bytes, int) or not 1 <= block_bytes <= most:
        raise ConfigError("block_bytes", block_bytes, f"use a whole number from 1 to {most}, half a window.")
    return [range(first, min(first + block_bytes, length)) for first in range(0, length, block_bytes)]


class _Texts:
    """The states of texts' bits, and what the model thought of those it revealed."""

    def __init__(self, model: BitTransformer, template: Template, count: int) -> None:
        self._model = model
        self._units = units_of(model.config.mask_unit)
        bits = payload_bits(template.values[None])[0]
        given = template.given[:, None]
        self._free = ~template.given
        self._states = torch.where(given, bits, MASK).repeat(count, 1, 1)
        self._probabilities = torch.where(given, bits.double(), 0.5).repeat(count, 1, 1)

    def frame(self, step: int, steps: int) -> Frame:
        """Return how the texts stand now."""
        return Frame(step, steps, self._states.clone(), self._probabilities.clone())

    @torch.inference_mode()
    def step(
        self,
        block: range,
        shares: tuple[float, float],
        denoising: Denoising,
        draws: Sequence[torch.Generator],
    ) -> None:
        """Do one step of a block; `shares` are what is masked of it before and after."""
        free = self._free[block.start : block.stop]
        states = self._states[:, block.start : block.stop]
        known = known_log_probabilities(self._logits(block).double(), states)
        leaves = _drawn_leaves(known, denoising, _uniforms(draws, len(block)))
        drawn = leaf_bits(PAYLOAD_BITS)[leaves]
        marginals = bit_marginals(known, PAYLOAD_BITS)
        if self._units == 1:
            confidence = known.gather(-1, leaves[..., None]).exp()
        else:
            confidence = marginals.gather(-1, drawn[..., None])[..., 0]
        masked = (states == MASK).reshape(*states.shape[:-1], self._units, -1).any(-1)
        uniforms = _uniforms(draws, len(block) * self._units).reshape(masked.shape)
        moment = Moment(masked, free[:, None].expand_as(masked), confidence, uniforms, *shares)
        left = SAMPLERS[denoising.sampler](moment)
        self._change(block, masked & ~left, drawn.to(torch.uint8), marginals[..., 1])
        halves = torch.full_like(marginals[..., 1], 0.5)
        self._change(block, left & ~masked, torch.full_like(states, MASK), halves)

    def _logits(self, block: range) -> Tensor:
        """Return the trees of a block's bytes: [text, byte, node]."""
        window, size = self._model.config.window_bytes, self._model.config.block_bytes
        first = max(0, min(block.start - window // 2, len(self._free) - window))
        if size:  # blocks begin where those of a window do, and what comes after is not seen
            seen = self._states[:, first + -first % size : block.stop]
            return self._model.denoise(seen)[:, -len(block) :]
        seen = self._states[:, first : first + window]
        # A model has learned from whole windows: beyond the text's end is what is not known.
        whole = pad(seen, (0, 0, 0, window - seen.shape[1]), value=MASK)
        return self._model.denoise(whole)[:, block.start - first : block.stop - first]

    def _change(
        self,
        block: range,
        units: Bool[Tensor, "text byte unit"],
        states: UInt8[Tensor, "text byte bit"],
        ones: Float64[Tensor, "text byte bit"],
    ) -> None:
        """Give the bits of these units other states, and note what the model thought of them."""
        place = slice(block.start, block.stop)
        chosen = units.repeat_interleave(PAYLOAD_BITS // self._units, dim=-1)
        self._states[:, place] = torch.where(chosen, states, self._states[:, place])
        self._probabilities[:, place] = torch.where(chosen, ones, self._probabilities[:, place])


def _uniforms(draws: Sequence[torch.Generator], count: int) -> Float64[Tensor, "text draw"]:
    return torch.stack([torch.rand(count, generator=draw, dtype=torch.float64) for draw in draws])


def _drawn_leaves(
    log_probabilities: Float64[Tensor, "text byte leaf"],
    denoising: Denoising,
    uniforms: Float64[Tensor, "text byte"],
) -> Int64[Tensor, "text byte"]:
    """Return a value for each byte, by inverting its cumulative distribution in 64 bits."""
    if denoising.temperature == 0:
        return log_probabilities.argmax(-1)
    shares = (log_probabilities / denoising.temperature).softmax(-1)
    if denoising.top_p < 1:
        ordered, places = shares.sort(dim=-1, descending=True, stable=True)
        enough = ordered.cumsum(-1) - ordered >= denoising.top_p
        shares = shares.masked_fill(enough.gather(-1, places.argsort(-1)), 0.0)
    cumulative = shares.cumsum(-1)
    total = cumulative[..., -1:]
    # A product may round up to the whole sum; what is drawn has weight all the same.
    last = (cumulative < total).sum(-1)
    return torch.searchsorted(cumulative, uniforms[..., None] * total, right=True)[..., 0].minimum(last)
