"""The live model as others see it: ask and be answered; look at its status and never wait."""

from collections.abc import Callable
from threading import BoundedSemaphore
from typing import TypeVar

from app.service.answers import Status
from app.service.calibration import CalibrationAnswer, Calibrator
from app.service.coding import Coder, Coding
from app.service.disk import DEFAULT_LIMITS, DiskGuard, DiskLimits, DiskReport
from app.service.distillations import DistillationReport, distillations, options_of
from app.service.errors import BusyError, NoRunError, NotReadyError
from app.service.estimate import Estimator, RunEstimate
from app.service.follower import Follower
from app.service.jobs import Jobs
from app.service.replays import ReplayReport, replays
from app.service.requests import ReadText, Request, SaveCheckpoint
from app.service.roundings import RoundingReport, roundings
from app.service.worker import Worker
from bitlm.data import length_at, require_window
from bitlm.history.branching import chosen_checkpoint
from bitlm.history.distilling import Student, require_distillable
from bitlm.history.replay import Replay
from bitlm.model import ModelConfig
from bitlm.session import CheckpointPolicy, RunStore
from bitlm.session.events import Source
from bitlm.session.policy import DEFAULT_POLICY
from bitlm.training import TrainingConfig

Answer = TypeVar("Answer")

MOST_WAITING = 32
"""Requests that wait for the model at once."""


