"""Growing while a run trains: each time it stalls, it goes on as a branch whose model is larger."""

from typing import Annotated

import typer

from bitlm.growth import Growth
from bitlm.history.branching import fork
from bitlm.session import GrowthRule, Session, SetGrowthRule
from bitlm.session.learner import MakeLearner
from bitlm.session.records import GrowthReceipt

Grow = Annotated[
    bool | None,
    typer.Option(
        "--grow/--no-grow", help="Go on with a larger model each time that it stalls; a run remembers it."
    ),
]
ImproveThresh = Annotated[
    float | None,
    typer.Option(min=0.0, help="--grow: a smaller gain in bpb an estimate is a stall (default: 0.01)."),
]
MostMemoryMb = Annotated[
    int | None,
    typer.Option(min=1, help="--grow: at most so many MB of weights, gradients, optimizer (default: 64)."),
]


def asked_rule(
    grow: bool | None, improve_thresh: float | None, most_memory_mb: int | None
) -> SetGrowthRule | None:
    """Return what the options say of growing; None where they leave it as it is.

    Raises:
        BadParameter: How it is to grow is said, and not that it is to.
    """
    said = {"improve_thresh": improve_thresh, "most_memory_mb": most_memory_mb}
    given = {name: value for name, value in said.items() if value is not None}
    if given and not grow:
        raise typer.BadParameter("--improve-thresh and --most-memory-mb say how to --grow; give that too.")
    if grow is None:
        return None
    return SetGrowthRule(rule=GrowthRule(**given) if grow else None)


def grown(session: Session, growth: Growth, make: MakeLearner) -> tuple[Session, GrowthReceipt]:
    """Close a run and open the branch that goes on with a larger model; return that, and what it changed."""
    session.save()
    session.close()
    branch = fork(session.store, session.run_id, growth=growth, source="session")
    origin = session.store.run(branch).origin
    assert origin is not None, "a fork has an origin"
    assert origin.growth is not None, "with a receipt, as its model has grown"
    return Session.open(session.store, branch, make=make), origin.growth


def receipt_line(receipt: GrowthReceipt) -> str:
    """Return what a growth changed, in a sentence."""
    (few, many), (before, after) = receipt.parameters, receipt.bits_per_byte
    return (
        f"{few:,} → {many:,} parameters, greatest change of a logit {receipt.logit_difference:.1e}, "
        f"{before:.4f} → {after:.4f} bits per byte, "
        f"{receipt.ms_per_byte[0]:.3f} → {receipt.ms_per_byte[1]:.3f} ms a byte."
    )
