"""bf16 inside the branches, where this machine is faster with it: tried, never assumed.

A processor without units for bf16 takes many times longer with it than without. With them it is a gain
for wide layers and a loss for narrow ones. It changes a run's bits, so what a run trains with is settled
before the run is made; the trunk stays exactly reversible either way.

Source: Micikevicius et al., "Mixed Precision Training", ICLR 2018; Kalamkar et al., "A Study of BFLOAT16
for Deep Learning Training", 2019.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from bitlm.errors import ConfigError
from bitlm.machine import has_bf16_units
from bitlm.model.config import ModelConfig
from bitlm.model.layer_trial import Clock, LayerTrial, fastest_passes_s
from bitlm.model.transformer import BitTransformer

AUTOCAST_CHOICES = ("off", "bf16", "auto")

LEAST_GAIN = 0.1
"""Share of a layer's time that bf16 must save to be chosen."""

MOST_ROWS = 4
"""Windows of a trial's batch: with more, the share that bf16 saves hardly moves."""


@dataclass(frozen=True)
class AutocastChoice:
    """What was chosen, and why.

    Attributes:
        autocast: "off" or "bf16".
        reason: In words, with the figures if there was a trial.
        fp32_s: Seconds of one layer's forward and backward pass in fp32; None without a trial.
        bf16_s: The same in bf16.
    """

    autocast: str
    reason: str
    fp32_s: float | None = None
    bf16_s: float | None = None


@contextmanager
def cpu_autocast(model: BitTransformer, autocast: str = "auto") -> Iterator[str]:
    """Let the model's branches compute in bf16 in this context, and yield "bf16" or "off".

    A backward pass computes as its forward pass did, inside the context or outside. `torch.autocast`
    around a model would round the streams themselves, so the trunk refuses it.

    Args:
        model: Outside the context it is as before.
        autocast: "bf16", "off", or "auto" for what `choose_autocast` finds: a trial at each entry.

    Raises:
        ConfigError: `autocast` is something else.
    """
    check_autocast(autocast)
    chosen = choose_autocast(model.config).autocast if autocast == "auto" else autocast
    before, model.trunk.autocast = model.trunk.autocast, chosen
    try:
        yield chosen
    finally:
        model.trunk.autocast = before


def choose_autocast(
    config: ModelConfig,
    batch_rows: int = 1,
    *,
    has_units: bool | None = None,
    budget_s: float = 0.1,
    clock: Clock = perf_counter,
) -> AutocastChoice:
    """Choose bf16 if the processor has units for it and one layer of this shape gains by it.

    Args:
        config: The model's shape.
        batch_rows: Windows in a training step; at most MOST_ROWS are run.
        has_units: Whether there are such units; None asks the processor.
        budget_s: Seconds after which no further round of passes is begun.
        clock: Returns seconds.
    """
    if not (has_bf16_units() if has_units is None else has_units):
        return AutocastChoice("off", "this processor has no units for bf16")
    one_layer = BitTransformer(replace(config, num_layers=1))
    passes = {}
    for autocast in ("off", "bf16"):
        with cpu_autocast(one_layer, autocast):
            layers = one_layer.trunk.reversible_layers(config.positions, None)
        trial = LayerTrial(layers, min(batch_rows, MOST_ROWS), config.positions, config.d_model)
        passes[autocast] = partial(trial.pass_through, "store")
    for warm_up in passes.values():
        warm_up()
    fastest = fastest_passes_s(passes, budget_s=budget_s, clock=clock)
    fp32_s, bf16_s = fastest["off"], fastest["bf16"]
    gains = bf16_s <= (1 - LEAST_GAIN) * fp32_s
    reason = (
        f"a layer takes {bf16_s * 1e3:.3g} ms in bf16 and {fp32_s * 1e3:.3g} ms in fp32; "
        f"bf16 has to save {LEAST_GAIN:.0%}"
    )
    return AutocastChoice("bf16" if gains else "off", reason, fp32_s, bf16_s)


def check_autocast(autocast: object) -> None:
    """Refuse anything but a choice there is.

    Raises:
        ConfigError: Names the choices.
    """
    if autocast not in AUTOCAST_CHOICES:
        allowed = " or ".join(repr(choice) for choice in AUTOCAST_CHOICES)
        raise ConfigError("autocast", autocast, f"use {allowed}.")