class ModelManager:
    """One live model for many askers. `start` it once, `close` it once.

    Attributes:
        replays: Does runs again; `replay` begins.
        distillations: Makes students; `distil` begins one.
        roundings: Measures what models in fewer bits take and cost; `measure_rounding` begins.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        torch_threads: int,
        policy: CheckpointPolicy = DEFAULT_POLICY,
        disk_limits: DiskLimits = DEFAULT_LIMITS,
        max_waiting: int = MOST_WAITING,
        follower: Follower | None = None,
    ) -> None:
        """With a `follower` there is no model: what another process does is watched, and nothing done."""
        self._max_waiting, self._places = max_waiting, BoundedSemaphore(max_waiting)
        self._store = store
        self._guard = DiskGuard(store.data_dir, disk_limits)
        self._observers: list[Callable[[], None]] = []
        self._calibrator = Calibrator()
        self._estimator = Estimator(torch_threads)
        self.replays: Jobs[ReplayReport] = replays(store)
        self.distillations: Jobs[DistillationReport] = distillations(store)
        self.roundings: Jobs[RoundingReport] = roundings(store)
        self._coder = Coder(store.data_dir)
        self._worker: Follower | Worker = follower or Worker(
            store,
            torch_threads=torch_threads,
            policy=policy,
            guard=self._guard,
            on_change=self._notify,
        )
        if follower is not None:
            follower.observe(self._notify)

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after every change, in the worker's thread: it must not wait."""
        self._observers.append(observer)

    def _notify(self) -> None:
        for observer in self._observers:
            observer()

    def start(self) -> None:
        """Take up the newest run and begin to answer."""
        self._worker.start()

    def wait_until_settled(self, timeout_s: float | None = None) -> bool:
        """Wait until the newest run is taken up, or could not be; return whether that is so."""
        return self._worker.wait_until_settled(timeout_s)

    def request_stop(self) -> None:
        """Begin to stop: after the step at hand the last checkpoint is written."""
        self._worker.request_stop()

    def close(self) -> None:
        """Stop, and wait for the last checkpoint."""
        self._worker.request_stop()
        self.replays.close()
        self.distillations.close()
        self.roundings.close()
        self._coder.close()
        self._worker.join()

    @property
    def is_alive(self) -> bool:
        """Whether requests are being answered."""
        return self._worker.is_alive

    @property
    def silent_s(self) -> float:
        """Seconds since the model's thread gave a sign of life."""
        return self._worker.silent_s

    def disk(self) -> DiskReport:
        """Return the room there is on the disk now."""
        return self._guard.look()

    def ask(self, request: Request[Answer], source: Source) -> Answer:
        """Return the answer to `request`, between two steps if training runs.

        Raises:
            BitLMError: Whatever was wrong with it.
            NotReadyError: A run is being computed up to where it was, which can take minutes.
            BusyError: Too many wait for it already.
            ServiceStoppingError: The service is shutting down.
        """
        resuming = self.status().resuming
        if resuming is not None:
            raise NotReadyError(
                f"the run is being computed up to where it was: step {resuming.step} of {resuming.until}; "
                "repeat the request when /readyz answers 200."
            )
        if not self._places.acquire(blocking=False):
            raise BusyError(self._max_waiting, "requests wait for the model")
        try:
            answer: Answer = self._worker.submit(request, source).result()
        finally:
            self._places.release()
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

    def estimate(self, model: ModelConfig, training: TrainingConfig, text: str | int) -> RunEstimate:
        """Return what a run would take; `text` is its length in bytes, or where it is to be read.

        Raises:
            CorpusError: The text is not there, or too short.
        """
        length = length_at(text) if isinstance(text, str) else text
        if length is not None:
            require_window(text if isinstance(text, str) else "text", length, model.window_bytes)
        is_busy = self.status().state in {"training", "initializing", "resuming"}
        return self._estimator.estimate(model, training, text_bytes=length, is_busy=is_busy)

    def compress(self, name: str, data: bytes, source: Source) -> Coding:
        """Begin to make a file small with the live model, which is saved for good: the file depends on it.

        Raises:
            NoRunError: There is none.
            StateConflictError: Another file is being coded.
        """
        self._coder.require_idle()
        run_id = self.status().run_id
        if run_id is None:
            raise NoRunError
        step = self.ask(SaveCheckpoint(run_id), source)
        return self._coder.compress(run_id, step, name, data)

    def decompress(self, name: str, data: bytes) -> Coding:
        """Begin to give a file back with the model that it names, whichever run is live.

        Raises:
            CompressionError: The file is none of ours.
            StateConflictError: Another file is being coded.
        """
        return self._coder.decompress(name, data)

    def end_coding(self, coding: Coding) -> None:
        """Let go of a file, whether it is done or not."""
        self._coder.end(coding)

    def replay(self, run_id: str) -> ReplayReport:
        """Begin to do a run again from its beginning.

        Raises:
            RunNotFoundError: There is no such run.
            JournalError: It has saved nothing of its own to compare with.
            CheckpointError: It is a branch, and the checkpoint it began at was deleted.
            StateConflictError: Another replay is under way.
        """
        Replay(self._store, run_id).whole()
        return self.replays.start(run_id)

    def distil(self, run_id: str, wanted: Student, *, step: int | None, source: Source) -> DistillationReport:
        """Begin to make a student of a run's model as a checkpoint has it, None being the newest.

        Raises:
            RunNotFoundError: There is no such run.
            CheckpointError: There is no whole checkpoint of that step.
            ConfigError: The model denoises, or no student is so small.
            StateConflictError: Another distillation is under way.
        """
        require_distillable(self._store.run(run_id).config.model, wanted)
        chosen_checkpoint(self._store, run_id, step)
        return self.distillations.start(run_id, *options_of(wanted, step=step, source=source))

    def measure_rounding(self, run_id: str, step: int | None) -> RoundingReport:
        """Begin to measure what a run's model takes and costs in fewer bits, as a checkpoint has it.

        Raises:
            RunNotFoundError: There is no such run.
            CheckpointError: There is no whole checkpoint of that step, None being the newest.
            StateConflictError: Another measurement is under way.
        """
        self._store.run(run_id)
        record = chosen_checkpoint(self._store, run_id, step)
        return self.roundings.start(run_id, f"--checkpoint={record.step}")

    def status(self) -> Status:
        """Return the newest status; never waits for the model."""
        return self._worker.status

    def label(self, run_id: str, *, name: str | None, tags: tuple[str, ...], archived: bool) -> None:
        """Set what a run is called, its tags, and whether it is put away.

        Raises:
            RunNotFoundError: There is no such run.
        """
        assert isinstance(self._worker, Worker), "who only watches names no run"
        self._store.run(run_id)
        self._store.label_run(run_id, name=name, tags=tags, archived=archived)
        self._worker.note_label(run_id, name)
