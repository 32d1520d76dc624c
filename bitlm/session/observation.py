"""What is looked at beside the training itself; looking changes nothing of the run's course."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import torch

from bitlm.bits import bits_to_bytes, utf8_validity
from bitlm.draw import Draw
from bitlm.machine import resident_bytes
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.session.commands import SampleSchedule
from bitlm.session.config import RunConfig
from bitlm.session.events import EventKind
from bitlm.session.governor import Governor, Thinning
from bitlm.session.inspection import attention, gradient_norms, meter
from bitlm.session.learner import Learner
from bitlm.session.plateau import Plateau
from bitlm.session.scheduled_samples import ScheduledSample, draw
from bitlm.telemetry import lz_complexity, symbiosis_kl, symbiosis_score
from bitlm.training import HeldOutEstimate, StepResult

PROBE_BYTES = 128
"""Length of the sample C and S are measured on; the floors are meant for this length."""

RESIDENT_INTERVAL_S = 1.0
"""Time between two looks at the memory of the process."""

VALIDATIONS_PER_BOUND = 4
"""The bound is estimated with every fourth causal estimate: it takes four passes instead of one."""

HEAD_DECIMALS = 3
"""Of a head's entropy in bits: there may be hundreds of heads, and a row keeps them all."""

PROBE, DIAGNOSTICS, SAMPLE = "probe_interval", "diagnostics_interval", "sample_interval"
"""What is looked at, by the settings that say how often."""

SAMPLES_SHARE = 0.5
"""Of the budget, while samples along training are scheduled: asking for many must not starve the rest."""


Note = tuple[EventKind, dict[str, Any]]


@dataclass(frozen=True)
class Observed:
    """What there was to see after a step.

    Attributes:
        figures: By the names they have in a StepEvent.
        sample: What the schedule of samples had drawn, if its turn had come.
        notes: Kind and payload of the events that there are to announce.
    """

    figures: dict[str, Any]
    sample: ScheduledSample | None
    notes: tuple[Note, ...]


