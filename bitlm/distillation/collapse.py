"""A small student of a large teacher: made of its weights, trained on its probabilities, held to floors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bitlm.bits import encode_frames
from bitlm.context_index import Counts
from bitlm.data import Corpus, cut, window_starts
from bitlm.distillation.channels import add_channels
from bitlm.distillation.floors import Achieved, Floors, achieved
from bitlm.distillation.pruning import submodel
from bitlm.distillation.representatives import Representatives
from bitlm.distillation.shapes import student_shapes
from bitlm.earlier_counts import EarlierCounts
from bitlm.errors import ConfigError, GridOverflowError
from bitlm.growth import add_layer
from bitlm.model import BitTransformer, ModelConfig, cpu_autocast
from bitlm.randomness import counter_seed, generator
from bitlm.training import (
    Annealing,
    SoftTargets,
    Trainer,
    TrainingConfig,
    bits_per_byte,
    learning_rate_factor,
)

TEACHER_WEIGHT = 0.5
"""Of what a bit is to be learned as, the share that is the teacher's probability; the rest is the bit."""

ANNEALED_SHARE = 0.5
"""Of a round, its last share, in which the learning rate falls."""


@dataclass(frozen=True)
class Lesson:
    """How a student is trained.

    Attributes:
        corpus: The text; the teacher's reference counts its training part.
        training: The recipe; the teacher's, if there is no reason against it.
        steps: Updates of a round, at least 2.
        teacher_weight: Of what a bit is to be learned as, the share that is the teacher's probability; the
            rest is the bit itself.
        seed: Key of every draw.

    Raises:
        ConfigError: A setting is out of range.
    """

    corpus: Corpus
    training: TrainingConfig
    steps: int
    teacher_weight: float = TEACHER_WEIGHT
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 2:  # noqa: PLR2004 - half of them at falling rates
            raise ConfigError("steps", self.steps, "use at least 2.")
        if not 0 <= self.teacher_weight <= 1:
            raise ConfigError("teacher_weight", self.teacher_weight, "use a number from 0 to 1.")


@dataclass(frozen=True)
class Standing:
    """How far a distillation is.

    Attributes:
        round: From 0.
        rounds: How many there will be at most.
        steps: Updates done, of all rounds.
        bits_per_byte: Of the last batch.
    """

    round: int
    rounds: int
    steps: int
    bits_per_byte: float


Progress = Callable[[Standing], None]


@dataclass(frozen=True)
class Round:
    """A student's shape, and what it achieved."""

    config: ModelConfig
    parameters: int
    achieved: Achieved


@dataclass(frozen=True)
class Distilled:
    """A student and how it came about.

    Attributes:
        trainer: Has the student, and its optimizer to go on with.
        rounds: One for each shape that was tried; the last is the student's.
        floors: What it was held to.
    """

    trainer: Trainer
    rounds: tuple[Round, ...]
    floors: Floors

    @property
    def student(self) -> BitTransformer:
        """The smaller model."""
        return self.trainer.model

    @property
    def met(self) -> bool:
        """Whether the student meets all floors."""
        return self.floors.met_by(self.rounds[-1].achieved)


def collapse_submodel(  # noqa: PLR0917 - what others call it with
    teacher: BitTransformer,
    representatives: Representatives,
    target_params: int,
    floors: Floors,
    max_rounds: int = 3,
    width_scale: float = 1.5,
    *,
    heads: int | None = None,
    lesson: Lesson,
    progress: Progress = lambda _: None,
) -> Distilled:
    """Return the smallest student that meets the floors, or the largest there may be.

    The first is cut out of the teacher. Each is trained on text and on what the teacher says of every bit of
    it, and measured; as long as it misses a floor it becomes a layer deeper, and in the end once wider.

    Args:
        teacher: Causal, with its reference; stays as it is.
        representatives: Windows of the text on which telemetry decides what of the teacher is kept.
        target_params: The most weights a student may have.
        floors: What it is to reach.
        max_rounds: How many students, at most; with 1 the largest at once.
        width_scale: How many times as wide as before the MLPs are after they were widened.
        heads: Heads that each layer of a student keeps; None for as many as are in proportion to its MLPs.
        lesson: How each round trains.
        progress: Told after each update.

    Raises:
        ConfigError: A value is out of range, the teacher denoises, or no student is so small.
        CorpusError: The text is shorter than one window.
        MissingReferenceError: The teacher has no reference.
        GridOverflowError: An update was not finite, or an activation left the exact range.

    Source: Muralidharan et al., "Compact Language Models via Pruning and Knowledge Distillation", NeurIPS
    2024.
    """
    require_teacher(teacher.config)
    shapes = student_shapes(teacher.config, target_params, max_rounds, width_scale, heads=heads)
    teacher.eval()
    student, rounds = submodel(teacher, shapes[0], representatives), list[Round]()
    course = _Course(teacher, lesson)
    for number, shape in enumerate(shapes):
        if number:
            student = _larger(student, shape, counter_seed(lesson.seed, number, "student"))
        trainer = Trainer(student, lesson.training)
        for cost in course.train(trainer):
            progress(Standing(number, len(shapes), course.steps, cost))
        rounds.append(
            Round(shape, student.parameter_count, achieved(teacher, student, lesson.corpus.held_out))
        )
        if floors.met_by(rounds[-1].achieved):
            break
    return Distilled(trainer, tuple(rounds), floors)


