"""What is looked at beside the training itself; looking changes nothing of the run's course."""

from typing import Any

import torch

from bitlm.data import Corpus
from bitlm.generation import collect, generate
from bitlm.machine import resident_bytes
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.session.config import RunConfig
from bitlm.session.inspection import attention, meter
from bitlm.telemetry import Measures, measure
from bitlm.training import TrainingConfig, validation_bits_per_byte

PROBE_BYTES = 128
"""Length of the sample C and S are measured on; the floors are meant for this length."""


class Observer:
    """Looks at a run between its updates, at the steps whose turn it is."""

    def __init__(self, model: BitTransformer, config: RunConfig, corpus: Corpus) -> None:
        self._model = model
        self._config = config
        self._corpus = corpus

    def observe(self, step: int, *, probe_now: bool) -> dict[str, Any]:
        """Return what there is to see after `step`, by the names it has in a StepEvent.

        Args:
            step: Updates done.
            probe_now: Measure C and S now even if their turn has not come.
        """
        training = self._config.training
        seen = {"validation_bits_per_byte": validation(self._model, self._corpus, training, step)}
        if probe_now or is_due(training.probe_interval, step):
            measures = probe(self._model, self._config, step)
            seen |= {"C": measures.C, "S": measures.S}
        if is_due(training.diagnostics_interval, step):
            seen |= self._diagnostics(step)
        return seen | {"resident_bytes": resident_bytes()}

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


def is_due(interval: int, step: int) -> bool:
    """Whether to look after `step`: densely at first (steps 1, 2, 4, 8, …), then at every interval."""
    return step % interval == 0 or (step < interval and step & (step - 1) == 0)


def probe(model: BitTransformer, config: RunConfig, step: int) -> Measures:
    """Measure C and S of what the model says when nobody prompts it."""
    assert model.reference is not None, "a session's model always carries its reference"
    nothing = torch.empty(0, dtype=torch.uint8)
    key = counter_seed(config.seed, step, "probe")
    emitted = generate(model, nothing, max_new_bytes=PROBE_BYTES, seed=key)
    sample = collect(emitted, parity=config.model.parity)
    return measure(sample.payload_bits, sample.probabilities, model.reference)
