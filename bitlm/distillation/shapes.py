"""What shapes a student has in turn: small, deeper, and once wider."""

from dataclasses import replace
from math import ceil

from bitlm.errors import ConfigError
from bitlm.model import ModelConfig

LEAST_CHANNELS = 8
"""Of an MLP; with fewer it would be cheaper to have no layer."""

CHANNELS_BESIDE_HEADS = 1.5
"""Hidden channels of an MLP for each of attention's, at least: with fewer a head is worth less than they are.

docs/decisions/0029-heads-are-cut-before-mlps-get-too-narrow.md has what was measured.
"""

LEAST_SLOTS = 2
"""Vectors for n-grams of a length, the fewest there can be."""


def student_shapes(
    config: ModelConfig, target_params: int, max_rounds: int, width_scale: float, *, heads: int | None = None
) -> list[ModelConfig]:
    """Return the shape of each round, of which the last has at most `target_params` weights.

    The last has half of the teacher's layers, and its hidden channels as far as there is room: vectors of
    n-grams are halved as long as they are more than half of all, and heads are cut where MLPs would become
    too narrow beside them. With three rounds and more the last step is a wider MLP, and those before are a
    layer each; two rounds are a step in depth. One round is the last shape at once.

    Args:
        config: The teacher's.
        target_params: The most weights that any student may have.
        max_rounds: How many shapes, at most: there are fewer where too few layers are left to begin with.
        width_scale: How many times as wide as before the MLPs are after they were widened, at least 1.
        heads: Heads that each layer of all students keeps; None for as many as are in proportion.

    Raises:
        ConfigError: A value is out of its range, or a student so small would be none.
    """
    if max_rounds < 1:
        raise ConfigError("max_rounds", max_rounds, "use at least 1.")
    if not width_scale >= 1:
        raise ConfigError("width_scale", width_scale, "use at least 1, such as 1.5.")
    last = _largest(config, target_params, heads)
    shapes, widens = [last], max_rounds > 2  # noqa: PLR2004 - one to begin with, and one to deepen
    if widens:
        shapes.insert(0, replace(last, dim_feedforward=int(last.dim_feedforward / width_scale)))
    while len(shapes) < max_rounds and shapes[0].num_layers > 1:
        shapes.insert(0, replace(shapes[0], num_layers=shapes[0].num_layers - 1))
    return shapes


def least_parameters(config: ModelConfig, heads: int | None = None) -> int:
    """Return the weights of the smallest student: of one layer, with the fewest channels, vectors and heads.

    Args:
        config: The teacher's.
        heads: As for `student_shapes`.

    Raises:
        ConfigError: There are not so many heads.
    """
    slots = config.ngram_slots
    while config.ngram_order > 1 and slots > LEAST_SLOTS:
        slots //= 2
    least = replace(config, use_act=False, num_layers=1, dim_feedforward=LEAST_CHANNELS, ngram_slots=slots)
    return _with_heads(least, 1 if heads is None else heads).parameter_count


def _with_heads(config: ModelConfig, heads: int) -> ModelConfig:
    """Return the shape with so many heads of each layer, as wide as they are.

    Raises:
        ConfigError: There are not so many.
    """
    if not 1 <= heads <= config.nhead:
        raise ConfigError("heads", heads, f"use a whole number from 1 to {config.nhead}, as the teacher has.")
    if heads == config.nhead:
        return config
    return replace(config, nhead=heads, head_width=config.channels_per_head)


def _largest(config: ModelConfig, target_params: int, heads: int | None) -> ModelConfig:
    """Return the largest student that has at most so many weights."""
    if heads is not None:
        shape = _fitted(_with_heads(config, heads), target_params)
    else:
        every = (_fitted(_with_heads(config, count), target_params) for count in range(config.nhead, 0, -1))
        shape = next((_in_proportion(one, config) for one in every if one is not None), None)
    if shape is None:
        least = least_parameters(config, heads)
        raise ConfigError("target_params", target_params, f"use at least {least:,}.")
    return shape


def _fitted(config: ModelConfig, target_params: int) -> ModelConfig | None:
    """Return the largest student with these heads that has at most so many weights; None without any."""
    shape = replace(config, use_act=False, num_layers=max(1, config.num_layers // 2))
    while shape.parameter_count > target_params:
        vectors = (shape.ngram_order - 1) * shape.ngram_slots * shape.d_model
        excess = shape.parameter_count - target_params
        channels = shape.dim_feedforward - ceil(excess / (2 * shape.d_model * shape.num_layers))
        can_halve = shape.ngram_order > 1 and shape.ngram_slots > LEAST_SLOTS
        if can_halve and 2 * vectors > shape.parameter_count:
            shape = replace(shape, ngram_slots=shape.ngram_slots // 2)
        elif channels >= LEAST_CHANNELS:
            shape = replace(shape, dim_feedforward=channels)
        elif shape.num_layers > 1:
            shape = replace(shape, num_layers=shape.num_layers - 1)
        elif can_halve:
            shape = replace(shape, ngram_slots=shape.ngram_slots // 2)
        else:
            return None
    return shape


def _in_proportion(shape: ModelConfig, teacher: ModelConfig) -> ModelConfig:
    """Return the shape with heads exchanged for hidden channels while it has too few of these beside them."""
    most = teacher.dim_feedforward
    while shape.nhead > 1 and shape.dim_feedforward < min(
        most, CHANNELS_BESIDE_HEADS * shape.attention_width
    ):
        # A channel of attention has four weights for each of the stream's, a hidden one two.
        channels = min(most, shape.dim_feedforward + 2 * shape.channels_per_head)
        shape = replace(_with_heads(shape, shape.nhead - 1), dim_feedforward=channels)
    return shape
