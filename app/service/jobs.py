"""Our own commands about a run, each in a process beside the live one: begun, followed, cancelled."""

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

import structlog

from app.service.answers import Answered
from app.service.errors import StateConflictError
from app.service.own_process import OwnProcess
from bitlm.session import RunStore

INTERRUPTED = "the service was stopped meanwhile; begin again."


class JobReport(Answered):
    """How far a job is, or how it ended.

    Attributes:
        state: "running", "failed" when it could not be done, "cancelled" when somebody wanted it no more, or
            what came out.
        detail: Why it failed, or what to know of the outcome.
    """

    run_id: str
    state: str = "running"
    detail: str = ""


Report = TypeVar("Report", bound=JobReport)


class Jobs(Generic[Report]):
    """Jobs of one kind, one at a time; remembers each run's last outcome since the service started."""

    def __init__(
        self,
        store: RunStore,
        command: str,
        noun: str,
        report: type[Report],
        outcome: Callable[[str, dict[str, Any]], Report],
    ) -> None:
        """Know a kind of job.

        Args:
            store: Has the runs.
            command: Of `python -m bitlm`, with `--json` and `--progress`; its routes are called so, too.
            noun: What doing it is called.
            report: Takes what a line of progress says.
            outcome: Returns the report on a run of what the command answered.
        """
        self._store = store
        self._command = command
        self._noun = noun
        self._report = report
        self._outcome = outcome
        self._lock = Lock()
        self._reports: dict[str, Report] = {}
        self._process: OwnProcess | None = None
        self._cancelled = False
        self._thread: Thread | None = None
        self._log = structlog.get_logger("bitlm.jobs")

    def last(self, run_id: str) -> Report | None:
        """Return what is known of a run's last job of this kind since the service started."""
        return self._reports.get(run_id)

    def report(self, run_id: str) -> Report:
        """Return the same.

        Raises:
            RunNotFoundError: There is no such run.
            StateConflictError: There was no such job.
        """
        self._store.run(run_id)
        report = self.last(run_id)
        if report is None:
            raise StateConflictError(
                f"there was no {self._noun} of run {run_id!r} since the service started: "
                f"POST /runs/{run_id}/{self._command}."
            )
        return report

    def start(self, run_id: str, *options: str) -> Report:
        """Begin one, with options of the command.

        Raises:
            RunNotFoundError: There is no such run.
            StateConflictError: One is under way already.
        """
        self._store.run(run_id)
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise StateConflictError(f"another {self._noun} is under way; one is done at a time.")
            process = OwnProcess(self._store.data_dir, self._command, run_id, *options)
            self._process, self._cancelled = process, False
            self._reports[run_id] = report = self._report(run_id=run_id)
            follow = partial(copy_context().run, self._follow, run_id, process)
            self._thread = Thread(target=follow, name=f"bitlm-{self._command}")
            self._thread.start()
        return report

    def cancel(self, run_id: str) -> Report:
        """End a run's job before its end, and return how far it was.

        Raises:
            RunNotFoundError: There is no such run.
            StateConflictError: None is under way.
        """
        self._store.run(run_id)
        with self._lock:
            report = self._reports.get(run_id)
            if report is None or report.state != "running":
                raise StateConflictError(
                    f"no {self._noun} of run {run_id!r} is under way, so nothing is cancelled."
                )
            assert self._process is not None
            assert self._thread is not None
            self._cancelled = True
            self._process.terminate()
            self._thread.join()
        return self._reports[run_id]

    def close(self) -> None:
        """Leave the job at hand undone."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()
            if self._thread is not None:
                self._thread.join()

    def _follow(self, run_id: str, process: OwnProcess) -> None:
        for place in process.progress():
            self._reports[run_id] = self._report(run_id=run_id, **place)
        ended = process.ended()
        if ended.answer is not None:  # also where it was cancelled too late
            report = self._outcome(run_id, ended.answer)
        else:
            end = {"state": "failed", "detail": INTERRUPTED if ended.code < 0 else ended.complaint}
            if self._cancelled:
                end = {"state": "cancelled", "detail": "it was cancelled."}
            report = self._reports[run_id].model_copy(update=end)
        self._reports[run_id] = report
        self._log.info("job_ended", command=self._command, **report.model_dump())
