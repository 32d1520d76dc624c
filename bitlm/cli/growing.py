"""Growing while a run trains: each time it stalls, it goes on as a branch whose model is larger."""

from dataclasses import dataclass, field, replace
from typing import Annotated

import typer

from bitlm.growth import Growth, GrowthSchedule
from bitlm.history.branching import fork
from bitlm.session import Session, StepEvent
from bitlm.session.learner import MakeLearner
from bitlm.session.records import GrowthReceipt

MOST_MEMORY_MB = 64
"""Four to five million weights, twice `base`: what one core can train in an hour."""

Grow = Annotated[bool, typer.Option("--grow", help="Go on with a larger model each time that it stalls.")]
ImproveThresh = Annotated[
    float | None,
    typer.Option(min=0.0, help="--grow: a smaller gain in bpb an estimate is a stall (default: 0.01)."),
]
MostMemoryMb = Annotated[
    int | None,
    typer.Option(min=1, help="--grow: at most so many MB of weights, gradients, optimizer (default: 64)."),
]

LARGER: dict[Growth, str] = {
    "layer": "a layer more",
    "width": "twice the width",
    "context": "twice the window",
}


def asked_schedule(
    grow: bool, improve_thresh: float | None, most_memory_mb: int | None
) -> GrowthSchedule | None:
    """Return when a run is to grow, as the options say; None where it is not.

    Raises:
        BadParameter: How it is to grow is said, and not that it is to.
    """
    if not grow:
        if improve_thresh is not None or most_memory_mb is not None:
            raise typer.BadParameter(
                "--improve-thresh and --most-memory-mb say how to --grow; give that too."
            )
        return None
    most_bytes = (most_memory_mb or MOST_MEMORY_MB) * 10**6
    if improve_thresh is None:
        return GrowthSchedule(most_bytes=most_bytes)
    return GrowthSchedule(improve_thresh, most_bytes=most_bytes)


@dataclass
class Growing:
    """Watches a run's figures on held-out text, and says when it is to grow.

    Attributes:
        schedule: Decides when, and which way.
        previous: How the run's model grew last; None if it never did.
        figures: Bits per byte of held-out text since then, in order.
        growth: The one that it is time for; None before, and where there is room for none.
    """

    schedule: GrowthSchedule
    previous: Growth | None = None
    figures: list[float] = field(default_factory=list)
    growth: Growth | None = None

    @classmethod
    def of(cls, session: Session, schedule: GrowthSchedule) -> "Growing":
        """Take up where a run is, with its last growth and its figures since; windows shall fit its text."""
        origin = session.store.run(session.run_id).origin
        grown, since = (origin.growth, origin.step) if origin is not None else (None, -1)
        told = session.store.values(session.run_id, "validation_bits_per_byte", after=since)
        schedule = replace(schedule, most_window_bytes=len(session.corpus.held_out))
        return cls(schedule, grown.by if grown is not None else None, [figure for _, figure in told])

    def note(self, session: Session, event: StepEvent) -> bool:
        """Take in what a step told; return whether it is time to grow.

        A run whose rate falls does not grow any more: that is its last part, in which it settles.
        """
        if event.validation_bits_per_byte is None:
            return False
        self.figures.append(event.validation_bits_per_byte)
        if session.annealing is None and self.schedule.is_due(self.figures):
            self.growth = self.schedule.next_growth(session.config.model, self.previous)
        return self.growth is not None


def grown(session: Session, growth: Growth, make: MakeLearner) -> tuple[Session, GrowthReceipt]:
    """Close a run and open the branch that goes on with a larger model; return that, and what it changed."""
    session.save()
    session.close()
    branch = fork(session.store, session.run_id, growth=growth, source="session")
    origin = session.store.run(branch).origin
    assert origin is not None, "a fork has an origin"
    assert origin.growth is not None, "with a receipt, as its model has grown"
    return Session.open(session.store, branch, make=make), origin.growth


def reason(growth: Growth) -> str:
    """Return why a run ends here and a larger one goes on."""
    return f"held-out text hardly improves any more, so {LARGER[growth]}"


def receipt_line(receipt: GrowthReceipt) -> str:
    """Return what a growth changed, in a sentence."""
    (few, many), (before, after) = receipt.parameters, receipt.bits_per_byte
    return (
        f"{few:,} → {many:,} parameters, greatest change of a logit {receipt.logit_difference:.1e}, "
        f"{before:.4f} → {after:.4f} bits per byte, "
        f"{receipt.ms_per_byte[0]:.3f} → {receipt.ms_per_byte[1]:.3f} ms a byte."
    )