class Observer:
    """Looks at a run between its updates, at the steps whose turn it is, and minds what that takes.

    Attributes:
        plateau: Notices that held-out text does not improve.
    """

    def __init__(self, learner: Learner, clock: Callable[[], float]) -> None:
        training = learner.config.training
        self._learner = learner
        self._config = learner.config
        self._corpus = learner.corpus
        self._clock = clock
        self._governor = Governor(
            training.telemetry_budget,
            {PROBE: training.probe_interval, DIAGNOSTICS: training.diagnostics_interval},
        )
        self._sampling = Sampling(training.telemetry_budget, clock)
        self.plateau = Plateau()
        self._recording_s = 0.0
        self._resident: int | None = None
        self._resident_until = -inf

    def observe(self, step: int, result: StepResult, *, update_s: float, probe_now: bool) -> Observed:
        """Look at what there is to see after `step`.

        Args:
            step: Updates done.
            result: Of the last of them.
            update_s: Seconds that it took.
            probe_now: Measure C and S now even if their turn has not come.
        """
        began = self._clock()
        figures = self._validation(step)
        notes: list[Note] = []
        held_out = figures.get("validation_bits_per_byte")
        stalled = None if held_out is None else self.plateau.observe(step, held_out)
        if stalled is not None:
            notes.append(("held_out_stalled", stalled))
        validated = self._clock()
        self._sampling.follow(self._learner.sample_schedule)
        self._governor.share = 1 - SAMPLES_SHARE if self._sampling.is_on else 1.0
        thinnings = filter(None, (self._governor.reconsider(step), self._sampling.reconsider(step)))
        notes += [("telemetry_thinned", thinning.payload) for thinning in thinnings]
        if probe_now or self._governor.is_due(PROBE, step):
            denoise = self._causal_share == 0.0
            figures |= self._timed(
                PROBE, step, lambda: probe(self._model, self._config, step, denoise=denoise)
            )
        if self._governor.is_due(DIAGNOSTICS, step):
            figures |= self._timed(DIAGNOSTICS, step, lambda: self._diagnostics(step, result))
        sample = self._sampling.sample(
            self._learner, step, update_s=update_s, denoise=self._causal_share == 0.0
        )
        figures["resident_bytes"] = self._resident_bytes()
        figures["telemetry_share"] = self._governor.note_step(
            update_s=update_s,
            other_s=validated - began,
            looks_s=self._clock() - validated,
            recording_s=self._recording_s,
        )
        self._recording_s = 0.0
        return Observed(figures, sample, tuple(notes))

    def _validation(self, step: int) -> dict[str, Any]:
        """Return the estimate on held-out text, whole and by bits of a byte, at the steps that make one.

        There is none of what is not being learned: of the bound, or where all is denoised of the causal code.
        """
        figures: dict[str, Any] = {}
        validations, others = divmod(step, self._config.training.validation_interval)
        if others:
            return figures
        if self._causal_share != 0.0:
            bits = self._estimate.bits_per_bit(self._model)
            figures |= {"validation_bits_per_byte": sum(bits), "validation_bits_per_bit": bits}
        if self._causal_share not in {None, 1.0} and validations % VALIDATIONS_PER_BOUND == 0:
            figures["validation_bound_bits_per_byte"] = self._estimate.bound_bits_per_byte(self._model)
        return figures

    @property
    def _model(self) -> BitTransformer:
        return self._learner.model

    @property
    def _causal_share(self) -> float | None:
        return self._learner.telemetry.causal_share

    @cached_property
    def _estimate(self) -> HeldOutEstimate:
        reference = self._model.reference
        assert reference is not None, "a session's model always carries its reference"
        return HeldOutEstimate(self._corpus.held_out, reference, self._model.config.window_bytes)

    def note_recording(self, seconds: float) -> None:
        """Take in what recording a step took; it counts as the next step's."""
        self._recording_s += seconds

    def _resident_bytes(self) -> int | None:
        """Return what is resident now, or was when last asked for: asking takes a while among other work."""
        now = self._clock()
        if now >= self._resident_until:
            self._resident, self._resident_until = resident_bytes(), now + RESIDENT_INTERVAL_S
        return self._resident

    def _timed(self, look: str, step: int, see: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        began = self._clock()
        seen = see()
        self._governor.note_look(look, step, self._clock() - began)
        return seen

    def _diagnostics(self, step: int, result: StepResult) -> dict[str, Any]:
        """Look at the model itself."""
        summary = attention(self._model, self._corpus.held_out)
        heads = summary.head_entropy_bits.tolist()
        seen: dict[str, Any] = {
            "gradient_norm_blocks": gradient_norms(self._model, result.gradient_norms),
            "attention_entropy": summary.layer_entropy_bits.mean().item(),
            "attention_entropy_layers": tuple(summary.layer_entropy_bits.tolist()),
            "attention_entropy_heads": tuple(
                tuple(round(head, HEAD_DECIMALS) for head in layer) for layer in heads
            ),
        }
        key = counter_seed(self._config.seed, step, "reversibility")
        autocast = self._config.training.autocast
        found = meter(self._model, self._corpus.held_out, autocast=autocast, dropout_seed=key)
        return seen | (vars(found) if found else {})


class Sampling:
    """Draws the samples of a schedule, within its own share of the budget."""

    def __init__(self, budget: float, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._clock = clock
        self._schedule: SampleSchedule | None = None
        self._governor = self._governed(1)

    @property
    def is_on(self) -> bool:
        """Whether there is a schedule."""
        return self._schedule is not None

    def follow(self, schedule: SampleSchedule | None) -> None:
        """Draw by this schedule from now on; None for not at all."""
        if schedule != self._schedule:
            self._schedule = schedule
            self._governor = self._governed(schedule.every if schedule else 1)

    def reconsider(self, step: int) -> Thinning | None:
        """Stretch the interval, or shorten it again; return what changed."""
        return self._governor.reconsider(step) if self.is_on else None

    def sample(
        self, learner: Learner, step: int, *, update_s: float, denoise: bool
    ) -> ScheduledSample | None:
        """Return what is to be drawn after `step`, or None; `update_s` is what the step's update took."""
        if self._schedule is None:
            return None
        began, drawn = self._clock(), None
        if self._governor.is_due(SAMPLE, step):
            drawn = draw(learner.model, self._schedule, step=step, at=began, denoise=denoise)
        took = self._clock() - began
        if drawn is not None:
            self._governor.note_look(SAMPLE, step, took)
        self._governor.note_step(update_s=update_s, other_s=0.0, looks_s=took, recording_s=0.0)
        return drawn

    def _governed(self, every: int) -> Governor:
        governor = Governor(self._budget, {SAMPLE: every})
        governor.share = SAMPLES_SHARE
        return governor


def probe(model: BitTransformer, config: RunConfig, step: int, *, denoise: bool = False) -> dict[str, Any]:
    """Measure what the model says when nobody prompts it, written from left to right or denoised."""
    reference = model.reference
    assert reference is not None, "a session's model always carries its reference"
    nothing = torch.empty(0, dtype=torch.uint8)
    key = counter_seed(config.seed, step, "probe")
    drawing = Draw(model, nothing, PROBE_BYTES, temperature=1.0, top_p=1.0, seed=key)
    sample = (drawing.in_other_mode() if denoise else drawing).sample()
    bits = sample.payload_bits
    return {
        "C": lz_complexity(bits),
        "S": symbiosis_score(bits, reference),
        "symbiosis_kl": symbiosis_kl(sample.probabilities, bits, reference),
        "utf8_validity": utf8_validity(bits_to_bytes(bits)) if reference.is_utf8 else None,
    }
