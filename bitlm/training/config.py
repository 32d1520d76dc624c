"""The settings of training, checked when made."""

from dataclasses import dataclass
from math import isfinite

from bitlm.errors import ConfigError
from bitlm.model import check_autocast

INTERVALS = ("validation_interval", "probe_interval", "diagnostics_interval", "checkpoint_interval")


@dataclass(frozen=True)
class TrainingConfig:
    """How the weights are trained and how often quality is looked at.

    Attributes:
        batch_size: Windows in a step, at least 1.
        accumulation_steps: Parts of equal size that a step is computed in, a power of two: one after another
            in the memory of one, or shared among that many processes or fewer, to the same bits.
        learning_rate: Peak step size of AdamW, for embeddings, norms and the head; in (0, 1].
        matrix_learning_rate: Peak step size of Muon, for the trunk's matrices; in (0, 1].
        warmup_steps: Steps over which both rates rise linearly from 0.
        weight_decay: Decoupled weight decay, as a share of the step size; in [0, 1].
        gradient_clip: Largest gradient norm a step uses; above it the gradient is scaled down.
        ponder_cost: With ACT, what running a layer costs a position, in nats per payload bit, from 0 to 1: a
            layer is left out where it lowers the loss by less. At 0 depth is free, and no position halts.
        ponder_budget: The share of the layers that positions may run on the mean at no cost, in [0, 1]: only
            what they run beyond is charged, so that a high price does not close every gate.
        ponder_start: Updates done before ponder cost is charged, all at full depth, while the layers become
            worth something.
        causal_share: With objective="mixed", the share of a step's windows that are causal to begin with, in
            [0, 1]; the others are denoised.
        mask_floor: Where a text is denoised, the least share that a masked part's cost is divided by, in
            (0, 1]: lower is nearer to the bound, and rougher.
        mask_curriculum_steps: Updates over which the least share masked falls from 1 to 0, as training may
            begin with hardly anything known; 0 spreads the shares over all from the first update on.
        validation_interval: Steps between two validation figures.
        probe_interval: Steps between two probe samples (C and S), once training has settled.
        diagnostics_interval: Steps between two looks at the model itself (attention entropy, gradient by
            parts, reversibility), once training has settled.
        telemetry_budget: Share of the run's time that telemetry may take, in (0, 1]. Where it would be more,
            probes and looks come at longer intervals; 1 leaves them as they are.
        checkpoint_interval: Steps between two automatic checkpoints.
        reference_bytes: Of a longer training text the reference model counts this many bytes at its end.
            Each takes one byte on the disk and one and a half in memory.
        compress_prob: With objective="causal", the probability of each of a step's windows but the first to
            hold the run lengths of its text's bits in place of the text (`bitlm.run_length.run_length_rows`),
            in [0, 1]. What they cost stands apart from the text's loss.
        autocast: "bf16" computes the trunk's branches in bf16 while training, "off" in fp32; "auto" lets
            this machine choose (`choose_autocast`) when the run is made, which then has what was chosen.
        qat: Whether training knows that the weights will be kept in 4 bits (quantisation-aware training): the
            model has such weights at every step, and a 4-bit file of it is exact (`bitlm.training.latent`).

    Raises:
        ConfigError: A value is out of its range; the error names field and range.
    """

    batch_size: int = 4
    accumulation_steps: int = 1
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 2e-2
    warmup_steps: int = 20
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ponder_cost: float = 0.005
    ponder_budget: float = 0.75
    ponder_start: int = 100
    causal_share: float = 0.5
    mask_floor: float = 0.1
    mask_curriculum_steps: int = 0
    validation_interval: int = 50
    probe_interval: int = 50
    diagnostics_interval: int = 100
    telemetry_budget: float = 0.02
    checkpoint_interval: int = 500
    reference_bytes: int = 2**26
    compress_prob: float = 0.0
    autocast: str = "off"
    qat: bool = False

    def __post_init__(self) -> None:
        self._check_count("batch_size", low=1, high=4096)
        self._check_count("accumulation_steps", low=1, high=4096)
        self._check_parts()
        self._check_number("learning_rate", low=0.0, high=1.0, low_allowed=False)
        self._check_number("matrix_learning_rate", low=0.0, high=1.0, low_allowed=False)
        self._check_count("warmup_steps", low=0, high=1_000_000)
        self._check_number("weight_decay", low=0.0, high=1.0)
        self._check_number("gradient_clip", low=0.0, high=1e6, low_allowed=False)
        self._check_number("ponder_cost", low=0.0, high=1.0)
        self._check_number("ponder_budget", low=0.0, high=1.0)
        self._check_count("ponder_start", low=0, high=1_000_000)
        self._check_number("causal_share", low=0.0, high=1.0)
        self._check_number("mask_floor", low=0.0, high=1.0, low_allowed=False)
        self._check_count("mask_curriculum_steps", low=0, high=1_000_000)
        self._check_number("telemetry_budget", low=0.0, high=1.0, low_allowed=False)
        for interval in INTERVALS:
            self._check_count(interval, low=1, high=1_000_000)
        self._check_count("reference_bytes", low=1, high=2**31 - 1)
        self._check_number("compress_prob", low=0.0, high=1.0)
        if self.compress_prob > 0 and self.batch_size == 1:
            fix = "use 0, or a batch_size of at least 2: the first window of a step is always text."
            raise ConfigError("compress_prob", self.compress_prob, fix)
        check_autocast(self.autocast)
        if not isinstance(self.qat, bool):
            raise ConfigError("qat", self.qat, "use true or false.")

    @property
    def rows_at_once(self) -> int:
        """Windows whose activations are in memory together."""
        return self.batch_size // self.accumulation_steps

    def ponder_cost_after(self, steps: int) -> float:
        """Return the ponder cost that the update after this many is charged."""
        return self.ponder_cost if steps >= self.ponder_start else 0.0

    def least_masked_share(self, steps: int) -> float:
        """Return the least share that the update after so many masks."""
        return max(0.0, 1 - steps / self.mask_curriculum_steps) if self.mask_curriculum_steps else 0.0

    def _check_parts(self) -> None:
        parts, rows = self.accumulation_steps, self.batch_size
        if parts.bit_count() != 1:
            fix = "use a power of two, such as 2, 4 or 8."
            raise ConfigError("accumulation_steps", parts, fix)
        if rows % parts:
            fits = -(-rows // parts) * parts
            fix = f"it is to divide batch_size, which is {rows}; use a batch_size of {fits}."
            raise ConfigError("accumulation_steps", parts, fix)

    def _check_count(self, field: str, *, low: int, high: int) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(field, value, f"use a whole number from {low} to {high}.")

    def _check_number(self, field: str, *, low: float, high: float, low_allowed: bool = True) -> None:
        value = getattr(self, field)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        if not is_number or not low <= value <= high or (value == low and not low_allowed):
            bound = "from" if low_allowed else "above"
            raise ConfigError(field, value, f"use a number {bound} {low} up to {high}.")
