"""A run that something happens to: its text becomes another, or its learning rate ten times what it was."""

import codecs
from dataclasses import dataclass, replace
from typing import Any

from bitlm.data import Corpus
from bitlm.reference import ReferenceModel
from bitlm.session import RunConfig, StepEvent, preset
from bitlm.session.drift_monitor import DriftMonitor
from bitlm.session.learner import Learner
from bitlm.session.observation import probe
from bitlm.training import HeldOutEstimate
from bitlm.version import VERSION

RATE_FACTOR = 10


@dataclass(frozen=True)
class Disturbance:
    """What happens to a run without its being told.

    Attributes:
        text_at: Steps after which its text is in another language.
        rate_at: Steps after which its learning rates are ten times as high.
    """

    text_at: int
    rate_at: int


class DisturbedLearner(Learner):
    """A learner whose learning rates are multiplied at some step.

    Attributes:
        rate_at: Steps before that; None for never.
    """

    rate_at: int | None = None

    def rate_factor(self) -> float:
        """Return the share of the peak learning rates that the next update uses."""
        is_disturbed = self.rate_at is not None and self.step_count >= self.rate_at
        return super().rate_factor() * (RATE_FACTOR if is_disturbed else 1)


def in_another_language(corpus: Corpus) -> Corpus:
    """Return the text with each letter replaced by that 13 places on: other words, spelled otherwise."""
    text = bytes(corpus.data).decode(errors="replace")
    return Corpus("another language", codecs.encode(text, "rot13").encode())


def alerts_of_run(disturbance: Disturbance | None, *, steps: int, seed: int) -> list[dict[str, Any]]:
    """Train the size `tiny` on the embedded text and return the alerts, each with its step."""
    corpus = Corpus.embedded()
    model, training = preset("tiny", mixing="none")
    config = RunConfig(
        model=model, training=replace(training, autocast="off"), corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint, seed=seed, threads=1, version=VERSION,
    )  # fmt: skip
    learner = DisturbedLearner(config, corpus, ReferenceModel.fit(corpus.train))
    if disturbance is not None:
        learner.rate_at = disturbance.rate_at
    monitor, found = DriftMonitor(), []
    for step in range(steps):
        if disturbance is not None and step == disturbance.text_at:
            learner.corpus = in_another_language(corpus)
        alert = monitor.observe(_step(learner))
        if alert is not None:
            found.append({"step": learner.step_count, "kind": alert.kind, **alert.payload})
    return found


def estimate_of(learner: Learner) -> HeldOutEstimate:
    """Return a session's estimate on the text as it is now."""
    reference = learner.model.reference
    assert reference is not None, "a learner's model always carries its reference"
    return HeldOutEstimate(learner.corpus.held_out, reference, learner.model.config.window_bytes)


def _step(learner: Learner) -> StepEvent:
    """Do a step and measure what a session would, at its intervals."""
    measured, config = learner.update().measured, learner.config
    step = learner.step_count
    looked: dict[str, Any] = {}
    if step % config.training.validation_interval == 0:
        bits = estimate_of(learner).bits_per_bit(learner.model)
        looked = {"validation_bits_per_byte": sum(bits), "validation_bits_per_bit": bits}
    if step % config.training.probe_interval == 0:
        looked |= probe(learner.model, config, step)
    return StepEvent(step=step, at=0.0, elapsed_s=0.0, bytes_per_s=0.0, **measured, **looked)
