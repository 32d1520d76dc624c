"""What a session answers: what happened, at which step, and who asked."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Source = Literal["ui", "rest", "cli", "mcp", "session"]
EventKind = Literal[
    "run_created",
    "run_forked",
    "run_resumed",
    "memory_chosen",
    "autocast_chosen",
    "training_started",
    "training_paused",
    "training_stopped",
    "telemetry_changed",
    "telemetry_thinned",
    "alert_action_changed",
    "samples_scheduled",
    "growth_rule_changed",
    "anneal_started",
    "anneal_finished",
    "steps_requested",
    "steps_ended",
    "drift_alert",
    "spike_alert",
    "nonfinite_alert",
    "disk_alert",
    "disk_recovered",
    "held_out_stalled",
    "diverged",
    "checkpoint_saved",
    "checkpoint_damaged",
    "checkpoint_deleted",
    "evaluated",
    "baselines_computed",
    "sample",
    "failed",
]


class Event(BaseModel):
    """Something that happened to a run, kept for ever.

    Attributes:
        event_id: Rises by at least one with each event of the store: the cursor.
        step: Updates done when it happened.
        at: Unix time in seconds.
        source: Who asked; "session" for what the run did by itself.
        payload: What there is to say, by kind (docs/api.md lists the fields).
    """

    model_config = ConfigDict(frozen=True)

    event_id: int
    run_id: str
    step: int
    at: float
    kind: EventKind
    source: Source
    payload: dict[str, Any]


class StepEvent(BaseModel):
    """What one update measured.

    Attributes:
        step: Updates done, this one included.
        at: Unix time in seconds.
        elapsed_s: Seconds this run has spent stepping.
        bytes_seen: Bytes of text trained on so far.
        loss: Nats per payload bit of this step's batch, λ terms excluded.
        bits_per_byte: The same in bits per byte.
        validation_bits_per_byte: The quick estimate on held-out text, at the steps that make one.
        validation_bits_per_bit: What each bit of a byte has in it, in bits: b7, the most significant, to b0.
        bound_bits_per_byte: What this step's masked windows cost at most, by its masks; None where none were.
        validation_bound_bits_per_byte: The quick estimate of that bound on held-out text, at the steps of
            the other; None where nothing is denoised.
        K: Negentropy of the predictions on this step's batch.
        C: LZ complexity of a probe sample, at the steps that draw one.
        S: Symbiosis of the same probe sample.
        symbiosis_kl: Bits per bit; from the model's predictions of that sample to the reference's.
        utf8_validity: Share of that sample's bytes that belong to characters, in [0, 1]; None where the
            training text is not UTF-8 itself.
        gradient_norm: Before clipping.
        gradient_norm_blocks: The same of each part of the model, as `gradient_norms` has them, at the steps
            that look at the model.
        learning_rate: AdamW's, as used by this update.
        bytes_per_s: Bytes of this batch over the seconds its update took.
        attention_entropy: Bits; mean over layers, heads and positions of a window of held-out text, at the
            steps that look at the model.
        attention_entropy_layers: The same for each layer, the first layer first.
        attention_entropy_heads: The same for each layer and, in it, each head; to a thousandth of a bit.
        inversion_error: Of `Reversibility`, at the same steps; 0.0 is exact.
        gradient_agreement: Of the same.
        depth_mean: Mean layers a position used, from 1 to num_layers; None without adaptive computation.
        compressed_bits_per_byte: What this step's windows of run lengths cost, in bits per byte of the
            lengths; None where there were none.
        resident_bytes: Resident set of the process, at most a second old; None where no /proc tells it.
        telemetry_share: Share of the last minute's stepping that telemetry took, in [0, 1].
    """

    model_config = ConfigDict(frozen=True)

    step: int
    at: float
    elapsed_s: float
    bytes_seen: int
    loss: float
    bits_per_byte: float
    validation_bits_per_byte: float | None = None
    validation_bits_per_bit: tuple[float, ...] | None = None
    K: float
    C: float | None = None
    S: float | None = None
    symbiosis_kl: float | None = None
    utf8_validity: float | None = None
    gradient_norm: float
    gradient_norm_blocks: tuple[float, ...] | None = None
    learning_rate: float
    bytes_per_s: float
    attention_entropy: float | None = None
    attention_entropy_layers: tuple[float, ...] | None = None
    attention_entropy_heads: tuple[tuple[float, ...], ...] | None = None
    inversion_error: float | None = None
    gradient_agreement: float | None = None
    depth_mean: float | None = None
    bound_bits_per_byte: float | None = None
    validation_bound_bits_per_byte: float | None = None
    compressed_bits_per_byte: float | None = None
    resident_bytes: int | None = None
    telemetry_share: float | None = None


METRIC_COLUMNS = tuple(StepEvent.model_fields)

SEEN_COLUMNS = (
    "validation_bits_per_byte",
    "validation_bits_per_bit",
    "validation_bound_bits_per_byte",
    "C",
    "S",
    "symbiosis_kl",
    "utf8_validity",
    "gradient_norm_blocks",
    "attention_entropy",
    "attention_entropy_layers",
    "attention_entropy_heads",
    "inversion_error",
    "gradient_agreement",
)
"""What is only known at the steps that look for it, and is not computed again with them."""
