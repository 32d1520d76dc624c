"""Drawing leaves of bit trees: many texts at once, each by its own seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bitlm.randomness import generator

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
        draws = [generator(seed, index, "sample") for seed in self.seeds]
        return np.array([torch.rand(count, dtype=torch.float64, generator=draw).tolist() for draw in draws])

    def choose(self, log_probabilities: FloatArray, uniforms: FloatArray) -> IntArray:
        """Return a leaf for each text by inverting its cumulative distribution at its uniform.

        Drawing by adding Gumbel noise in 32 bits would quietly lower the temperature
        (Zheng et al., arXiv 2409.02908).

        Args:
            log_probabilities: [text, leaf].
            uniforms: [text].
        """
        relative = log_probabilities - log_probabilities.max(axis=1, keepdims=True)
        if self.temperature == 0:
            likeliest: IntArray = relative.argmax(axis=1)
            return likeliest
        with np.errstate(over="ignore", under="ignore"):
            weights = np.exp(relative / self.temperature)
        if self.top_p < 1:
            weights = keep_likeliest(weights, self.top_p)
        cumulative = weights.cumsum(axis=1)
        total = cumulative[:, -1]
        targets = np.minimum(uniforms * total, np.nextafter(total, 0.0))
        leaves: IntArray = (cumulative <= targets[:, None]).sum(axis=1)
        return leaves


def keep_likeliest(weights: FloatArray, share: float) -> FloatArray:
    """Return the weights, zeroed outside each row's smallest set that holds this share of its sum."""
    order = np.argsort(-weights, axis=1, kind="stable")
    ordered = np.take_along_axis(weights, order, axis=1)
    cumulative = ordered.cumsum(axis=1)
    reached = cumulative < share * cumulative[:, -1:]
    kept = np.arange(weights.shape[1]) <= reached.sum(axis=1, keepdims=True)
    nucleus = np.zeros_like(weights)
    np.put_along_axis(nucleus, order, np.where(kept, ordered, 0.0), axis=1)
    return nucleus
