"""A run as a deterministic state machine: commands and steps in, events out.

A run is a function of (config, text, seed, thread count, version, journal). Everything random is
drawn by counter (bitlm.randomness), so nothing about a generator is part of the state. A session
knows no thread and no socket; whoever drives it calls it from one thread.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, NoReturn

import torch
from jaxtyping import UInt8
from torch import Tensor

from bitlm.bits import encode_frames
from bitlm.data import Corpus, windows
from bitlm.errors import BitLMError, ConfigError, GridOverflowError, HaltedError
from bitlm.generation import collect, generate
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import counter_seed, generator
from bitlm.reference import ReferenceModel
from bitlm.session.checkpoint import Checkpoint, load_newest_checkpoint, save_checkpoint
from bitlm.session.commands import Anneal, Command, SetTelemetry, TelemetrySettings
from bitlm.session.config import RunConfig
from bitlm.session.drift_monitor import DriftMonitor
from bitlm.session.events import Event, EventKind, Source, StepEvent
from bitlm.session.run_lock import RunLock
from bitlm.session.store import RunStore
from bitlm.telemetry import Measures, measure
from bitlm.training import (
    Annealing,
    StepResult,
    Trainer,
    TrainingConfig,
    bits_per_byte,
    held_out_bits_per_byte,
    learning_rate_factor,
    validation_bits_per_byte,
)
from bitlm.version import VERSION

PROBE_BYTES = 128
"""Length of the sample C and S are measured on; the floors are meant for this length."""

REFERENCE_FILE = "reference.safetensors"


class Session:
    """One run. Make it with `create` or `open`.

    Attributes:
        config: What the run is a function of.
        corpus: Its text.
        model: The live model; `model.reference` is the reference S compares with.
        telemetry: λ and floors in force from the next step on.
        step_count: Updates done.
        bytes_seen: Bytes trained on.
        elapsed_s: Seconds spent stepping.
        annealing: The decay in progress or finished, if one was asked for.
        halted: Why the run stopped itself, or None.
    """

    def __init__(
        self, store: RunStore, run_id: str, config: RunConfig, corpus: Corpus, reference: ReferenceModel,
        *, clock: Callable[[], float], lock: RunLock | None,
    ) -> None:  # fmt: skip
        torch.set_num_threads(config.threads)
        self.store = store
        self.run_id = run_id
        self.config = config
        self.corpus = corpus
        self.telemetry = TelemetrySettings()
        self.step_count = 0
        self.bytes_seen = 0
        self.elapsed_s = 0.0
        self.annealing: Annealing | None = None
        self.halted: str | None = None
        self.model = BitTransformer(config.model, seed=counter_seed(config.seed, 0, "weights"))
        self.model.reference = reference
        self.model.eval()
        self._trainer = Trainer(self.model, config.training)
        self._drift = DriftMonitor()
        self._clock = clock
        self._lock = lock

    @classmethod
    def create(
        cls, store: RunStore, *, model: ModelConfig, training: TrainingConfig, corpus: Corpus,
        seed: int = 0, threads: int = 1, clock: Callable[[], float] = time.time,
    ) -> "Session":  # fmt: skip
        """Make a new run in the store, with its text, its reference model and a checkpoint of step 0.

        Raises:
            ConfigError: A setting is wrong.
            CorpusError: The text is too short for the model's window.
        """
        corpus.require_window(model.window_bytes)
        config = RunConfig(
            model=model,
            training=training,
            corpus=corpus.name,
            corpus_fingerprint=store.put_data(corpus.data),
            seed=seed,
            threads=threads,
            version=VERSION,
        )
        created_at = clock()
        run_id = f"{datetime.fromtimestamp(created_at, UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"
        reference = ReferenceModel.fit(corpus.train)
        run_dir = store.run_dir(run_id)
        session = cls(store, run_id, config, corpus, reference, clock=clock, lock=RunLock(run_dir))
        reference.save(run_dir / REFERENCE_FILE)
        parameters = session.model.parameter_count
        store.add_run(run_id, created_at=created_at, parameters=parameters, config=config)
        session.record("run_created", {"parameters": parameters, "corpus": corpus.name})
        session.checkpoint()
        return session

    @classmethod
    def open(
        cls, store: RunStore, run_id: str, *, clock: Callable[[], float] = time.time, writable: bool = True
    ) -> "Session":
        """Take up a run at its newest checkpoint.

        The λ and floors are those last acknowledged, even if after that checkpoint. With
        `writable=False` the run is only read: nothing is recorded.

        Raises:
            RunNotFoundError: There is no such run.
            RunBusyError: It is to be written, and another process is writing it.
            CheckpointError: Its newest checkpoint is missing or damaged.
            CorpusError: Its text is missing or was changed.
        """
        config = store.run(run_id).config
        lock = RunLock(store.run_dir(run_id)) if writable else None
        try:
            corpus = Corpus(config.corpus, store.data(config.corpus_fingerprint))
            checkpoint = load_newest_checkpoint(store.run_dir(run_id))
            reference = ReferenceModel.load(store.run_dir(run_id) / REFERENCE_FILE)
        except BitLMError:
            if lock is not None:
                lock.release()
            raise
        session = cls(store, run_id, config, corpus, reference, clock=clock, lock=lock)
        session._restore(checkpoint)
        if writable:
            session._reopen()
        return session

    def close(self) -> None:
        """Let others write the run; what was learned since the last checkpoint is not saved by this."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __iter__(self) -> Iterator[StepEvent]:
        """Step until the run halts."""
        while self.halted is None:
            yield self.step()

    # Commands

    def apply(self, command: Command, *, source: Source) -> Event:
        """Make `command` take effect from the next step on; it is durable when this returns.

        Raises:
            ConfigError: The command asks for something this version cannot do; nothing changes.
        """
        if isinstance(command, SetTelemetry):
            return self._set_telemetry(command, source)
        return self._anneal(command, source)

    def _set_telemetry(self, command: SetTelemetry, source: Source) -> Event:
        old, new = self.telemetry, command.changed(self.telemetry)
        changes = [
            {"field": field, "old": getattr(old, field), "new": getattr(new, field)}
            for field in TelemetrySettings.model_fields
            if getattr(old, field) != getattr(new, field)
        ]
        event = self.record("telemetry_changed", {"changes": changes}, source=source)
        self.telemetry = new
        self._drift.expect_change(self.step_count)
        return event

    def _anneal(self, command: Anneal, source: Source) -> Event:
        factor = self._rate_factor()
        payload = {"steps": command.steps, "from_learning_rate": factor * self.config.training.learning_rate}
        event = self.record("anneal_started", payload, source=source)
        self.annealing = Annealing(self.step_count, command.steps, factor)
        self._drift.expect_change(self.step_count)
        return event

    def record(self, kind: EventKind, payload: dict[str, Any], *, source: Source = "session") -> Event:
        """Keep an event at this step; it is on the disk when this returns."""
        return self.store.add_event(
            self.run_id, step=self.step_count, at=self._clock(), kind=kind, source=source, payload=payload
        )

    # Steps

    def step(
        self, data: bytes | None = None, *, probe: bool = False, source: Source = "session"
    ) -> StepEvent:
        """Do one update, on the corpus or on `data`, and return what it measured.

        Args:
            data: Text to train on instead of the corpus, at least one byte; kept by its hash.
            probe: Measure C and S now even if their turn has not come.
            source: Who handed over `data`.

        Raises:
            HaltedError: The run has stopped itself, now (the loss is not finite) or earlier.
        """
        if self.halted is not None:
            raise HaltedError(self.halted)
        began = self._clock()
        batch = self._batch(data, source)
        rate_factor = self._rate_factor()
        frames = encode_frames(batch, parity=self.config.model.parity)
        result = self._update(frames, rate_factor)
        updated = self._clock()
        self.step_count += 1
        self.bytes_seen += batch.numel()
        validation = self._validation()
        measures = self._probe() if probe or self._probe_is_due() else None
        self.elapsed_s += self._clock() - began
        event = StepEvent(
            step=self.step_count,
            at=self._clock(),
            elapsed_s=self.elapsed_s,
            bytes_seen=self.bytes_seen,
            loss=result.loss,
            bits_per_byte=bits_per_byte(result.loss),
            validation_bits_per_byte=validation,
            K=result.negentropy,
            C=measures.C if measures else None,
            S=measures.S if measures else None,
            gradient_norm=result.gradient_norm,
            learning_rate=rate_factor * self.config.training.learning_rate,
            bytes_per_s=batch.numel() / max(updated - began, 1e-9),
        )
        self.store.add_metrics(self.run_id, event)
        self._after_step(event)
        return event

    def _update(self, frames: UInt8[Tensor, "batch bit"], rate_factor: float) -> StepResult:
        """Update the weights, or halt with the weights of the last good step."""
        try:
            result = self._trainer.update(
                frames,
                rate_factor=rate_factor,
                lambda_K=self.telemetry.lambda_K,
                dropout_seed=counter_seed(self.config.seed, self.step_count, "dropout"),
            )
        except GridOverflowError as error:
            self._halt(str(error))
        if not result.finite:
            self._halt(f"the loss ({result.loss}) or its gradient ({result.gradient_norm}) is not finite.")
        return result

    def _batch(self, data: bytes | None, source: Source) -> UInt8[Tensor, "batch byte"]:
        window = self.config.model.window_bytes
        rows = self.config.training.batch_size
        draw = generator(self.config.seed, self.step_count, "batch")
        if data is None:
            return windows(self.corpus.train, window, rows, draw)
        if not data:
            raise ConfigError(
                "text", "", "give at least one byte to train on, or leave it out to use the corpus."
            )
        self.record("data_supplied", {"sha256": self.store.put_data(data), "bytes": len(data)}, source=source)
        rows = min(rows, len(data) // window) or 1
        return windows(data, min(window, len(data)), rows, draw)

    def _rate_factor(self) -> float:
        return learning_rate_factor(self.step_count, self.config.training.warmup_steps, self.annealing)

    def _validation(self) -> float | None:
        if self.step_count % self.config.training.validation_interval:
            return None
        return validation_bits_per_byte(self.model, self.corpus.held_out)

    def _probe_is_due(self) -> bool:
        """Probe densely at first (steps 1, 2, 4, 8, …), then at every interval."""
        interval, step = self.config.training.probe_interval, self.step_count
        return step % interval == 0 or (step < interval and step & (step - 1) == 0)

    def _probe(self) -> Measures:
        """Measure C and S of what the model says when nobody prompts it."""
        reference = self.model.reference
        assert reference is not None, "a session's model always carries its reference"
        nothing = torch.empty(0, dtype=torch.uint8)
        key = counter_seed(self.config.seed, self.step_count, "probe")
        emitted = generate(self.model, nothing, max_new_bytes=PROBE_BYTES, seed=key)
        sample = collect(emitted, parity=self.config.model.parity)
        return measure(sample.payload_bits, sample.probabilities, reference)

    def _after_step(self, event: StepEvent) -> None:
        for drift in self._drift.observe(event):
            self.record("drift_alert", {"metric": drift.metric, "before": drift.before, "after": drift.after})
        if self.annealing is not None and self.step_count == self.annealing.end_step:
            self.record("anneal_finished", {"learning_rate": event.learning_rate})
        if self.step_count % self.config.training.checkpoint_interval == 0:
            self.checkpoint()

    def _halt(self, cause: str) -> NoReturn:
        self.halted = (
            f"step {self.step_count + 1} failed: {cause} "
            f"The weights are those of step {self.step_count}; start a run with a lower learning rate."
        )
        self.record("nonfinite_alert", {"detail": self.halted})
        raise HaltedError(self.halted)

    # Quality and state

    def evaluate(self, data: bytes | None = None) -> float:
        """Return bits per byte of the whole held-out part, or of `data`, every byte counted once."""
        return held_out_bits_per_byte(self.model, self.corpus.held_out if data is None else data)

    def checkpoint(self) -> Event:
        """Write weights, optimizer and state to the disk, then record it."""
        annealing = self.annealing
        state = {
            "step": self.step_count,
            "bytes_seen": self.bytes_seen,
            "elapsed_s": self.elapsed_s,
            "telemetry": self.telemetry.model_dump(),
            "annealing": vars(annealing) if annealing else None,
        }
        checkpoint = Checkpoint(dict(self.model.state_dict()), self._trainer.optimizer.tensors(), state)
        folder = save_checkpoint(self.store.run_dir(self.run_id), checkpoint)
        return self.record("checkpoint_saved", {"path": str(folder.relative_to(self.store.data_dir))})

    def _restore(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        self.model.load_state_dict(checkpoint.weights)
        self._trainer.optimizer.load_tensors(checkpoint.optimizer)
        self.step_count = state["step"]
        self.bytes_seen = state["bytes_seen"]
        self.elapsed_s = state["elapsed_s"]
        acknowledged = self.store.acknowledged_telemetry(self.run_id)
        self.telemetry = TelemetrySettings.model_validate(state["telemetry"] | acknowledged)
        self.annealing = Annealing(**state["annealing"]) if state["annealing"] else None
        self._drift.expect_change(self.step_count)

    def _reopen(self) -> None:
        """Say so, and drop the metrics of the steps that will be done again."""
        last_step = self.store.run(self.run_id).last_step
        self.store.drop_metrics_after(self.run_id, self.step_count)
        self.record("run_reopened", {"steps_lost": max(0, last_step - self.step_count)})
