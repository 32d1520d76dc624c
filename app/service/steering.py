"""What can be changed of a run that another process trains: what a letter can say, and no more."""

from typing import Any

from app.service.answers import Status
from app.service.errors import NoRunError
from app.service.requests import Apply, Control, Request, SaveCheckpoint
from bitlm.session import RunStore, letters
from bitlm.session.events import Source
from bitlm.session.letters import StopTraining, Wish, seen_in
from bitlm.session.mailbox import PATIENCE_S, Mailbox
from bitlm.session.recovery import telemetry_in_force


class Steering:
    """Passes requests on to whoever trains, and waits for the answer; any thread may."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._mailbox = Mailbox(store)

    def close(self) -> None:
        """Let go of the mailbox."""
        self._mailbox.close()

    def reaches(self, run_id: str) -> bool:
        """Return whether somebody trains the run who looks for letters."""
        return self._mailbox.is_attended(run_id)

    def pass_on(self, request: Request[Any], wish: Wish, source: Source, status: Status) -> object:
        """Have `wish_of` a request done and return what the owner of the run would answer.

        Args:
            request: What is asked, of the run it names or else of the one shown.
            wish: The same as a letter says it.
            source: Who asks.
            status: What is shown.

        Raises:
            NoRunError: None is shown.
            RunNotFoundError: There is no run of the name.
            BitLMError: Nobody trains the run, nobody answered in time, or whoever trains refused it.
        """
        run_id = request.run_id if isinstance(request, SaveCheckpoint) else status.run_id
        if run_id is None:
            raise NoRunError
        self._store.run(run_id)
        seen = {}
        if isinstance(request, Apply) and request.check is not None:
            seen = seen_in(status, wish)  # before it is checked: who trains then holds on to no older one
            request.check()
        done = self._mailbox.ask(run_id, wish, source=source, seen=seen, patience_s=PATIENCE_S)
        if isinstance(request, SaveCheckpoint):
            return done.step
        return telemetry_in_force(self._store, run_id) if isinstance(request, Apply) else None


def wish_of(request: Request[Any]) -> Wish | None:
    """Return what a letter can say of a request; None where none can."""
    if isinstance(request, Apply):
        return request.command
    if isinstance(request, SaveCheckpoint):
        return letters.SaveCheckpoint(name=request.name)
    is_stop = isinstance(request, Control) and request.action == "stop"
    return StopTraining() if is_stop else None
