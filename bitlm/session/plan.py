"""The commands that a twin is still to be given, as its original was."""

from collections.abc import Iterator
from typing import Any

from bitlm.session.commands import TelemetrySettings
from bitlm.session.records import Planned
from bitlm.session.store import RunStore


class Plan:
    """A run's plan, read once; each entry leaves it in the transaction that enters it in the journal.

    Attributes:
        ends_at: The step up to which a twin repeats its original; None for other runs.
    """

    def __init__(self, store: RunStore, run_id: str, ends_at: int | None) -> None:
        self.ends_at = ends_at
        self._waiting = store.plan(run_id)

    def due(self, step: int) -> Iterator[Planned]:
        """Yield what is planned up to `step`, each to be entered in the journal before the next is taken."""
        while self._waiting and self._waiting[0].step <= step:
            yield self._waiting[0]
            self._waiting.pop(0)


def payload_from(entry: Planned, telemetry: TelemetrySettings) -> dict[str, Any]:
    """Return what the journal says of a planned command: a change replaces the value that is in force now."""
    if entry.kind != "telemetry_changed":
        return entry.payload
    changes = [{**one, "old": getattr(telemetry, one["field"])} for one in entry.payload["changes"]]
    return {"changes": changes}
