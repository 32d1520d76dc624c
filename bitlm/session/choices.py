"""What a run leaves to the machine, settled by a trial, and the events that say how."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from bitlm.model import AutocastChoice, MemoryChoice, ModelConfig, choose_autocast
from bitlm.session.events import EventKind
from bitlm.training import TrainingConfig

if TYPE_CHECKING:
    from bitlm.session.session import Session


def settled(model: ModelConfig, training: TrainingConfig) -> tuple[TrainingConfig, AutocastChoice | None]:
    """Return the settings with autocast="auto" replaced by what was chosen, and the choice if there was one.

    bf16 changes a run's bits, so a run is a function of what was chosen.
    """
    if training.autocast != "auto":
        return training, None
    choice = choose_autocast(model, training.rows_at_once)
    return replace(training, autocast=choice.autocast), choice


def tell_choices(session: "Session", *choices: AutocastChoice | MemoryChoice | None) -> None:
    """Record an event for each choice that was made."""
    for choice in choices:
        if choice is not None:
            kind: EventKind = "memory_chosen" if isinstance(choice, MemoryChoice) else "autocast_chosen"
            session.record(kind, asdict(choice))
