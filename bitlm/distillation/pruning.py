"""Smaller models made of a larger one's weights: what telemetry says is needed least is cut out.

Every cut gives smaller tensors, none fills a mask.
"""

from torch import Tensor

from bitlm.distillation.channels import drop_channels
from bitlm.distillation.heads import drop_heads
from bitlm.distillation.rebuilding import BLOCKS, rebuilt
from bitlm.distillation.representatives import Representatives, own_nats
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig

NGRAMS = "embedding.ngrams.vectors.weight"


def submodel(
    teacher: BitTransformer, config: ModelConfig, representatives: Representatives
) -> BitTransformer:
    """Return a model of a smaller shape made of the teacher's weights.

    Layers go one by one, each time the one whose absence costs least; then heads likewise, of each layer at
    once; then the MLPs' hidden channels that `channel_importance` puts last; and vectors of n-grams are
    merged. Halting units are left behind.

    Args:
        teacher: Stays as it is.
        config: No more layers, heads, hidden channels and n-gram vectors than the teacher's, otherwise like
            it; heads as wide as its are.
        representatives: What importance is measured on.

    Raises:
        ConfigError: The shape is not one that cutting leads to.
    """
    _require_smaller(teacher.config, config)
    model = rebuilt(teacher, _without_halting(teacher), use_act=False)
    while model.config.num_layers > config.num_layers:
        model = drop_layer(model, least_needed_layer(model, representatives))
    model = drop_heads(model, config.nhead, representatives)
    model = drop_channels(model, config.dim_feedforward, representatives)
    return merge_ngrams(model, config.ngram_slots)


def drop_layer(model: BitTransformer, layer: int) -> BitTransformer:
    """Return the model, which has no halting units, without one of its layers, counted from 0.

    Raises:
        ConfigError: It is the only one.
    """
    weights = {}
    for name, weight in model.state_dict().items():
        index = _layer_of(name)
        if index is None or index < layer:
            weights[name] = weight
        elif index > layer:
            weights[name.replace(f"{BLOCKS}{index}.", f"{BLOCKS}{index - 1}.")] = weight
    return rebuilt(model, weights, num_layers=model.config.num_layers - 1)


def least_needed_layer(model: BitTransformer, representatives: Representatives) -> int:
    """Return the layer without which the tree's own predictions of the representatives cost least.

    Its own, before counts are mixed in: these know the training text by heart.

    Source: Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect", 2024.
    """
    costs = [own_nats(drop_layer(model, layer), representatives) for layer in range(model.config.num_layers)]
    return min(range(len(costs)), key=costs.__getitem__)


def merge_ngrams(model: BitTransformer, ngram_slots: int) -> BitTransformer:
    """Return the model with fewer vectors of n-grams, a power of two, each the mean of neighbours.

    Which vector an n-gram has, the highest bits of its hash decide: a shorter hash leads to the neighbours'
    mean, and to that of no others.

    Raises:
        ConfigError: It has fewer.
    """
    config = model.config
    if config.ngram_order == 1 or ngram_slots == config.ngram_slots:
        return model
    if ngram_slots > config.ngram_slots:
        raise ConfigError("ngram_slots", ngram_slots, f"use at most {config.ngram_slots}, as it has.")
    weights = dict(model.state_dict())
    weights[NGRAMS] = weights[NGRAMS].unflatten(0, (-1, config.ngram_slots // ngram_slots)).mean(1)
    return rebuilt(model, weights, ngram_slots=ngram_slots)


def _require_smaller(teacher: ModelConfig, config: ModelConfig) -> None:
    sizes = {"num_layers", "nhead", "dim_feedforward", "ngram_slots"}
    if config.channels_per_head != teacher.channels_per_head:
        fix = f"use {teacher.channels_per_head}: heads are as wide as the teacher's."
        raise ConfigError("head_width", config.head_width, fix)
    for field, value in vars(teacher).items():
        wanted = getattr(config, field)
        if field in {"use_act", "head_width"} or wanted == value or (field in sizes and wanted < value):
            continue
        most = "at most " if field in sizes else ""
        raise ConfigError(field, wanted, f"use {most}{value}, as the teacher has.")


def _without_halting(model: BitTransformer) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.state_dict().items() if ".halting." not in name}


def _layer_of(name: str) -> int | None:
    return int(name.removeprefix(BLOCKS).split(".")[0]) if name.startswith(BLOCKS) else None
