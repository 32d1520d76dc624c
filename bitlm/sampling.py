"""Drawing leaves of bit trees: many texts at once, each by its own seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlm.compiled import compiled
from bitlm.randomness import uniform

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """How patches of texts side by side are drawn from the model's distributions.

    Attributes:
        temperature: Divides log-probabilities; 0 takes the likeliest leaf.
        top_p: Share of the tempered probability that the leaves drawn from hold at least.
        seeds: One for each text; with a byte's index, decides its draws.
    """

    temperature: float
    top_p: float
    seeds: Sequence[int]

    def uniforms(self, index: int, count: int) -> FloatArray:
        """Return each text's draws from [0, 1) for its byte at this index: [text, draw]."""
        return np.array(
            [[uniform(seed, index, "sample", draw) for draw in range(count)] for seed in self.seeds]
        )

    def choose(self, log_probabilities: FloatArray, uniforms: FloatArray) -> IntArray:
        """Return a leaf for each text by inverting its cumulative distribution at its uniform.

        Drawing by adding Gumbel noise in 32 bits would quietly lower the temperature
        (Zheng et al., arXiv 2409.02908).

        Args:
            log_probabilities: [text, leaf].
            uniforms: [text].
        """
        if self.temperature == 0:
            likeliest: IntArray = log_probabilities.argmax(axis=1)
            return likeliest
        return choose(log_probabilities, uniforms, self.temperature, self.top_p)


@compiled
def choose(log_probabilities: FloatArray, uniforms: FloatArray, temperature: float, top_p: float) -> IntArray:
    """Return `Sampling.choose` at a temperature above 0."""
    chosen = np.empty(len(uniforms), np.int64)
    for text in range(len(uniforms)):
        row = log_probabilities[text]
        weights = np.exp((row - row.max()) / temperature)
        if top_p < 1.0:
            keep_likeliest(weights, top_p)
        cumulative = weights.cumsum()
        target = uniforms[text] * cumulative[-1]
        leaf = 0
        # A product may round up to the whole sum; what is drawn has weight all the same.
        last = np.flatnonzero(weights)[-1]
        while leaf < last and cumulative[leaf] <= target:
            leaf += 1
        chosen[text] = leaf
    return chosen


@compiled
def keep_likeliest(weights: FloatArray, share: float) -> None:
    """Zero the weights outside the smallest set that holds this share; of equals the first stay."""
    order = np.argsort(-weights, kind="mergesort")
    least = share * weights[order].cumsum()[-1]
    held = 0.0
    for leaf in order:
        if held >= least:
            weights[leaf] = 0.0
        else:
            held += weights[leaf]
