"""What a training came to: measured in the end, and printed."""

from typing import Any

from rich.console import Console
from rich.table import Table

from bitlm.baselines import baselines
from bitlm.cli.quality import bound_line, quality_of
from bitlm.history.milestones import milestones
from bitlm.history.narration import duration
from bitlm.session import Session

CLEARLY = 0.03
"""Bits per byte, by which an estimate on held-out text may be off."""


def measured(session: Session) -> dict[str, Any]:
    """Return how good a run is on all of its held-out text, beside compressors, and what it took."""
    reference = session.model.reference
    assert reference is not None, "a session's model always carries its reference"
    compared = session.store.baselines(session.config.baselines_key)
    if compared is None:
        compared = baselines(session.corpus, reference)
        session.store.set_baselines(session.config.baselines_key, compared)
    quality = quality_of(session.model, session.telemetry.causal_share, session.corpus.held_out)
    session.record("evaluated", {name: one for name, one in quality.items() if one is not None}, source="cli")
    return {
        "run_id": session.run_id,
        "steps": session.step_count,
        "bytes_seen": session.bytes_seen,
        **quality,
        "baselines": compared,
        "milestones": [one.model_dump() for one in milestones(session.store, session.run_id)],
        "best_step": best_step(session),
    }


def best_step(session: Session) -> int | None:
    """Return the step at which the estimate on held-out text was clearly lower than it is now, or None."""
    estimates = session.store.values(session.run_id, "validation_bits_per_byte")
    if not estimates:
        return None
    step, best = min(estimates, key=lambda one: one[1])
    return step if best < estimates[-1][1] - CLEARLY else None


def print_result(console: Console, result: dict[str, Any], seconds: float) -> None:
    """Print what was measured, for people; `seconds` were spent on training."""
    reached = [] if result["bits_per_byte"] is None else [("BitLM", result["bits_per_byte"])]
    rows = sorted([*result["baselines"].items(), *reached], key=lambda row: -row[1])
    table = Table(title="bits per byte of the held-out tenth, given the rest (lower is better)")
    table.add_column("compressor or model")
    table.add_column("bpb", justify="right")
    for name, value in rows:
        style = "bold green" if name == "BitLM" else ""
        table.add_row(name, f"{value:.3f}", style=style)
    console.print(table)
    if result["bound"] is not None:
        console.print(bound_line(result["bound"]), highlight=False)
    if result["milestones"]:
        console.print(_passed_line(result["milestones"]), highlight=False)
    if result["best_step"] is not None:
        console.print(
            f"held-out text was best at step {result['best_step']}; since then the run learns its text by "
            "heart: train for less time, on more text, or with --set dropout=0.4",
            highlight=False,
        )
    console.print(
        f"run {result['run_id']}: {result['steps']} steps, {result['bytes_seen']} bytes, {seconds:.0f} s"
    )
    command = "denoise" if result["bits_per_byte"] is None else "generate"
    console.print(
        f'next: python -m bitlm {command} --run {result["run_id"]} --prompt "The "', highlight=False
    )


def _passed_line(found: list[dict[str, Any]]) -> str:
    told = ", ".join(f"{one['name']} at {duration(one['elapsed_s'])}" for one in found)
    return f"passed on the way, by its estimate: {told}"
