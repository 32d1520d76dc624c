"""Going on with a grown model: the optimizer keeps what it knows, and what is new may learn alone first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import Parameter

from bitlm.errors import ConfigError
from bitlm.growth.widening import Widening, widening_of
from bitlm.model import BitTransformer
from bitlm.training import Trainer, TrainingConfig

SAME = Widening()

POWERS = {"momentum_buffer": 1, "exp_avg": 1, "exp_avg_sq": 2}
"""Of the gradients that a moment is the mean of; what else an optimizer keeps counts steps."""


def require_growable(config: TrainingConfig) -> None:
    """Check that a model that learns like this may become larger.

    Raises:
        ConfigError: It learns for few bits.
    """
    if config.qat:
        fix = "rounding what is new would change predictions: grow the run without it, then fork with it."
        raise ConfigError("qat", config.qat, fix)


def carry_over(trainer: Trainer, grown: BitTransformer) -> Trainer:
    """Return a trainer of the grown model that goes on where this one is.

    Moments of weights that there were are those there were; where the model got wider, those that the wider
    weights would have had on the same batches, if they were split in halves. New weights have none. The
    learning rates are those in force (`adjust_learning_rate`), not the configuration's.

    Args:
        trainer: Of the smaller model; stays as it is.
        grown: Made from its model by one of the functions of `bitlm.growth`.

    Raises:
        ConfigError: The model was not, or it learns for few bits.
    """
    require_growable(trainer.config)
    widenings = widenings_of(trainer.model, grown)
    carried = Trainer(grown, trainer.config)
    carried.optimizer.peaks = dict(trainer.optimizer.peaks)
    for part, source in trainer.optimizer.parts.items():
        target = carried.optimizer.parts[part]
        for name, parameter in trainer.model.named_parameters():
            if parameter in source.state:
                target.state[grown.get_parameter(name)] = {
                    key: _carried(value, widenings[name], POWERS.get(key))
                    for key, value in source.state[parameter].items()
                }
    return carried


@contextmanager
def only_new_weights(trainer: Trainer, old: BitTransformer) -> Iterator[int]:
    """Let updates in this context move only what a growth has added, and yield how many numbers that are.

    Of a layer more that is the layer; of twice the width the second copies. A longer window adds nothing:
    there all weights move as ever, and the number is that of all.

    Args:
        trainer: Of the grown model.
        old: The model before.

    Raises:
        ConfigError: The trainer's model was not made from it.
    """
    new = new_weights(old, trainer.model)
    if not any(bool(which.any()) for which in new.values()):
        yield trainer.model.parameter_count
        return
    named = dict(trainer.model.named_parameters())
    resting = [named[name] for name, which in new.items() if not which.any() and named[name].requires_grad]
    parted = [(named[name], which) for name, which in new.items() if which.any() and not which.all()]
    # Whatever moved, decay and momentum included, is put back.
    trainer.optimizer.after_step = _put_back(parted)
    for parameter in resting:
        parameter.requires_grad = False
    trainer.optimizer.zero_grad()
    try:
        yield sum(int(which.sum()) for which in new.values())
    finally:
        trainer.optimizer.after_step = None
        for parameter in resting:
            parameter.requires_grad = True


def new_weights(old: BitTransformer, grown: BitTransformer) -> dict[str, Bool[Tensor, "..."]]:
    """Return which numbers of each weight of the grown model there were not before.

    Raises:
        ConfigError: The model was not made from the old one.
    """
    widenings = widenings_of(old, grown)
    shapes = {name: parameter.shape for name, parameter in old.named_parameters()}
    return {
        name: widenings[name].is_new(shapes[name])
        if name in shapes
        else torch.ones(parameter.shape, dtype=torch.bool)
        for name, parameter in grown.named_parameters()
    }


def widenings_of(old: BitTransformer, grown: BitTransformer) -> Mapping[str, Widening]:
    """Return how each weight of the old model has widened.

    Raises:
        ConfigError: The grown model has not got every weight of the old one, once or twice as wide.
    """
    wider = grown.config.d_model == 2 * old.config.d_model
    found = {name: widening_of(name) if wider else SAME for name, _ in old.named_parameters()}
    shapes = {name: parameter.shape for name, parameter in grown.named_parameters()}
    for name, parameter in old.named_parameters():
        if shapes.get(name) != found[name].is_new(parameter.shape).shape:
            raise ConfigError(
                "grown",
                f"a model with {name} of shape {tuple(shapes.get(name, ()))}",
                "give one that add_layer, double_width or double_length made from the smaller model.",
            )
    return found


def _carried(value: Tensor, widening: Widening, power: int | None) -> Tensor:
    return value.clone() if power is None else widening.moment(value, power)


def _put_back(parted: Sequence[tuple[Parameter, Tensor]]) -> Callable[[], None]:
    """Return what gives those numbers that are not new the values they have now."""
    kept = [parameter.detach().clone() for parameter, _ in parted]

    @torch.no_grad()
    def put_back() -> None:
        for (parameter, which), before in zip(parted, kept, strict=True):
            parameter.copy_(torch.where(which, parameter, before))

    return put_back
