"""One optimizer update of a model whose layers are shared among processes: each moves the weights it has."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from bitlm.distributed import ALONE, Group, PairwiseSum, Pipeline, Schedule
from bitlm.errors import ConfigError, GridOverflowError
from bitlm.model import BitTransformer, ModelConfig, Stage, cpu_autocast
from bitlm.training.config import TrainingConfig
from bitlm.training.objective import Lambdas, causal_objective
from bitlm.training.parts import Seen, flat_gradients, norms_of_gradients, set_gradients
from bitlm.training.trainer import Aims, Batch, StepResult, Trainer


@dataclass
class _Step:
    """What a step's parts are, and what they have led to so far.

    Attributes:
        rows: Of all parts.
        failures: The parts of which an activation left the exact range here, and how.
    """

    parts: list[Batch]
    rows: int
    lambdas: Lambdas
    seen: list[Seen] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    gradients: PairwiseSum = field(default_factory=PairwiseSum)


class StagedTrainer(Trainer):
    """The trainer of one stage, which all parts of a step go through.

    Its optimizer knows the whole model; weights of other stages never get a gradient here, so it leaves them
    alone and keeps nothing of them.

    Args:
        model: At least the weights of the stage are there.
        config: The same for all stages.
        stage: This process's.
        schedule: When parts go back.
    """

    def __init__(
        self, model: BitTransformer, config: TrainingConfig, stage: Stage, schedule: Schedule
    ) -> None:
        super().__init__(model, config)
        self.stage = stage
        self._own = [weight for name, weight in model.named_parameters() if stage.has(name)]
        self._schedule = schedule
        self._pipeline: Pipeline | None = None

    def update_in_parts(
        self,
        parts: Iterable[Batch | None],
        *,
        rows: int,
        aims: Aims,
        rate_factor: float,
        group: Group = ALONE,
    ) -> StepResult:
        """Do one update as `Trainer` does, bit for bit, together with the other stages.

        Args:
            parts: All of the step's, as many rows in each; what only the last stage reads may be missing in
                others.
            rows: As for `Trainer.update_in_parts`, like what is not named here.
            aims: λ alone.
            rate_factor: As for `Trainer.update`.
            group: The stages, in their order.

        Raises:
            GridOverflowError: An activation left the exact range in one of the stages.
        """
        self._step = step = _Step([part for part in parts if part is not None], rows, aims.lambdas)
        self.optimizer.zero_grad()
        self.model.train()
        try:
            with cpu_autocast(self.model, self.config.autocast):
                self._pipeline_of(group).run()
        finally:
            self.model.eval()
        set_gradients(self._own, step.gradients.total)
        norms = norms_of_gradients(self.model.parameters())
        seen = [asdict(one) for one in step.seen]
        told = group.gathered({"failures": step.failures, "seen": seen, "norms": norms})
        failures = [(part, rank, said) for rank, each in enumerate(told) for part, said in each["failures"]]
        if failures:
            raise GridOverflowError(min(failures)[2])
        of_all = [next((norm for norm in each if norm is not None), None)
                  for each in zip(*(each["norms"] for each in told), strict=True)]  # fmt: skip
        return self._moved([Seen(**one) for each in told for one in each["seen"]], of_all, rate_factor)

    def load_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what the optimizers of all stages remember, where it is of this stage's weights."""
        self.optimizer.load_tensors(tensors)
        self.optimizer.forget_all_but(self._own)

    # What the pipeline calls

    def forward(self, part: int, received: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Run this stage on a part; if that fails, go on with anything: others wait for it."""
        batch = self._step.parts[part]
        assert batch.bits is not None, "a part that is denoised goes through no pipeline"
        streams = self.stage.streams_of(self.model, batch.bits) if self.stage.is_first else received
        try:
            streams = self.stage.run(self.model, streams, batch.dropout_seed)
        except GridOverflowError as error:
            self._step.failures.append((part, str(error)))
        return streams

    def loss(self, part: int, streams: tuple[Tensor, ...]) -> Tensor:
        """Return what a part's windows add to what is minimised."""
        batch, hidden = self._step.parts[part], self.model.trunk.merge(*streams)
        assert batch.bits is not None, "a part that is denoised goes through no pipeline"
        predicted = self.model.read_out(hidden, batch.bits, batch.counts)
        objective = causal_objective(
            predicted,
            batch.bits,
            self._step.lambdas,
            reference_probabilities=batch.reference_probabilities,
        )
        self._step.seen.append(Seen.of("causal", batch.rows, objective))
        return objective.total * (batch.rows / self._step.rows)

    def learned(self) -> None:
        """Take in a part's gradient, in the order of `PairwiseSum`."""
        self._step.gradients.add(flat_gradients(self._own))
        self.optimizer.zero_grad()

    def _pipeline_of(self, group: Group) -> Pipeline:
        if self._pipeline is None:
            config = self.model.config
            stream = torch.Size([self.config.rows_at_once, config.positions, config.d_model])
            parts = self.config.accumulation_steps
            self._pipeline = Pipeline(self, group, self._schedule, parts, (stream, stream))
        return self._pipeline


def least_parts(size: int) -> int:
    """Return the least number of parts of a step, a power of two, that so many processes can share."""
    return 1 << (size - 1).bit_length()


def require_stages(model: ModelConfig, training: TrainingConfig, size: int) -> None:
    """Check that a run can be trained in so many stages.

    Raises:
        ConfigError: It cannot; names the setting that is in the way.
    """
    if model.num_layers < size:
        fix = f"each of {size} stages needs a layer; start {model.num_layers} processes or fewer."
        raise ConfigError("num_layers", model.num_layers, fix)
    parts = training.accumulation_steps
    if parts < size:
        least = least_parts(size)
        fix = (
            f"{size} stages have work only with as many parts of a step; a new run has {least} unless told "
            f"otherwise, and `fork RUN --set accumulation_steps={least}` makes one of a run."
        )
        raise ConfigError("accumulation_steps", parts, fix)
    plain = {"use_act": False, "objective": "causal", "compress_prob": 0.0, "qat": False}
    for name, value in plain.items():
        given = getattr(model, name, None) if hasattr(model, name) else getattr(training, name)
        if given != value:
            fix = f"a pipeline's parts are all alike: use {value!r}, or --strategy ddp."
            raise ConfigError(name, given, fix)
