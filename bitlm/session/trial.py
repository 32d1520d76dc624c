"""What a run of given settings needs: memory, disk and time, tried on this machine before the run is made."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from bitlm.data import Corpus
from bitlm.model import ModelConfig
from bitlm.model.layer_trial import fastest_passes_s, kept_storages
from bitlm.reference import ReferenceModel
from bitlm.session.choices import settled
from bitlm.session.config import RunConfig
from bitlm.session.learner import Learner
from bitlm.training import TrainingConfig
from bitlm.version import VERSION

MOST_TRIED_PARAMETERS = 20_000_000
"""Weights of the largest model that is made only to be tried: with gradients and optimizer 300 MB."""

FEW_LAYERS = 2
"""Layers of the first trial, which says whether the whole model can be tried."""

TEXT_WINDOWS = 20
"""Windows of the text a trial trains on."""

BUDGET_S = 0.3
"""Seconds after which no further step is timed."""

BYTES_A_WEIGHT = 4


@dataclass(frozen=True)
class Needs:
    """What training takes.

    Attributes:
        memory: The memory mode in force.
        training_bytes: Weights, gradients, optimizer, and what is kept between forward and backward pass.
        checkpoint_bytes: Weights and optimizer.
        step_s: Seconds of an update.
        bytes_per_s: Text read in a second of updates.
        is_whole: Whether the whole model did whole steps; if not, one with FEW_LAYERS and one with a layer
            more did steps of one window, and the rest was reckoned: layers and windows are alike.
    """

    memory: str
    training_bytes: int
    checkpoint_bytes: int
    step_s: float
    bytes_per_s: float
    is_whole: bool


@dataclass(frozen=True)
class _Trial:
    memory: str
    kept_bytes: int
    state_bytes: int
    step_s: float

    def deeper(self, other: "_Trial", layers: int) -> "_Trial":
        """Return what `layers` more take, each as much as `other` takes beyond this."""
        return _Trial(
            self.memory,
            self.kept_bytes + layers * (other.kept_bytes - self.kept_bytes),
            self.state_bytes + layers * (other.state_bytes - self.state_bytes),
            self.step_s + layers * max(0.0, other.step_s - self.step_s),
        )


def try_settings(
    model: ModelConfig,
    training: TrainingConfig,
    *,
    threads: int = 1,
    longest_step_s: float = 1.5,
    clock: Callable[[], float] = perf_counter,
) -> Needs | None:
    """Do a few updates with these settings on some of the embedded text, and forget them.

    Args:
        model: The shape to try.
        training: How it would be trained; what it leaves to the machine is settled first.
        threads: Threads torch computes with.
        longest_step_s: A step that may take longer is reckoned from smaller ones.
        clock: Returns seconds.

    Returns:
        None where even a few layers have more than MOST_TRIED_PARAMETERS.
    """
    few = replace(model, num_layers=min(FEW_LAYERS, model.num_layers))
    if few.parameter_count > MOST_TRIED_PARAMETERS:
        return None
    training, _ = settled(model, training)
    one_window, rows = replace(training, batch_size=1, accumulation_steps=1), training.batch_size
    trial = _try(few, one_window, threads, clock)
    at_most_s = trial.step_s * rows * model.num_layers / few.num_layers
    is_whole = at_most_s <= longest_step_s and model.parameter_count <= MOST_TRIED_PARAMETERS
    if is_whole:
        trial = _try(model, training, threads, clock)
    else:
        further = model.num_layers - few.num_layers
        if further:
            more = replace(model, num_layers=few.num_layers + 1)
            trial = trial.deeper(_try(more, one_window, threads, clock), further)
        trial = replace(
            trial, kept_bytes=training.rows_at_once * trial.kept_bytes, step_s=rows * trial.step_s
        )
    gradients = BYTES_A_WEIGHT * model.parameter_count
    return Needs(
        memory=trial.memory,
        training_bytes=trial.state_bytes + gradients + trial.kept_bytes,
        checkpoint_bytes=trial.state_bytes,
        step_s=trial.step_s,
        bytes_per_s=training.batch_size * model.window_bytes / trial.step_s,
        is_whole=is_whole,
    )


def _try(model: ModelConfig, training: TrainingConfig, threads: int, clock: Callable[[], float]) -> _Trial:
    """Do updates until the budget is spent, the first of which only warms up."""
    corpus = Corpus("trial", Corpus.embedded().data[: TEXT_WINDOWS * max(model.window_bytes, 64)])
    config = RunConfig(
        model=model, training=training, corpus=corpus.name, corpus_fingerprint=corpus.fingerprint,
        seed=0, threads=threads, version=VERSION,
    )  # fmt: skip
    learner = Learner(config, corpus, ReferenceModel.fit(corpus.train))
    learner.choose_memory()
    with kept_storages(learner.model) as storages:
        learner.update()

    def update() -> None:
        learner.update()

    step_s = fastest_passes_s({"update": update}, budget_s=BUDGET_S, clock=clock)["update"]
    state = learner.snapshot()
    tensors = (*state.weights.values(), *state.optimizer.values())
    state_bytes = sum(tensor.nbytes for tensor in tensors)
    return _Trial(learner.model.trunk.memory, sum(storages.values()), state_bytes, step_s)
