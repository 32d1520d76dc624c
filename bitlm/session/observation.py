"""What is looked at beside the training itself; looking changes nothing of the run's course."""

import torch

from bitlm.data import Corpus
from bitlm.generation import collect, generate
from bitlm.model import BitTransformer
from bitlm.randomness import counter_seed
from bitlm.session.config import RunConfig
from bitlm.telemetry import Measures, measure
from bitlm.training import TrainingConfig, validation_bits_per_byte

PROBE_BYTES = 128
"""Length of the sample C and S are measured on; the floors are meant for this length."""


def validation(model: BitTransformer, corpus: Corpus, config: TrainingConfig, step: int) -> float | None:
    """Return the quick estimate of held-out bits per byte at the steps that make one."""
    return None if step % config.validation_interval else validation_bits_per_byte(model, corpus.held_out)


def probe_is_due(config: TrainingConfig, step: int) -> bool:
    """Probe densely at first (steps 1, 2, 4, 8, …), then at every interval."""
    interval = config.probe_interval
    return step % interval == 0 or (step < interval and step & (step - 1) == 0)


def probe(model: BitTransformer, config: RunConfig, step: int) -> Measures:
    """Measure C and S of what the model says when nobody prompts it."""
    assert model.reference is not None, "a session's model always carries its reference"
    nothing = torch.empty(0, dtype=torch.uint8)
    key = counter_seed(config.seed, step, "probe")
    emitted = generate(model, nothing, max_new_bytes=PROBE_BYTES, seed=key)
    sample = collect(emitted, parity=config.model.parity)
    return measure(sample.payload_bits, sample.probabilities, model.reference)
