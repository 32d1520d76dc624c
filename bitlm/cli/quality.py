"""What a run reaches, in each mode that it learns."""

from typing import Any

from bitlm.session import Session
from bitlm.training import denoising_bound

BOUND_DRAWS = 2
"""Masks for each window: a whole text has windows enough for a narrow interval."""


def quality_of(session: Session, data: bytes | None = None, *, adaptive: bool = False) -> dict[str, Any]:
    """Return the bits per byte of a run's held-out part, or of another text, and the bound where it denoises.

    What the run does not learn, its causal share being 0 or 1, is None.
    """
    share = session.telemetry.causal_share
    found: dict[str, Any] = {"bits_per_byte": None, "bound": None}
    if share != 0.0:
        found["bits_per_byte"] = session.evaluate(data, adaptive=adaptive)
    if share not in {None, 1.0}:
        text = session.corpus.held_out if data is None else data
        bound = denoising_bound(session.model, text, draws=BOUND_DRAWS)
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
