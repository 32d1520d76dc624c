"""What a branch is called at first: after the run it comes from, and what is otherwise in it.

An id says when a run was made and no more; in a list of ten, and in the header on a phone, that tells nobody
which it is.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, count
from typing import Any

from bitlm.history.narration import field_name, figure, percent, short_label
from bitlm.session import Origin, RunRecord

LONGEST_NAME = 100
"""Characters, as of every name of a run."""

ID_CHARACTERS = 4
"""Of an id, its last ones, which tell it from others; they stand for a run without a name."""

GROWN = {"layer": "+ a layer", "width": "× 2 wide", "context": "× 2 long"}

SHORT_SETTINGS = {"learning_rate": "lr", "matrix_learning_rate": "matrix lr", "batch_size": "batch"}


def branch_name(
    parent: RunRecord, origin: Origin, told: Sequence[Mapping[str, Any]], taken: Collection[str]
) -> str:
    """Return a name for a branch: `tidy − λK 0.4`, `d6f3 · lr 0.001`.

    Args:
        parent: The run it comes from.
        origin: What is otherwise.
        told: The λ and floors that a fork begins with, as the journal says changes.
        taken: Names of other runs; a number is added to one of these.
    """
    base, what = parent.name or parent.run_id[-ID_CHARACTERS:], _difference(origin, told)
    endings = chain([""], (f" ({number})" for number in count(2)))
    return next(name for ending in endings if (name := _joined(base, what, ending)) not in taken)


def _joined(base: str, what: str, ending: str) -> str:
    """Return the three as a name: where they are too long for one, the base and what it is are shortened."""
    what = _shortened(what, LONGEST_NAME - len(ending) - ID_CHARACTERS - 1)
    return f"{_shortened(base, LONGEST_NAME - len(what) - len(ending) - 1)} {what}{ending}"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _difference(origin: Origin, told: Sequence[Mapping[str, Any]]) -> str:
    if origin.rolled_back:
        return f"back at {origin.step}"
    if resized := _resized(origin):
        return resized
    if origin.change is None:
        settings = [
            f"{SHORT_SETTINGS.get(name, name)} {figure(new)}" for name, new in origin.config_changes.items()
        ]
        settings += [f"{field_name(change['field'])} {figure(change['new'])}" for change in told]
        return f"· {', '.join(settings)}" if settings else f"· from {origin.step}"
    change = short_label(origin.change)
    if origin.undo:
        return f"before {change}"
    if origin.instead is None:
        return f"− {change}"
    instead = [f"{field_name(name)} {figure(new)}" for name, new in origin.instead.items()]
    return f"· {', '.join(instead)} not {change}"


def _resized(origin: Origin) -> str:
    """Return how the model is larger or smaller than the parent's; nothing where it is as large."""
    if origin.distillation is not None:
        many, few = origin.distillation.parameters
        return f"distilled to {percent(few / many)}"
    return GROWN[origin.growth.by] if origin.growth else ""
