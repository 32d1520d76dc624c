"""`memory="auto"`: which of the three memory modes is best on this machine, tried and not assumed.

The modes give the same bits, so the choice is no part of what a run is a function of; it is made anew
wherever the run goes on. Why this rule: docs/decisions/0005-the-memory-modes-are-tried.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from time import perf_counter

from bitlm.machine import available_memory_bytes
from bitlm.model.layer_trial import Clock, LayerTrial, fastest_passes_s
from bitlm.model.reversible import MEMORY_MODES
from bitlm.model.transformer import BitTransformer

ROOM_SHARE = 0.5
"""Share of the available memory that what is kept may take; the rest is for gradients and everybody else."""

EQUAL_WITHIN = 0.05
"""Times that differ by no more than this share are called equal: a short trial cannot tell them apart."""

TRIAL_LAYERS = 3
"""Layers a trial runs: the second shows what each further one adds, so it never needs what it may save."""

DROPOUT_SEED = 1
GIGABYTE = 1e9


@dataclass(frozen=True)
class ModeTrial:
    """What one mode costs the whole trunk, by the trial.

    Attributes:
        memory: The mode.
        kept_bytes: What is kept between forward and backward, weights excluded.
        pass_s: Seconds of a forward and a backward pass.
    """

    memory: str
    kept_bytes: int
    pass_s: float

    def __str__(self) -> str:
        return f"{self.memory} {self.pass_s * 1e3:.3g} ms and {_size(self.kept_bytes)}"


@dataclass(frozen=True)
class MemoryChoice:
    """The mode chosen, and why.

    Attributes:
        memory: The mode.
        reason: The rule and the figures it was applied to, in words.
        available_bytes: Memory the process could still take.
        trials: Every mode's figures.
    """

    memory: str
    reason: str
    available_bytes: int
    trials: tuple[ModeTrial, ...]


def choose_memory(
    model: BitTransformer,
    batch_rows: int,
    *,
    available_bytes: int | None = None,
    budget_s: float = 0.5,
    clock: Clock = perf_counter,
) -> MemoryChoice:
    """Try the memory modes on the model's own layers and choose one; the model stays as it is.

    Three layers are run forward and backward in each mode, and the rest of the depth is reckoned: layers are
    alike. If the batch is so large that this would take long, fewer rows of it are run. With ACT layers are
    tried as they are at full depth; the gates keep about a tenth more.

    Args:
        model: Its shape, its dropout and its weights are those of the trial.
        batch_rows: Windows in a training step.
        available_bytes: Memory to choose for; None asks the system.
        budget_s: Seconds after which no further round of passes is begun.
        clock: Returns seconds.
    """
    available = available_memory_bytes() if available_bytes is None else available_bytes
    config = model.config
    depth = min(TRIAL_LAYERS, config.num_layers)
    key = DROPOUT_SEED if config.dropout else None
    layers = model.trunk.reversible_layers(config.positions, key)[:depth]
    one_row = LayerTrial(layers, 1, config.positions, config.d_model)
    started = clock()
    one_row.pass_through("recompute")
    affordable = int(budget_s / max(clock() - started, 1e-9) / len(MEMORY_MODES))
    rows = min(batch_rows, max(1, affordable))
    whole = replace(one_row, rows=rows)
    kept = {memory: _kept_bytes(model, whole, memory) for memory in MEMORY_MODES}
    passes = {memory: partial(whole.pass_through, memory) for memory in MEMORY_MODES}
    fastest = fastest_passes_s(passes, budget_s=budget_s, clock=clock)
    share = batch_rows / rows
    trials = tuple(
        ModeTrial(
            memory, ceil(kept[memory] * share), share * _pass_s(fastest, memory, depth, config.num_layers)
        )
        for memory in MEMORY_MODES
    )
    memory, reason = best_mode(trials, available)
    return MemoryChoice(memory, reason, available, trials)


def best_mode(trials: Sequence[ModeTrial], available_bytes: int) -> tuple[str, str]:
    """Apply the rule: of the modes that fit, the fastest; of equally fast ones, the one that keeps least.

    A mode fits if it keeps at most ROOM_SHARE of `available_bytes`. If none does, the one that keeps least
    is taken, and the reason says so.

    Returns:
        The mode, and the reason in words.
    """
    room = ROOM_SHARE * available_bytes
    figures = "; ".join(str(trial) for trial in trials)
    fitting = [trial for trial in trials if trial.kept_bytes <= room]
    if not fitting:
        least = min(trials, key=lambda trial: trial.kept_bytes)
        return least.memory, (
            f"no mode fits {ROOM_SHARE:.0%} of the {_size(available_bytes)} available, "
            f"and this one keeps least: {figures}"
        )
    limit = (1 + EQUAL_WITHIN) * min(trial.pass_s for trial in fitting)
    chosen = min((trial for trial in fitting if trial.pass_s <= limit), key=lambda trial: trial.kept_bytes)
    return chosen.memory, (
        f"the fastest that fits {ROOM_SHARE:.0%} of the {_size(available_bytes)} available, "
        f"and of equally fast ones the one that keeps least: {figures}"
    )


def _pass_s(fastest: Mapping[str, float], memory: str, depth: int, num_layers: int) -> float:
    """Return the seconds of the whole depth: layers are alike, but the last is never computed again."""
    last = fastest["store" if memory == "recompute" else memory] / depth
    return last + (num_layers - 1) * (fastest[memory] - last) / max(1, depth - 1)


def _kept_bytes(model: BitTransformer, trial: LayerTrial, memory: str) -> int:
    """Return what the whole depth keeps for the trial's rows: each further layer adds what its last did."""
    kept = trial.kept_bytes(model, memory)
    if len(trial.layers) < TRIAL_LAYERS:
        return kept
    shallower = replace(trial, layers=trial.layers[:-1]).kept_bytes(model, memory)
    return kept + (kept - shallower) * (model.config.num_layers - len(trial.layers))


def _size(count: float) -> str:
    return f"{count / GIGABYTE:.3g} GB" if count >= GIGABYTE else f"{count / 1e6:.3g} MB"
