"""A run without its memory: what the weights are a function of, and nothing else.

The same journal followed from the same state gives the same bits; resuming after a crash, replaying a
run and training a counterfactual twin are therefore one and the same walk (docs/decisions/0004).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor

from bitlm.bits import encode_frames
from bitlm.context_index import Counts
from bitlm.data import Corpus, Text, cut, window_starts, windows
from bitlm.distributed import ALONE, Group
from bitlm.earlier_counts import EarlierCounts
from bitlm.errors import CheckpointError
from bitlm.model import BitTransformer, MemoryChoice, choose_memory, cpu_autocast
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.run_length import run_length_rows
from bitlm.session.checkpoint import Checkpoint, Snapshot
from bitlm.session.commands import AlertAction, GrowthRule, SampleSchedule, TelemetrySettings
from bitlm.session.config import RunConfig
from bitlm.session.events import EventKind
from bitlm.session.step_windows import Step, causal_rows
from bitlm.training import (
    Aims,
    Annealing,
    Batch,
    MaskedBatch,
    StepResult,
    Trainer,
    bits_per_byte,
    learning_rate_factor,
    masked_batch,
)
from bitlm.version import VERSION

JOURNAL_KINDS: tuple[EventKind, ...] = (
    "telemetry_changed",
    "alert_action_changed",
    "samples_scheduled",
    "growth_rule_changed",
    "anneal_started",
    "steps_requested",
    "steps_ended",
)
"""The events that decide what the next steps compute, what alerts lead to, what is drawn beside the steps and
when the run goes on as a larger one; other kinds only tell."""

Texts = Callable[[str], Text]
"""Returns a kept text by its SHA-256."""


@dataclass(frozen=True)
class StepsRequest:
    """Steps that somebody asked for in one request.

    Attributes:
        began: The step it was made at.
        until: The step it ends with.
        sha256: Of the text to train on; None for the corpus.
        text: That text.
    """

    began: int
    until: int
    sha256: str | None = None
    text: Text | None = None

    def progress(self, step: int) -> dict[str, int]:
        """Return how many steps were requested, and how many are done at `step`."""
        return {"requested": self.until - self.began, "done": step - self.began}


@dataclass(frozen=True)
class Update:
    """What one update did.

    Attributes:
        result: What the trainer measured.
        batch_bytes: The bytes it saw.
        measured: The figures that a repetition of this step must repeat to the last bit, by the names
            they have in a StepEvent.
    """

    result: StepResult
    batch_bytes: int
    measured: dict[str, Any]


class Learner:
    """Model, optimizer and the settings in force.

    Attributes:
        telemetry: λ and floors in force from the next step on.
        alert_action: What an alert leads to.
        sample_schedule: What is drawn along training, or None.
        growth_rule: When the run is to go on as a larger one; None for never.
        step_count: Updates done.
        bytes_seen: Bytes trained on.
        annealing: The decay in progress or finished, if one was asked for.
        request: The steps last asked for in one request, until they are done or ended.

    Args:
        group: The processes that share a step's parts.
    """

    def __init__(
        self, config: RunConfig, corpus: Corpus, reference: ReferenceModel, group: Group = ALONE
    ) -> None:
        torch.set_num_threads(config.threads)
        self.config = config
        self.corpus = corpus
        self.telemetry = self._first_settings()
        self.alert_action: AlertAction = "notify"
        self.sample_schedule: SampleSchedule | None = None
        self.growth_rule: GrowthRule | None = None
        self.step_count = 0
        self.bytes_seen = 0
        self.annealing: Annealing | None = None
        self.request: StepsRequest | None = None
        self._model = BitTransformer(config.model, seed=counter_seed(config.seed, 0, "weights"))
        self._model.reference = reference
        self._model.eval()
        self._group = group
        self._trainer = self._make_trainer()

    @property
    def model(self) -> BitTransformer:
        """The live model, as the last update left it."""
        return self._model

    def _make_trainer(self) -> Trainer:
        return Trainer(self._model, self.config.training)

    def choose_memory(self) -> MemoryChoice | None:
        """Let this machine choose the memory mode if the run leaves it open, else return None.

        It decides what a step takes, and not one bit of what it computes.
        """
        if self.config.model.memory != "auto":
            return None
        training = self.config.training
        with cpu_autocast(self._model, training.autocast):
            choice = choose_memory(self._model, training.rows_at_once)
        self._model.trunk.memory = choice.memory
        return choice

    # The journal

    def follow(self, kind: EventKind, payload: dict[str, Any], texts: Texts) -> None:
        """Let an entry of the journal take effect from the next step on; other kinds have none."""
        if kind == "telemetry_changed":
            update = {change["field"]: change["new"] for change in payload["changes"]}
            self.telemetry = self.telemetry.model_copy(update=update)
        elif kind == "alert_action_changed":
            self.alert_action = payload["new"]
        elif kind == "samples_scheduled":
            self.sample_schedule = _schedule(payload["new"])
        elif kind == "growth_rule_changed":
            self.growth_rule = _rule(payload["new"])
        elif kind == "anneal_started":
            self.annealing = Annealing(self.step_count, payload["steps"], self.rate_factor())
        elif kind == "steps_requested":
            until = self.step_count + payload["steps"]
            self.request = _request(self.step_count, until, payload.get("sha256"), texts)
        elif kind == "steps_ended":
            self.request = None

    def rate_factor(self) -> float:
        """Return the share of the peak learning rates that the next update uses."""
        return learning_rate_factor(self.step_count, self.config.training.warmup_steps, self.annealing)

    @property
    def has_request(self) -> bool:
        """Whether the next step is one that was asked for by number."""
        return self.request is not None and self.step_count < self.request.until

    # Steps

    def update(self) -> Update:
        """Do one update; when something is not finite, the weights and the count stay as they are.

        Raises:
            GridOverflowError: An activation left the range in which the model is exact.
        """
        step, count = self._step(), self.config.training.accumulation_steps
        ends = [len(step.batch) * part // count for part in range(count + 1)]
        rate_factor = self.rate_factor()
        result = self._trainer.update_in_parts(
            (self._part(step, part, *ends[part : part + 2]) for part in self._own(count)),
            rows=len(step.batch),
            aims=Aims(self.telemetry.lambdas, self.config.training.ponder_cost_after(self.step_count)),
            rate_factor=rate_factor,
            group=self._group,
        )
        if result.finite:
            self.step_count += 1
            self.bytes_seen += step.batch.numel()
        measured = {
            "loss": result.loss,
            "bits_per_byte": bits_per_byte(result.loss),
            "K": result.negentropy,
            "gradient_norm": result.gradient_norm,
            "learning_rate": rate_factor * self.config.training.learning_rate,
            "bytes_seen": self.bytes_seen,
            "depth_mean": result.depth_mean,
            "bound_bits_per_byte": result.bound and bits_per_byte(result.bound),
            "compressed_bits_per_byte": result.compressed and bits_per_byte(result.compressed),
        }
        return Update(result, step.batch.numel(), measured)

    def _own(self, parts: int) -> range:
        """Return which of a step's parts this learner learns from."""
        return self._group.own(parts)

    def _step(self) -> Step:
        """Return this step's windows, and what each of them is for."""
        batch, starts = self._batch()
        causal = causal_rows(self.telemetry.causal_share, len(batch)) - self._compressed_rows(len(batch))
        denoises = causal < len(batch) and self.config.model.objective != "causal"
        return Step(batch, starts, causal, self._masked(batch[causal:]) if denoises else None)

    def _part(self, step: Step, part: int, begin: int, end: int) -> Batch | None:
        """Return some of a step's windows with all that is needed to learn from them; None of none."""
        if begin == end:
            return None
        key = counter_seed(self.config.seed, self.step_count, "dropout", *([part] if part else []))
        causal_end = min(max(begin, step.causal), end)
        text, beside = step.batch[begin:causal_end], step.batch[causal_end:end]
        others = slice(causal_end - step.causal, end - step.causal)
        return Batch(
            encode_frames(text, parity=self.config.model.parity) if len(text) else None,
            key,
            counts=self._counts(text, step.starts, begin) if len(text) else None,
            reference_probabilities=self._reference_probabilities(text) if len(text) else None,
            masked=step.masked.rows(others) if len(beside) and step.masked is not None else None,
            compressed=self._run_lengths(beside) if len(beside) and step.masked is None else None,
        )

    def _batch(self) -> tuple[UInt8[Tensor, "batch byte"], Int64[np.ndarray, "batch"] | None]:
        """Return this step's windows, and where in the text each begins; None for a text handed over."""
        window = self.config.model.window_bytes
        rows = self.config.training.batch_size
        draw = generator(self.config.seed, self.step_count, "batch")
        text = self.request.text if self.request is not None and self.has_request else None
        if text is not None:
            rows = min(rows, len(text) // window) or 1
            return windows(text, min(window, len(text)), rows, draw), None
        starts = window_starts(self.corpus.train, window, rows, draw)
        return cut(self.corpus.train, window, starts), starts.numpy()

    def _counts(
        self, batch: UInt8[Tensor, "batch byte"], starts: Int64[np.ndarray, "step"] | None, first: int
    ) -> Counts | None:
        """Return what is mixed into the prediction of some of a step's windows; None for the model's own.

        Args:
            batch: These windows.
            starts: Where each of the step's begins; None for a text that is not counted by the reference,
                which may therefore be asked as it is.
            first: The place of these among the step's.
        """
        if self._model.mixer is None or starts is None:
            return None
        before = len(self.corpus.train) - self._earlier.length
        places = starts[first : first + len(batch)] - before
        return self._earlier.of_step(self.step_count + first, batch.numpy(), places, self._model.mixer.order)

    def _masked(self, batch: UInt8[Tensor, "batch byte"]) -> MaskedBatch:
        """Return this step's windows that are denoised, with what is masked of them."""
        key = counter_seed(self.config.seed, self.step_count, "masks")
        least = self.config.training.least_masked_share(self.step_count)
        return masked_batch(batch, self.config.model, key, least_share=least)

    def _compressed_rows(self, rows: int) -> int:
        """Return how many of this step's windows hold run lengths, the last ones; the first never does."""
        probability = self.config.training.compress_prob
        if probability == 0.0:
            return 0
        draw = generator(self.config.seed, self.step_count, "compressed")
        return int((torch.rand(rows - 1, generator=draw) < probability).sum())

    def _run_lengths(self, batch: UInt8[Tensor, "batch byte"]) -> Integer[Tensor, "batch bit"]:
        """Return frames of the run lengths of these windows."""
        told = torch.from_numpy(run_length_rows(batch.numpy()))
        return encode_frames(told, parity=self.config.model.parity)

    def _reference_probabilities(
        self, batch: UInt8[Tensor, "batch byte"]
    ) -> Float[Tensor, "batch bit"] | None:
        """Return what the reference says of the batch where λ_S asks for it, else None."""
        if self.telemetry.lambda_S == 0.0:
            return None
        reference = self._model.reference
        assert reference is not None, "a learner's model always carries its reference"
        return torch.from_numpy(reference.window_probabilities(batch.numpy()))

    @cached_property
    def _earlier(self) -> EarlierCounts:
        """The counts before each byte of the text that the reference has counted."""
        counted = self.corpus.train[-self.config.training.reference_bytes :]
        return EarlierCounts(np.frombuffer(counted, dtype=np.uint8))

    def _first_settings(self) -> TelemetrySettings:
        is_mixed = self.config.model.objective == "mixed"
        return TelemetrySettings(causal_share=self.config.training.causal_share if is_mixed else None)

    # State

    def snapshot(self) -> Checkpoint:
        """Return all that is needed to go on from here."""
        return Checkpoint(self._model.state_dict(), self._trainer.optimizer.tensors(), self._state())

    def to_save(self) -> Snapshot:
        """Return what a checkpoint of now is written from."""
        return self.snapshot()

    def _state(self) -> dict[str, Any]:
        annealing, request = self.annealing, self.request
        state = {
            "step": self.step_count,
            "bytes_seen": self.bytes_seen,
            "telemetry": self.telemetry.model_dump(),
            "alert_action": self.alert_action,
            "sample_schedule": self.sample_schedule and self.sample_schedule.model_dump(),
            "growth_rule": self.growth_rule and self.growth_rule.model_dump(),
            "annealing": vars(annealing) if annealing else None,
        }
        if request is not None and self.has_request:
            state["request"] = {"began": request.began, "until": request.until, "sha256": request.sha256}
        return state

    def restore(self, checkpoint: Checkpoint, texts: Texts) -> None:
        """Go back, or on, to that state, in the middle of a request if it was.

        Raises:
            CheckpointError: Its weights are those of a model that another version made.
        """
        state = checkpoint.state
        require_fitting(checkpoint.weights, self._model, self.config.version)
        self._load(checkpoint)
        self.step_count = state["step"]
        self.bytes_seen = state["bytes_seen"]
        first = self._first_settings().model_dump()  # earlier versions had fewer
        self.telemetry = TelemetrySettings.model_validate(first | state["telemetry"])
        self.alert_action = state.get("alert_action", "notify")  # earlier versions had none
        self.sample_schedule = _schedule(state.get("sample_schedule"))
        self.growth_rule = _rule(state.get("growth_rule"))
        self.annealing = Annealing(**state["annealing"]) if state["annealing"] else None
        request = state.get("request")
        self.request = _request(**request, texts=texts) if request else None

    def _load(self, checkpoint: Checkpoint) -> None:
        self._model.load_state_dict(checkpoint.weights)
        self._trainer.optimizer.load_tensors(checkpoint.optimizer)


MakeLearner = Callable[[RunConfig, Corpus, ReferenceModel], Learner]
"""Makes a run's learner, such as `Learner` itself."""


def require_fitting(weights: Mapping[str, Tensor], model: BitTransformer, version: str) -> None:
    """Check that a run's weights are this version's, by their names.

    Args:
        weights: Of a checkpoint.
        model: What they are for.
        version: The one that made the run.

    Raises:
        CheckpointError: They are not.
    """
    if weights.keys() != model.state_dict().keys():
        raise CheckpointError(
            f"the run was made by BitLM {version}, whose model has other weights than that of {VERSION}; "
            "go on with it in that version, or make a new run. Its figures can still be read."
        )


def _schedule(record: dict[str, Any] | None) -> SampleSchedule | None:
    return SampleSchedule(**record) if record else None


def _rule(record: dict[str, Any] | None) -> GrowthRule | None:
    return GrowthRule(**record) if record else None


def _request(began: int, until: int, sha256: str | None, texts: Texts) -> StepsRequest:
    return StepsRequest(began, until, sha256, texts(sha256) if sha256 else None)
