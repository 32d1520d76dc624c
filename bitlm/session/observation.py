"""What is looked at beside the training itself; looking changes nothing of the run's course."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import torch

from bitlm.data import Corpus
from bitlm.generation import collect, generate
from bitlm.machine import resident_bytes
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.session.config import RunConfig
from bitlm.session.governor import Governor, Thinning
from bitlm.session.inspection import attention, meter
from bitlm.telemetry import Measures, measure
from bitlm.training import TrainingConfig, validation_bits_per_byte

PROBE_BYTES = 128
"""Length of the sample C and S are measured on; the floors are meant for this length."""

RESIDENT_INTERVAL_S = 1.0
"""Time between two looks at the memory of the process."""

PROBE, DIAGNOSTICS = "probe_interval", "diagnostics_interval"
"""What is looked at, by the settings that say how often."""


@dataclass(frozen=True)
class Observed:
    """What there was to see after a step.

    Attributes:
        figures: By the names they have in a StepEvent.
        thinning: The intervals from now on, where they have changed.
    """

    figures: dict[str, Any]
    thinning: Thinning | None


class Observer:
    """Looks at a run between its updates, at the steps whose turn it is, and minds what that takes."""

    def __init__(
        self, model: BitTransformer, config: RunConfig, corpus: Corpus, clock: Callable[[], float]
    ) -> None:
        training = config.training
        self._model = model
        self._config = config
        self._corpus = corpus
        self._clock = clock
        self._governor = Governor(
            training.telemetry_budget,
            {PROBE: training.probe_interval, DIAGNOSTICS: training.diagnostics_interval},
        )
        self._recording_s = 0.0
        self._resident: int | None = None
        self._resident_until = -inf

    def observe(self, step: int, *, update_s: float, probe_now: bool) -> Observed:
        """Look at what there is to see after `step`.

        Args:
            step: Updates done.
            update_s: Seconds that the last of them took.
            probe_now: Measure C and S now even if their turn has not come.
        """
        began = self._clock()
        held_out = validation(self._model, self._corpus, self._config.training, step)
        validated = self._clock()
        thinning = self._governor.reconsider(step)
        figures: dict[str, Any] = {"validation_bits_per_byte": held_out}
        if probe_now or self._governor.is_due(PROBE, step):
            figures |= self._timed(PROBE, self._probe, step)
        if self._governor.is_due(DIAGNOSTICS, step):
            figures |= self._timed(DIAGNOSTICS, self._diagnostics, step)
        figures["resident_bytes"] = self._resident_bytes()
        figures["telemetry_share"] = self._governor.note_step(
            update_s=update_s,
            other_s=validated - began,
            looks_s=self._clock() - validated,
            recording_s=self._recording_s,
        )
        self._recording_s = 0.0
        return Observed(figures, thinning)

    def note_recording(self, seconds: float) -> None:
        """Take in what recording a step took; it counts as the next step's."""
        self._recording_s += seconds

    def _resident_bytes(self) -> int | None:
        """Return what is resident now, or was when last asked for: asking takes a while among other work."""
        now = self._clock()
        if now >= self._resident_until:
            self._resident, self._resident_until = resident_bytes(), now + RESIDENT_INTERVAL_S
        return self._resident

    def _timed(self, look: str, see: Callable[[int], dict[str, Any]], step: int) -> dict[str, Any]:
        began = self._clock()
        seen = see(step)
        self._governor.note_look(look, step, self._clock() - began)
        return seen

    def _probe(self, step: int) -> dict[str, Any]:
        """Measure a sample of the model's."""
        measures = probe(self._model, self._config, step)
        return {"C": measures.C, "S": measures.S}

    def _diagnostics(self, step: int) -> dict[str, Any]:
        """Look at the model itself."""
        heads = attention(self._model, self._corpus.held_out).layer_entropy_bits
        seen: dict[str, Any] = {
            "attention_entropy": heads.mean().item(),
            "attention_entropy_layers": tuple(heads.tolist()),
        }
        key = counter_seed(self._config.seed, step, "reversibility")
        autocast = self._config.training.autocast
        found = meter(self._model, self._corpus.held_out, autocast=autocast, dropout_seed=key)
        return seen | (vars(found) if found else {})


def validation(model: BitTransformer, corpus: Corpus, config: TrainingConfig, step: int) -> float | None:
    """Return the quick estimate of held-out bits per byte at the steps that make one."""
    return None if step % config.validation_interval else validation_bits_per_byte(model, corpus.held_out)


def probe(model: BitTransformer, config: RunConfig, step: int) -> Measures:
    """Measure C and S of what the model says when nobody prompts it."""
    assert model.reference is not None, "a session's model always carries its reference"
    nothing = torch.empty(0, dtype=torch.uint8)
    key = counter_seed(config.seed, step, "probe")
    emitted = generate(model, nothing, max_new_bytes=PROBE_BYTES, seed=key)
    sample = collect(emitted, parity=config.model.parity)
    return measure(sample.payload_bits, sample.probabilities, model.reference)
