"""Runs done again beside the live one, to see whether every saved hash comes out: one at a time."""

from pathlib import Path
from threading import Lock, Thread
from typing import Literal

import structlog

from app.service.answers import Answered
from app.service.errors import StateConflictError
from app.service.own_process import Ended, OwnProcess

INTERRUPTED = "the service was stopped meanwhile; begin again."


class ReplayReport(Answered):
    """How far a replay is, or how it ended.

    Attributes:
        state: "same" when the hashes of every checkpoint came out again, "different" when one did not,
            "failed" when it could not be done, and "cancelled" when somebody wanted it no more.
        step: The step reached.
        until: The step aimed at; 0 before that is known.
        checkpoints: Those compared; 0 before it has ended.
        first_difference: Step of the first checkpoint that came out otherwise, or None.
        detail: Why it failed, or what to know of the outcome.
    """

    run_id: str
    state: Literal["running", "same", "different", "failed", "cancelled"] = "running"
    step: int = 0
    until: int = 0
    checkpoints: int = 0
    first_difference: int | None = None
    detail: str = ""


class Replays:
    """Starts `python -m bitlm replay` and follows it; remembers each run's last outcome."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = Lock()
        self._reports: dict[str, ReplayReport] = {}
        self._process: OwnProcess | None = None
        self._cancelled = False
        self._thread: Thread | None = None
        self._log = structlog.get_logger("bitlm.replays")

    def report(self, run_id: str) -> ReplayReport | None:
        """Return what is known of a run's last replay since the service started."""
        return self._reports.get(run_id)

    def start(self, run_id: str) -> ReplayReport:
        """Begin to do a run again.

        Raises:
            StateConflictError: A run is being done again already.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise StateConflictError("another replay is under way; one is done at a time.")
            process = OwnProcess(self._data_dir, "replay", run_id)
            self._process, self._cancelled = process, False
            self._reports[run_id] = report = ReplayReport(run_id=run_id)
            self._thread = Thread(target=self._follow, args=(run_id, process), name="bitlm-replay")
            self._thread.start()
        return report

    def cancel(self, run_id: str) -> ReplayReport:
        """End the replay of a run before its end, and return how far it was.

        Raises:
            StateConflictError: The run is not being done again.
        """
        with self._lock:
            report = self._reports.get(run_id)
            if report is None or report.state != "running":
                raise StateConflictError(f"run {run_id!r} is not being replayed, so nothing is cancelled.")
            assert self._process is not None
            assert self._thread is not None
            self._cancelled = True
            self._process.terminate()
            self._thread.join()
        return self._reports[run_id]

    def close(self) -> None:
        """Leave the replay at hand undone."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()
            if self._thread is not None:
                self._thread.join()

    def _follow(self, run_id: str, process: OwnProcess) -> None:
        for place in process.progress():
            self._reports[run_id] = ReplayReport(run_id=run_id, **place)
        report = _outcome(run_id, process.ended())
        if self._cancelled and report.state == "failed":  # not where it had come to its end by then
            reached = self._reports[run_id]
            report = reached.model_copy(update={"state": "cancelled", "detail": "it was cancelled."})
        self._reports[run_id] = report
        self._log.info("replay_ended", **report.model_dump())


def _outcome(run_id: str, ended: Ended) -> ReplayReport:
    """Return how a replay ended: with 0 or 1 as it came out, with 2 for a reason it said last."""
    if ended.code not in {0, 1} or ended.answer is None:
        detail = INTERRUPTED if ended.code < 0 else ended.complaint
        return ReplayReport(run_id=run_id, state="failed", detail=detail)
    stretch, version = ended.answer["stretches"][0], ended.answer["made_by_version"]
    differing = [checkpoint["step"] for checkpoint in stretch["checkpoints"] if not checkpoint["same"]]
    return ReplayReport(
        run_id=run_id,
        state="different" if differing else "same",
        step=stretch["until"],
        until=stretch["until"],
        checkpoints=len(stretch["checkpoints"]),
        first_difference=differing[0] if differing else None,
        detail=f"BitLM {version} made the run; this version may round otherwise." if version else "",
    )
