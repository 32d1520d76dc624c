"""A branch whose model is a student of its parent's."""

from dataclasses import asdict, dataclass, field
from math import ceil

import torch

from bitlm.data import Corpus
from bitlm.distillation import (
    TEACHER_WEIGHT,
    Distilled,
    Floors,
    Lesson,
    Progress,
    TelemetrySynthesizer,
    collapse_submodel,
    least_parameters,
    require_teacher,
)
from bitlm.errors import ConfigError
from bitlm.growth import receipt
from bitlm.history.branching import add_branch, chosen_checkpoint
from bitlm.history.enlarging import MEASURED_BYTES
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import counter_seed
from bitlm.session import Origin, RunStore
from bitlm.session.checkpoint import Checkpoint, encode_checkpoint
from bitlm.session.events import Source
from bitlm.session.records import DistillationReceipt
from bitlm.session.saved_model import saved_model
from bitlm.version import VERSION


@dataclass(frozen=True)
class Student:
    """What a student shall be, and how it is to come about.

    Attributes:
        share: Of the teacher's weights, how many it may have at most; above 0, below 1.
        floors: What it is to reach.
        max_rounds: As for `collapse_submodel`.
        width_scale: As for `collapse_submodel`.
        steps: Updates of a round.
        representatives: Windows on which telemetry decides what of the teacher is kept.
        teacher_weight: As for `Lesson`.
        heads: As for `collapse_submodel`.

    Raises:
        ConfigError: The share is out of range.
    """

    share: float = 0.4
    floors: Floors = field(default_factory=Floors)
    max_rounds: int = 3
    width_scale: float = 1.5
    steps: int = 1000
    representatives: int = 8
    teacher_weight: float = TEACHER_WEIGHT
    heads: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError("share", self.share, "use a number above 0 and below 1, such as 0.4.")


def require_distillable(config: ModelConfig, wanted: Student) -> None:
    """Check, before anything is computed, that a model of these settings can have such a student.

    Raises:
        ConfigError: It denoises, has fewer heads, or no student is so small.
    """
    require_teacher(config)
    least, many = least_parameters(config, wanted.heads), config.parameter_count
    if int(wanted.share * many) < least:
        share = ceil(1000 * least / many) / 1000
        raise ConfigError(
            "share", wanted.share, f"use at least {share:g}: a student has {least:,} parameters or more."
        )


def distil(
    store: RunStore,
    run_id: str,
    wanted: Student,
    *,
    step: int | None = None,
    progress: Progress = lambda _: None,
    source: Source,
) -> tuple[str, Distilled]:
    """Make a run that begins as a student of another run's model; return its id, and how that came about.

    It begins at the teacher's step and shares the teacher's past; its learning rate is whole, whatever the
    teacher's has fallen to. What is drawn depends on the run's seed and the step alone, so that the same
    wish is the same bits.

    Args:
        store: Holds both.
        run_id: The teacher's run.
        wanted: What the student shall be.
        step: Of the teacher's checkpoint; None for the newest.
        progress: As for `collapse_submodel`.
        source: Who asks.

    Raises:
        RunNotFoundError: There is no such run.
        CheckpointError: There is no whole checkpoint of that step, or its weights are another version's.
        ConfigError: A value is out of range, the teacher denoises, or no student is so small.
        GridOverflowError: The student's training diverged.
    """
    parent = store.run(run_id)
    require_distillable(parent.config.model, wanted)
    record = chosen_checkpoint(store, run_id, step)
    checkpoint = store.checkpoints.load(record)
    torch.set_num_threads(parent.config.threads)
    teacher, corpus = saved_model(store, parent, checkpoint)
    seed = counter_seed(parent.config.seed, record.step, "distillation")
    lesson = Lesson(corpus, parent.config.training, wanted.steps, wanted.teacher_weight, seed)
    distilled = _collapsed(teacher, lesson, wanted, progress)
    shape = distilled.student.config
    changes = {name: value for name, value in vars(shape).items() if value != vars(teacher.config)[name]}
    origin = Origin(
        run_id=run_id, step=record.step, after_event=record.event_id, config_changes=changes,
        distillation=_receipt(teacher, distilled, wanted, corpus),
    )  # fmt: skip
    state = {**checkpoint.state, "annealing": None, "growth_rule": None}
    weights, optimizer = dict(distilled.student.state_dict()), distilled.trainer.optimizer.tensors()
    branch = add_branch(
        store,
        parent=parent,
        record=record.model_copy(update={"validation_bits_per_byte": None}),
        config=parent.config.model_copy(update={"model": shape, "version": VERSION}),
        origin=origin,
        plan=[],
        files=encode_checkpoint(Checkpoint(weights, optimizer, state)),
        source=source,
    )
    return branch, distilled


def _collapsed(teacher: BitTransformer, lesson: Lesson, wanted: Student, progress: Progress) -> Distilled:
    synthesizer = TelemetrySynthesizer(teacher, seed=lesson.seed)
    return collapse_submodel(
        teacher,
        synthesizer.cluster(lesson.corpus.train, wanted.representatives),
        int(wanted.share * teacher.parameter_count),
        wanted.floors,
        wanted.max_rounds,
        wanted.width_scale,
        heads=wanted.heads,
        lesson=lesson,
        progress=progress,
    )


def _receipt(
    teacher: BitTransformer, distilled: Distilled, wanted: Student, corpus: Corpus
) -> DistillationReceipt:
    last = distilled.rounds[-1].achieved
    return DistillationReceipt(
        **asdict(receipt(teacher, distilled.student, corpus.held_out[:MEASURED_BYTES])),
        steps=wanted.steps * len(distilled.rounds),
        rounds=len(distilled.rounds),
        C=last.C,
        S=last.S,
        c_floor=wanted.floors.C,
        s_floor=wanted.floors.S,
        most_worse=wanted.floors.most_worse,
        met=distilled.met,
        heads=(teacher.config.nhead, distilled.student.config.nhead),
    )
