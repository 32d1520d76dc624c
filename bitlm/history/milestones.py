"""When a run got past what others need for the same text."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from bitlm.session import RunStore
from bitlm.telemetry import Point


class Milestone(BaseModel):
    """A baseline that a run is below.

    Attributes:
        name: Of the baseline.
        baseline: Its bits per byte of the held-out text.
        step: Of the estimate that was the first to be no higher.
        validation_bits_per_byte: That estimate.
        elapsed_s: Seconds the run, its past included, had spent stepping by then.
        bytes_seen: Bytes it had trained on.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    baseline: float
    step: int
    validation_bits_per_byte: float
    elapsed_s: float
    bytes_seen: int


def milestones(store: RunStore, run_id: str) -> list[Milestone]:
    """Return the baselines that a run has passed, in the order in which it did; its past counts.

    None where the baselines of its text have not been computed.

    Raises:
        RunNotFoundError: There is no such run.
    """
    compared = store.baselines(store.run(run_id).config.baselines_key) or {}
    estimates = store.values(run_id, "validation_bits_per_byte")
    found = []
    for name, (step, estimate) in passed(estimates, compared).items():
        row = store.metrics_of_step(run_id, step)
        assert row is not None, "it was read a moment ago"
        found.append(
            Milestone(
                name=name,
                baseline=compared[name],
                step=step,
                validation_bits_per_byte=estimate,
                elapsed_s=row["elapsed_s"],
                bytes_seen=row["bytes_seen"],
            )
        )
    return found


def passed(estimates: Sequence[Point], baselines: Mapping[str, float]) -> dict[str, Point]:
    """Return for each baseline that was passed the first estimate that did, the earliest first.

    Passed is a baseline once two estimates in a row are no higher than it; the first of them is when. One
    alone may be luck.

    Args:
        estimates: Steps and bits per byte of held-out text, in order of step.
        baselines: Bits per byte by name.
    """
    found = {}
    for name, level in baselines.items():
        for first, second in pairwise(estimates):
            if first[1] <= level and second[1] <= level:
                found[name] = first
                break
    return dict(sorted(found.items(), key=lambda item: (item[1][0], -baselines[item[0]])))
