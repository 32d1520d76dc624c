"""What the service answers."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.service.disk import DiskReport
from bitlm.data import Corpus
from bitlm.gate import GateVerdict
from bitlm.safety import Attempt
from bitlm.session import (
    AlertAction,
    GrowthRule,
    RunConfig,
    SampleSchedule,
    StepEvent,
    TelemetrySettings,
)

State = Literal[
    "empty", "initializing", "resuming", "ready", "training", "paused", "stopped", "halted", "failed"
]


class Answered(BaseModel):
    """An answer does not change once given."""

    model_config = ConfigDict(frozen=True)


class CorpusSummary(Answered):
    """The text of a run, by its sizes in bytes and the SHA-256 of the whole.

    Attributes:
        not_utf8: The share of the bytes that belong to no character of UTF-8, in [0, 1]: learned as bytes.
    """

    name: str
    bytes: int
    train_bytes: int
    held_out_bytes: int
    not_utf8: float
    fingerprint: str

    @classmethod
    def of(cls, corpus: Corpus) -> "CorpusSummary":
        """Summarise a corpus."""
        return cls(
            name=corpus.name,
            bytes=len(corpus.data),
            train_bytes=len(corpus.train),
            held_out_bytes=len(corpus.held_out),
            not_utf8=corpus.not_utf8,
            fingerprint=corpus.fingerprint,
        )


class Resuming(Answered):
    """How far a run that is taken up has been computed again."""

    step: int
    until: int


class Watching(Answered):
    """What a service that only watches knows of who writes the run.

    Attributes:
        writer: Who does, such as "bitlm train (process 4711)"; None while nobody does.
        steers: Whether what can be changed by letter is passed on to that one from here.
        owner_url: Where the page of the service that owns the runs is, once it has said so; else None.
        cut_off: Why its own word is not heard; None while it is, and where it is not listened for.
    """

    writer: str | None = None
    steers: bool = False
    owner_url: str | None = None
    cut_off: str | None = None


class Status(Answered):
    """The service at one moment.

    Attributes:
        bytes_per_s: Training speed of the last step; None before the first since the service started.
        bits_per_byte: Of the last training batch.
        validation_bits_per_byte: The newest estimate on held-out text.
        elapsed_s: Seconds the run has spent stepping.
        config: The run's settings, flat.
        baselines: Bits per byte of other compressors on the held-out text; None while they are computed.
        alert_action: What an alert leads to.
        sample_schedule: What is drawn along training, or None.
        growth_rule: When the run is to go on as a larger one; None for never.
        error: What went wrong, in a state of "halted" or "failed", or while the disk is full.
        name: What people call the run.
        annealed_at: The step at which the learning rate has fallen, or will have; None if it does not.
        until: The step at which a twin has caught up with its original and pauses; None for other runs.
        resuming: How far taking up the run has come, in a state of "resuming".
        disk: The room that is left; None before the first look.
        service_started_at: Unix time in seconds; another one means another process, whose word is newer.
        metrics_cursor: The last step that has metrics.
        events_cursor: The id of the run's last event.
        samples_cursor: The step of its last sample along training; -1 for none.
        watching: Of a service that only watches, who writes the run; None of the service that owns it.
    """

    state: State = "empty"
    run_id: str | None = None
    step: int = 0
    parameters: int | None = None
    bytes_seen: int = 0
    bytes_per_s: float | None = None
    bits_per_byte: float | None = None
    validation_bits_per_byte: float | None = None
    elapsed_s: float = 0.0
    config: dict[str, Any] | None = None
    corpus: CorpusSummary | None = None
    baselines: dict[str, float] | None = None
    telemetry: TelemetrySettings = TelemetrySettings()
    alert_action: AlertAction = "notify"
    sample_schedule: SampleSchedule | None = None
    growth_rule: GrowthRule | None = None
    error: str | None = None
    name: str | None = None
    annealed_at: int | None = None
    until: int | None = None
    resuming: Resuming | None = None
    disk: DiskReport | None = None
    service_started_at: float = 0.0
    metrics_cursor: int = 0
    events_cursor: int = 0
    samples_cursor: int = -1
    watching: Watching | None = None


class RunCreated(Answered):
    """A new run, live and ready to train."""

    run_id: str
    parameters: int
    config: dict[str, Any]
    step: int


class Measured(Answered):
    """K of the last training batch; C and S of a probe sample drawn after it."""

    K: float
    C: float | None
    S: float | None


class StepAnswer(Answered):
    """The last of the steps that were asked for.

    Attributes:
        loss: Nats per payload bit of the last batch, λ terms excluded.
        bits_per_byte: The same in bits per byte.
    """

    run_id: str
    step: int
    loss: float
    bits_per_byte: float
    telemetry: Measured

    @classmethod
    def of(cls, run_id: str, event: StepEvent) -> "StepAnswer":
        """Say what `event` measured."""
        telemetry = Measured(K=event.K, C=event.C, S=event.S)
        return cls(
            run_id=run_id,
            step=event.step,
            loss=event.loss,
            bits_per_byte=event.bits_per_byte,
            telemetry=telemetry,
        )


class AttemptReport(Answered):
    """One sample that was drawn: its settings, its text, and what the gate measured.

    Attributes:
        mode: "causal", or "diffusion" where it was denoised.
        text: As far as it was emitted; None where a strict gate keeps what it refuses.
        stopped_at: Bytes after which it was given up, as it could no longer pass; None where it is whole.
    """

    seed: int
    temperature: float
    top_p: float
    mode: str
    text: str | None = None
    passed: bool
    K: float
    C: float
    S: float
    repetition: float
    reasons: tuple[str, ...]
    stopped_at: int | None = None

    @classmethod
    def of(cls, attempt: Attempt, *, is_told: bool) -> "AttemptReport":
        """Say what an attempt was, with its text where it may be told."""
        return cls(
            seed=attempt.seed,
            temperature=attempt.temperature,
            top_p=attempt.top_p,
            mode=attempt.mode,
            text=attempt.text if is_told else None,
            **_figures(attempt.verdict),
        )


class GateReport(Answered):
    """The gate's verdict.

    Attributes:
        attempts: Samples drawn until one passed or the retries were used up.
        repetition: The share that copies of one passage take, from 0 to 1.
        reasons: Why it did not pass, as sentences; empty when it passed.
        stopped_at: As an attempt's; of an answer, which is whole, None.
        log: Each attempt in order.
    """

    passed: bool
    attempts: int
    K: float
    C: float
    S: float
    repetition: float
    reasons: tuple[str, ...]
    stopped_at: int | None = None
    c_floor: float
    s_floor: float
    log: tuple[AttemptReport, ...]

    @classmethod
    def of(cls, verdict: GateVerdict, attempts: Sequence[Attempt], *, are_told: bool) -> "GateReport":
        """Say what a verdict found and how it came to it, with the attempts' texts where they may be told."""
        log = tuple(AttemptReport.of(attempt, is_told=are_told) for attempt in attempts)
        floors = {"c_floor": verdict.c_floor, "s_floor": verdict.s_floor}
        return cls(attempts=len(log), log=log, **floors, **_figures(verdict))