def require_teacher(config: ModelConfig) -> None:
    """Check that a model of these settings can teach.

    Raises:
        ConfigError: It denoises.
    """
    if config.denoises:
        fix = "use 'causal': what a teacher says of masked bits is not taught."
        raise ConfigError("objective", config.objective, fix)


def _larger(student: BitTransformer, shape: ModelConfig, seed: int) -> BitTransformer:
    """Return the student a layer deeper, or with wider MLPs."""
    if shape.num_layers > student.config.num_layers:
        return add_layer(student, seed=seed)
    return add_channels(student, shape.dim_feedforward, seed=seed)


class _Course:
    """The batches of all rounds, and what the teacher says of them."""

    def __init__(self, teacher: BitTransformer, lesson: Lesson) -> None:
        self.steps = 0
        self._teacher = teacher
        self._lesson = lesson
        self._text = lesson.corpus.train
        counted = self._text[-lesson.training.reference_bytes :]
        mixes = teacher.mixer is not None
        self._earlier = EarlierCounts(np.frombuffer(counted, dtype=np.uint8)) if mixes else None

    def train(self, trainer: Trainer) -> Iterator[float]:
        """Do a round's updates, and yield the bits per byte of each batch."""
        first, config = self.steps, trainer.config
        falls_from = first + round(self._lesson.steps * (1 - ANNEALED_SHARE))
        for step in range(first, first + self._lesson.steps):
            batch, counts = self._batch(step)
            bits = encode_frames(batch, parity=self._teacher.config.parity)
            falls = Annealing(falls_from, first + self._lesson.steps - falls_from, 1.0)
            found = trainer.update(
                bits,
                rate_factor=learning_rate_factor(
                    step - first, config.warmup_steps, falls if step >= falls_from else None
                ),
                dropout_seed=counter_seed(self._lesson.seed, step, "dropout"),
                counts=counts,
                soft_targets=self._targets(bits, counts, config.autocast),
            )
            if not found.finite:
                raise GridOverflowError(
                    f"update {step} of the student is not finite; use a lower learning rate."
                )
            self.steps = step + 1
            yield bits_per_byte(found.loss)

    def _batch(self, step: int) -> tuple[UInt8[Tensor, "batch byte"], Counts | None]:
        """Return a step's windows, and the counts of what lies before them."""
        window, rows = self._teacher.config.window_bytes, self._lesson.training.batch_size
        draw = generator(self._lesson.seed, step, "batch")
        starts = window_starts(self._text, window, rows, draw)
        batch = cut(self._text, window, starts)
        if self._earlier is None:
            return batch, None
        places = starts.numpy() - (len(self._text) - self._earlier.length)
        order = self._teacher.config.mixing_order
        return batch, self._earlier.of_step(step, batch.numpy(), places, order)

    @torch.no_grad()
    def _targets(
        self, bits: UInt8[Tensor, "batch bit"], counts: Counts | None, autocast: str
    ) -> SoftTargets | None:
        """Return what the teacher says of the bits, weighed with the bits; None where it has no say."""
        weight = self._lesson.teacher_weight
        if weight == 0:
            return None
        with cpu_autocast(self._teacher, autocast):
            said = self._teacher(bits, counts=counts)
        own = (1 - weight) * bits[:, said.is_payload]
        mixed = own + weight * said.logits[:, said.is_payload].sigmoid()
        if said.unmixed is None:
            return SoftTargets(mixed)
        return SoftTargets(mixed, own + weight * said.unmixed[:, said.is_payload].sigmoid())
