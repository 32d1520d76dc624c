"""The one thread that owns the model: it answers requests, and between them it trains."""

import queue
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event as Flag
from threading import RLock, Thread
from typing import Any

import structlog

from app.service.answers import Resuming, Status
from app.service.desk import Desk
from app.service.disk import DiskGuard
from app.service.errors import ServiceStoppingError
from app.service.live import Live
from app.service.opening import Opening
from app.service.requests import Request, Ticket, TrainStep
from app.service.stepping import DISK_INTERVAL_S, Stepping
from app.service.streaming import Streams
from bitlm.errors import BitLMError
from bitlm.session import CheckpointPolicy, RunStore
from bitlm.session.events import Source

PULSE_S = 5.0
"""How long the thread waits for requests before it shows that it lives."""


class Worker:
    """Runs the session in its own thread; other threads `submit` and read `status`."""

    def __init__(
        self,
        store: RunStore,
        *,
        torch_threads: int,
        policy: CheckpointPolicy,
        guard: DiskGuard,
        on_change: Callable[[], None],
    ) -> None:
        self._live = Live(store, on_change=on_change)
        self._stepping = Stepping(self._live, store, guard)
        self._streams = Streams(self._live)
        opening = Opening(store, torch_threads=torch_threads, policy=policy, progress=self._note_resuming)
        self._desk = Desk(
            store,
            self._live,
            opening=opening,
            stepping=self._stepping,
            streams=self._streams,
            submit=self.submit,
        )
        self._tickets: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._door = RLock()  # a second signal may ask to stop in the middle of the first
        self._stopping, self._settled = Flag(), Flag()
        self._thread = Thread(target=self._run, name="bitlm-worker")
        self._alive_at = time.monotonic()
        self._log = structlog.get_logger("bitlm.worker")

    # Called from any thread

    @property
    def status(self) -> Status:
        """What was true when the worker last changed anything; never waits."""
        return self._live.status

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        return self._thread.is_alive() and not self._stopping.is_set()

    @property
    def silent_s(self) -> float:
        """Seconds since the thread last looked for something to do, such as a step or an answer."""
        return time.monotonic() - self._alive_at

    def note_label(self, run_id: str, name: str | None) -> None:
        """Show the live run under its new name."""
        if self._live.status.run_id == run_id:
            self._live.note_name(name)

    def start(self) -> None:
        """Take up the newest run, then answer requests until stopped."""
        self._thread.start()

    def wait_until_settled(self, timeout_s: float | None) -> bool:
        """Wait until the newest run is taken up, or could not be; return whether that is so."""
        return self._settled.wait(timeout_s)

    def submit(self, request: Request[Any], source: Source) -> Future[Any]:
        """Queue a request; its answer or error arrives in the future."""
        ticket = Ticket(request, source, Future())
        with self._door:
            if self._stopping.is_set():
                ticket.future.set_exception(ServiceStoppingError())
            else:
                self._tickets.put(ticket)
        return ticket.future

    def request_stop(self) -> None:
        """Ask the thread to end after the step at hand, with a checkpoint."""
        with self._door:  # after which nothing more is queued, so that who waits then is told at once
            self._stopping.set()
            self._tickets.put(None)

    def join(self) -> None:
        """Wait for the thread to end, and briefly for a comparison under way."""
        if self._thread.ident is not None:
            self._thread.join()
        self._desk.close()

    # The thread

    def _run(self) -> None:
        self._desk.reopen_last()
        self._settled.set()
        while not self._stopping.is_set():
            self._alive_at = time.monotonic()
            self._answer_waiting()
            if self._stopping.is_set():
                break
            self._streams.advance()
            if self._live.is_training:
                self._stepping.train()
                self._desk.roll_back_if_due()
                self._desk.grow_if_due()
            elif self._stepping.waits_for_disk:
                self._stepping.look_for_room()
        self._end()

    def _answer_waiting(self) -> None:
        """Answer what has been asked so far; with nothing else to do, wait for more, or for room."""
        first = self._next_ticket(wait=not self._live.is_training and not self._streams.are_open)
        for ticket in [first, *(self._next_ticket(wait=False) for _ in range(self._tickets.qsize()))]:
            if self._stopping.is_set():
                self._refuse(ticket)
            elif ticket is not None:
                self._answer(ticket)

    def _next_ticket(self, *, wait: bool) -> Ticket | None:
        patience = DISK_INTERVAL_S if self._stepping.waits_for_disk else PULSE_S
        try:
            return self._tickets.get(block=wait, timeout=patience)
        except queue.Empty:
            return None

    def _refuse(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            ticket.future.set_exception(ServiceStoppingError())

    def _answer(self, ticket: Ticket) -> None:
        """Do what is asked; everyone is told before the asker is, so that a look afterwards shows it."""
        try:
            answer = ticket.context.run(self._desk.perform, ticket)
            self._live.publish()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, and the thread must live on
            ticket.future.set_exception(error)
        else:
            if not isinstance(ticket.request, TrainStep):  # which is answered when its steps are done
                ticket.future.set_result(answer)

    def _note_resuming(self, step: int, until: int) -> None:
        """Tell everyone how far a run that is taken up has come; stopping stops that, too."""
        self._alive_at = time.monotonic()
        if self._stopping.is_set():
            raise ServiceStoppingError
        if step < until:
            self._live.state, self._live.resuming = "resuming", Resuming(step=step, until=until)
            self._live.publish()

    def _end(self) -> None:
        """Leave nobody waiting and nothing unsaved."""
        while not self._tickets.empty():
            self._refuse(self._next_ticket(wait=False))
        try:
            self._streams.abandon(ServiceStoppingError())
            self._stepping.abandon()
            if self._live.is_training:
                self._live.require().record("training_paused", {})
                self._live.state = "paused"
            self._live.save()
            self._live.publish()
        except (BitLMError, OSError, sqlite3.Error):
            self._log.exception("last_checkpoint_failed")
        self._live.release()