class CharacterSurprise(Answered):
    """A character and the bits of surprise its emission carried."""

    text: str
    surprise_bits: float


class ByteInside(Answered):
    """One byte of a character, and what the model held likely in its place.

    Attributes:
        value: 0 to 255.
        probabilities: The model's for each of its bits as it was emitted, the most significant first. The
            sum of their -log2 is the byte's surprise.
        alternatives: The likeliest bytes with the model's probability of each, the likeliest first; none
            where the model decides bit by bit (patch_bits=1).
    """

    value: int
    probabilities: tuple[float, ...]
    alternatives: tuple[tuple[int, float], ...]


class CharacterInside(CharacterSurprise):
    """A character, and the bytes it is made of."""

    bytes: tuple[ByteInside, ...]


class InferAnswer(Answered):
    """What the model emitted, and the gate's verdict on it.

    Attributes:
        bits: The emitted frames, in the model's format.
        characters: With their bytes where details were asked for.
        gate: Of what was emitted, the prompt excluded.
        seed: Repeating the request with this seed at this step repeats the answer.
    """

    run_id: str
    step: int
    seed: int
    text: str
    bits: tuple[int, ...]
    characters: tuple[CharacterInside | CharacterSurprise, ...]
    gate: GateReport


def flat(config: RunConfig) -> dict[str, Any]:
    """Return a run's settings without their grouping, under the names that POST /init takes."""
    settings = config.model_dump(mode="json")
    model, training = settings.pop("model"), settings.pop("training")
    return {**model, **training, **settings}


def _figures(verdict: GateVerdict) -> dict[str, Any]:
    names = ("passed", "K", "C", "S", "repetition", "reasons", "stopped_at")
    return {name: getattr(verdict, name) for name in names}
