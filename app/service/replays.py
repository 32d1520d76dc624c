"""Runs done again beside the live one, to see whether every saved hash comes out: one at a time.

Each in a process of its own, which yields to everybody else: threads and rounding modes of a process are
shared, and nothing that goes on beside the live run may touch its bits.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Literal

import structlog

from app.service.answers import Answered
from app.service.errors import StateConflictError

ROOT = Path(__file__).parents[2]

NICENESS = 5
"""By how much a replay yields to training; 19 is the most."""

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
        self._data_dir = data_dir.resolve()
        self._lock = Lock()
        self._reports: dict[str, ReplayReport] = {}
        self._process: subprocess.Popen[str] | None = None
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
            arguments = ("-m", "bitlm", "replay", run_id, "--json", "--progress")
            process = subprocess.Popen(  # noqa: S603 - our own command, and an id that was checked
                [sys.executable, *arguments, "--data-dir", str(self._data_dir)],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
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

    def _follow(self, run_id: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        with process:
            for line in process.stderr:
                try:
                    reached = json.loads(line)
                except ValueError:
                    said = line
                else:
                    self._reports[run_id] = ReplayReport(run_id=run_id, **reached)
            found = process.stdout.read()
        report = _outcome(run_id, process.returncode, found, said)
        if self._cancelled and report.state == "failed":  # not where it had come to its end by then
            reached = self._reports[run_id]
            report = reached.model_copy(update={"state": "cancelled", "detail": "it was cancelled."})
        self._reports[run_id] = report
        self._log.info("replay_ended", **report.model_dump())


def _outcome(run_id: str, exit_code: int, found: str, said: str) -> ReplayReport:
    """Return how a replay ended: with 0 or 1 as it came out, with 2 for a reason it said last."""
    if exit_code not in {0, 1} or not found:
        detail = INTERRUPTED if exit_code < 0 else said.removeprefix("error: ").strip()
        return ReplayReport(run_id=run_id, state="failed", detail=detail)
    answer: dict[str, Any] = json.loads(found)
    stretch, version = answer["stretches"][0], answer["made_by_version"]
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
