"""What a model reaches, in each mode that it has learned."""

from typing import Any

from bitlm.data import Text
from bitlm.model import BitTransformer
from bitlm.training import denoising_bound, held_out_bits_per_byte

BOUND_DRAWS = 2
"""Masks for each window: a whole text has windows enough for a narrow interval."""


def quality_of(
    model: BitTransformer, causal_share: float | None, text: Text, *, adaptive: bool = False
) -> dict[str, Any]:
    """Return the bits per byte of a text, and the bound where the model denoises.

    What it does not learn, its causal share being 0 or 1, is None.
    """
    found: dict[str, Any] = {"bits_per_byte": None, "bound": None}
    if causal_share != 0.0:
        found["bits_per_byte"] = held_out_bits_per_byte(model, text, adaptive=adaptive)
    if causal_share not in {None, 1.0}:
        bound = denoising_bound(model, text, draws=BOUND_DRAWS)
        low, high = bound.interval
        found["bound"] = {
            "bits_per_byte": bound.bits_per_byte,
            "interval": [low, high],
            "estimator": bound.estimator,
        }
    return found


def bound_line(bound: dict[str, Any]) -> str:
    """Return the bound as people read it."""
    low, high = bound["interval"]
    within = f"{low:.3f} to {high:.3f}, by {bound['estimator']}"
    return f"denoising at most {bound['bits_per_byte']:.3f} bits per byte ({within})"
