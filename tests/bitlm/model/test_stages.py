"""A model in stages."""

from dataclasses import replace

import pytest
import torch

from bitlm.errors import GridOverflowError
from bitlm.model import BitTransformer, ModelConfig, Stage


@pytest.fixture
def model(model_config: ModelConfig) -> BitTransformer:
    return BitTransformer(replace(model_config, num_layers=5, dropout=0.2, mixing="reference")).train()


def stages_of(model: BitTransformer, size: int) -> list[Stage]:
    return [Stage.share(model.config, rank, size) for rank in range(size)]


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_stages_one_after_another_come_to_what_the_trunk_does(
    model: BitTransformer, size: int, memory: str
) -> None:
    model.trunk.memory = memory
    bits = torch.randint(0, 2, (2, 24), generator=torch.Generator().manual_seed(1))
    first, *_ = stages = stages_of(model, size)
    streams = first.streams_of(model, bits)
    for stage in stages:
        streams = stage.run(model, streams, dropout_seed=3)
    hidden = model.embedding(model.patches(bits).long() @ (1 << torch.arange(7, -1, -1)))
    assert torch.equal(model.trunk.merge(*streams), model.trunk(hidden, 3))


def test_stages_differ_by_a_layer_at_most_and_every_weight_is_in_one(model: BitTransformer) -> None:
    stages = stages_of(model, 2)
    assert [stage.layers for stage in stages] == [range(2), range(2, 5)]
    owners = [[stage.has(name) for stage in stages] for name, _ in model.named_parameters()]
    assert all(sum(own) == 1 for own in owners)
    assert [stage.has("embedding.bits.weight") for stage in stages] == [True, False]
    assert [stage.has("head.weight") for stage in stages] == [False, True]


def test_what_overflows_in_a_stage_is_named_by_its_place_in_the_model(model: BitTransformer) -> None:
    _, second = stages_of(model, 2)
    with torch.no_grad():
        model.get_parameter("trunk.blocks.3.attention.out_norm.weight").fill_(1e6)
    ramp = torch.arange(model.config.d_model).expand(1, 3, -1) / 8
    with pytest.raises(GridOverflowError, match="layer 3 attention"):
        second.run(model, (ramp, ramp), dropout_seed=3)
