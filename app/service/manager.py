"""The service as the web sees it: ask and be answered; look and never wait."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from app.service.answers import Status
from app.service.calibration import CalibrationAnswer, Calibrator
from app.service.disk import DEFAULT_LIMITS, DiskGuard, DiskLimits, DiskReport
from app.service.errors import NotReadyError, StateConflictError
from app.service.estimate import Estimate, Estimator
from app.service.replays import ReplayReport, Replays
from app.service.requests import ReadText, Request
from app.service.worker import Worker
from bitlm.data import length_at, require_window
from bitlm.errors import RunNotFoundError
from bitlm.history.comparison import Comparison, Difference, compare, difference
from bitlm.history.effects import EffectReport, effect_of
from bitlm.history.milestones import Milestone, milestones
from bitlm.history.narration import TOLD_KINDS
from bitlm.model import ModelConfig
from bitlm.session import CheckpointPolicy, Event, RunRecord, RunStore
from bitlm.session.checkpoint_table import CheckpointRecord
from bitlm.session.events import Source
from bitlm.session.policy import DEFAULT_POLICY
from bitlm.session.scheduled_samples import ScheduledSample
from bitlm.training import TrainingConfig

SAMPLES_AT_ONCE = 100
"""Samples along training in one answer."""

RUN_ID = re.compile(r"[a-z0-9-]{1,64}")

Answer = TypeVar("Answer")


class ModelManager:
    """One live model for many askers. `start` it once, `close` it once."""

    def __init__(
        self,
        store: RunStore,
        *,
        torch_threads: int,
        policy: CheckpointPolicy = DEFAULT_POLICY,
        disk_limits: DiskLimits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._guard = DiskGuard(store.data_dir, disk_limits)
        self._observers: list[Callable[[], None]] = []
        self._calibrator = Calibrator()
        self._estimator = Estimator(torch_threads)
        self._replays = Replays(store.data_dir)
        self._worker = Worker(
            store,
            torch_threads=torch_threads,
            policy=policy,
            guard=self._guard,
            on_change=self._notify,
        )

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after every change, in the worker's thread: it must not wait."""
        self._observers.append(observer)

    def _notify(self) -> None:
        for observer in self._observers:
            observer()

    def start(self) -> None:
        """Take up the newest run and begin to answer."""
        self._worker.start()

    def request_stop(self) -> None:
        """Begin to stop: after the step at hand the last checkpoint is written."""
        self._worker.request_stop()

    def close(self) -> None:
        """Stop, wait for the last checkpoint, and close the store."""
        self._worker.request_stop()
        self._replays.close()
        self._worker.join()
        self._store.close()

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        return self._worker.is_alive

    def disk(self) -> DiskReport:
        """Return the room there is on the disk now."""
        return self._guard.look()

    def ask(self, request: Request[Answer], source: Source) -> Answer:
        """Return the answer to `request`, between two steps if training runs.

        Raises:
            BitLMError: Whatever was wrong with it.
            NotReadyError: A run is being computed up to where it was, which can take minutes.
            ServiceStoppingError: The service is shutting down.
        """
        resuming = self.status().resuming
        if resuming is not None:
            raise NotReadyError(
                f"the run is being computed up to where it was: step {resuming.step} of {resuming.until}; "
                "repeat the request when /readyz answers 200."
            )
        answer: Answer = self._worker.submit(request, source).result()
        return answer

    def calibrate(self, false_reject_rate: float, source: Source) -> CalibrationAnswer:
        """Return floors that fit the live run's text; takes some seconds, and training goes on.

        Raises:
            NoRunError: There is none.
            CorpusError: Its held-out text is too short.
        """
        text = self.ask(ReadText(), source)
        fitted = self._calibrator.calibrate(text.corpus, text.reference, false_reject_rate)
        return CalibrationAnswer.of(text.run_id, fitted)

    def estimate(self, model: ModelConfig, training: TrainingConfig, text: str | int) -> Estimate:
        """Return what a run would take; `text` is its length in bytes, or where it is to be read.

        Raises:
            CorpusError: The text is not there, or too short.
        """
        length = length_at(text) if isinstance(text, str) else text
        if length is not None:
            require_window(text if isinstance(text, str) else "text", length, model.window_bytes)
        is_busy = self.status().state in {"training", "initializing", "resuming"}
        return self._estimator.estimate(model, training, text_bytes=length, is_busy=is_busy)

    def status(self) -> Status:
        """Return the newest status; never waits for the model."""
        return self._worker.status

    def runs(self, *, trashed: bool = False) -> list[RunRecord]:
        """Return all runs, or all in the trash, the newest first."""
        self._store.flush()
        return self._store.runs(trashed=trashed)

    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            RunNotFoundError: There is none of that name.
        """
        if RUN_ID.fullmatch(run_id) is None:
            raise RunNotFoundError(run_id)
        self._store.flush()
        return self._store.run(run_id)

    def label(self, run_id: str, *, name: str | None, tags: tuple[str, ...], archived: bool) -> RunRecord:
        """Set what a run is called, its tags, and whether it is put away; return it.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        self._store.label_run(run_id, name=name, tags=tags, archived=archived)
        self._worker.note_label(run_id, name)
        return self._store.run(run_id)

    def restore(self, run_id: str) -> RunRecord:
        """Take a run back out of the trash and return it.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        self._store.trash_run(run_id, None)
        return self._store.run(run_id)

    def replay(self, run_id: str) -> ReplayReport:
        """Begin to do a run again, beside the live one.

        Raises:
            RunNotFoundError: There is no such run.
            StateConflictError: Another is being done again.
        """
        self.run(run_id)
        return self._replays.start(run_id)

    def replayed(self, run_id: str) -> ReplayReport:
        """Return how far a run's last replay is, or how it ended.

        Raises:
            StateConflictError: There was none since the service started.
        """
        self.run(run_id)
        report = self._replays.report(run_id)
        if report is None:
            raise StateConflictError(
                f"run {run_id!r} was not replayed since the service started: POST /runs/{run_id}/replay."
            )
        return report

    def journal(self, run_id: str) -> list[Event]:
        """Return every command a run was given, the oldest first.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.all_events(run_id, kinds=TOLD_KINDS)

    def compare(self, run_ids: Sequence[str]) -> Comparison:
        """Return what differs between some runs.

        Raises:
            RunNotFoundError: One of them is not there.
            ConfigError: They are fewer than two or too many.
        """
        self._store.flush()
        return compare(self._store, run_ids)

    def difference(self, run_id: str, other_id: str, *, max_points: int) -> Difference:
        """Return by how much a run's bits per byte differ from another's, step for step.

        Raises:
            RunNotFoundError: One of them is not there.
            ConfigError: They are one and the same.
        """
        self._store.flush()
        return difference(self._store, run_id, other_id, max_points=max_points)

    def effect(self, run_id: str, event_id: int) -> EffectReport:
        """Return a run's figures before and after one of its events.

        Raises:
            RunNotFoundError: There is no such run.
            JournalError: There is no such event in it that something could follow from.
        """
        self.run(run_id)
        return effect_of(self._store, run_id, event_id)

    def milestones(self, run_id: str) -> list[Milestone]:
        """Return the baselines that a run has passed, the earliest first.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return milestones(self._store, run_id)

    @property
    def store(self) -> RunStore:
        """Where everything is kept, to be read from."""
        return self._store

    # Checkpoints

    def checkpoints(self, run_id: str) -> list[CheckpointRecord]:
        """Return a run's checkpoints, the newest first.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.checkpoints.of(run_id)

    def rename_checkpoint(self, run_id: str, step: int, name: str | None) -> CheckpointRecord:
        """Name a checkpoint, which keeps it, or take the name away; return it.

        Raises:
            RunNotFoundError: There is no such run.
            CheckpointError: It has no checkpoint of that step.
        """
        self.run(run_id)
        self._store.checkpoints.rename(self._store.checkpoints.at(run_id, step), name)
        return self._store.checkpoints.at(run_id, step)

    # Looking

    def metrics(self, run_id: str, *, since: int, max_points: int) -> dict[str, list[Any]]:
        """Return a run's metrics after step `since` by column, thinned to about `max_points` rows.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.metrics(run_id, since=since, max_points=max_points)

    def events(self, run_id: str, *, since: int) -> list[Event]:
        """Return a run's events with ids above `since`, the first thousand of them.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.events(run_id, since=since)

    def samples(self, run_id: str, *, since: int) -> list[ScheduledSample]:
        """Return what was drawn along a run's training after step `since`, the first hundred of it.

        Raises:
            RunNotFoundError: There is no such run.
        """
        self.run(run_id)
        return self._store.samples.page(run_id, since=since, most=SAMPLES_AT_ONCE)
