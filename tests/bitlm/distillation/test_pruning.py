from dataclasses import replace

import pytest
import torch

from bitlm.bits import encode_frames
from bitlm.distillation import (
    Representatives,
    add_channels,
    channel_importance,
    drop_channels,
    drop_heads,
    drop_layer,
    head_costs,
    least_needed_layer,
    merge_ngrams,
    submodel,
)
from bitlm.errors import ConfigError
from bitlm.model import BitTransformer
from bitlm.model.ngrams import NgramEmbedding
from tests.bitlm.growth.test_growing import MOST_BY_ROUNDING, tiny

TEXT = torch.frombuffer(
    bytearray(b"In the beginning was a word; it was short, and the word was a byte."), dtype=torch.uint8
)
BITS = encode_frames(TEXT[:32].view(2, 16), parity=False)
WINDOWS = Representatives(TEXT[:64].view(4, 16), torch.tensor([0.4, 0.3, 0.2, 0.1]))


def logits(model: BitTransformer) -> torch.Tensor:
    with torch.no_grad():
        said: torch.Tensor = model(BITS).logits
    return said


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_that_adds_nothing_is_found_and_dropped_without_a_trace(layer: int) -> None:
    model = tiny(num_layers=3)
    block = model.trunk.typed_blocks[layer]
    block.attention.out_norm.weight.data.zero_()
    block.feedforward.out_norm.weight.data.zero_()
    others = [index for index in range(3) if index != layer]
    assert not torch.equal(logits(drop_layer(model, others[0])), logits(model))
    dropped = drop_layer(model, layer)
    assert torch.equal(logits(dropped), logits(model))
    assert dropped.config.num_layers == 2


def test_the_layer_that_is_needed_least_is_the_one_without_which_least_is_lost() -> None:
    model = tiny(num_layers=3, mixing="reference")
    for layer, gain in ((0, 0.01), (2, 0.1)):
        block = model.trunk.typed_blocks[layer]
        block.attention.out_norm.weight.data *= gain
        block.feedforward.out_norm.weight.data *= gain
    costs = []
    for layer in range(3):
        output = drop_layer(model, layer)(encode_frames(WINDOWS.windows, parity=False))
        assert output.unmixed is not None
        payload = encode_frames(WINDOWS.windows, parity=False).float()
        nats = torch.nn.functional.binary_cross_entropy_with_logits(output.unmixed, payload, reduction="none")
        costs.append(float((nats.mean(1) * WINDOWS.shares).sum().detach()))
    assert least_needed_layer(model, WINDOWS) == costs.index(min(costs))
    assert len(set(costs)) == 3


def test_heads_needed_least_are_cut_out_one_by_one_as_if_they_added_nothing() -> None:
    model = tiny(d_model=12, nhead=3)
    least = head_costs(model, WINDOWS).argmin(dim=1).tolist()
    smaller, smallest = (drop_heads(model, nhead, WINDOWS) for nhead in (2, 1))
    assert (smaller.config.nhead, smaller.config.head_width) == (2, 4)
    assert smaller.parameter_count == smaller.config.parameter_count < model.parameter_count
    assert torch.equal(logits(drop_heads(smaller, 1, WINDOWS)), logits(smallest))
    assert torch.equal(logits(drop_heads(model, 3, WINDOWS)), logits(model))
    for block, head in zip(model.trunk.typed_blocks, least, strict=True):
        block.attention.project_out.weight.data[:, 4 * head : 4 * head + 4] = 0
    assert float((logits(smaller) - logits(model)).abs().max()) < MOST_BY_ROUNDING
    assert float((logits(smallest) - logits(model)).abs().max()) > MOST_BY_ROUNDING


def test_a_head_costs_what_the_tree_predicts_worse_without_it() -> None:
    model = tiny(num_layers=1, nhead=4, mixing="reference")
    before = logits(model)
    costs = head_costs(model, WINDOWS)
    assert torch.equal(logits(model), before)
    bits = encode_frames(WINDOWS.windows, parity=False)
    out = model.trunk.typed_blocks[0].attention.project_out.weight.data
    for head, cost in enumerate(costs[0]):
        kept = out.clone()
        out[:, 2 * head : 2 * head + 2] = 0
        unmixed = model(bits).unmixed
        assert unmixed is not None
        nats = torch.nn.functional.binary_cross_entropy_with_logits(unmixed, bits.float(), reduction="none")
        torch.testing.assert_close(cost, (nats.mean(1) * WINDOWS.shares).sum().detach())
        out.copy_(kept)
    assert len(set(costs[0].tolist())) == 4


def test_channels_of_no_importance_are_cut_out_and_leave_what_is_predicted() -> None:
    model = tiny(dim_feedforward=12, nhead=1)
    idle = [[0, 3, 4, 11], [1, 2, 7, 8]]
    for block, channels in zip(model.trunk.typed_blocks, idle, strict=True):
        block.feedforward.project_out.weight.data[:, channels] = 0
    importance = channel_importance(model, WINDOWS)
    assert importance.shape == (2, 12)
    assert [row.nonzero().flatten().tolist() for row in importance == 0] == idle
    smaller = drop_channels(model, 8, WINDOWS)
    assert smaller.parameter_count == smaller.config.parameter_count < model.parameter_count
    assert float((logits(smaller) - logits(model)).abs().max()) < MOST_BY_ROUNDING
    assert float((logits(drop_channels(model, 7, WINDOWS)) - logits(model)).abs().max()) > MOST_BY_ROUNDING


def test_importance_is_the_mean_of_what_a_channel_holds_times_the_size_of_what_it_writes() -> None:
    model = tiny(num_layers=1, dim_feedforward=3)
    feedforward = model.trunk.typed_blocks[0].feedforward
    held: list[torch.Tensor] = []
    hook = feedforward.project_in.register_forward_hook(lambda *said: held.append(said[2]))
    with torch.no_grad():
        model(encode_frames(WINDOWS.windows, parity=False))
    hook.remove()
    means = torch.nn.functional.gelu(held[0]).abs().mean(1)
    expected = (means * WINDOWS.shares[:, None]).sum(0) * feedforward.project_out.weight.norm(dim=0)
    assert torch.allclose(channel_importance(model, WINDOWS)[0], expected)


def test_more_channels_change_no_prediction_and_learn() -> None:
    model = tiny(dim_feedforward=5)
    wider = add_channels(model, 8, seed=3)
    assert wider.config.dim_feedforward == 8
    assert float((logits(wider) - logits(model)).abs().max()) < MOST_BY_ROUNDING
    wider(BITS).logits.square().sum().backward()
    for block in wider.trunk.typed_blocks:
        gradient = block.feedforward.project_out.weight.grad
        assert gradient is not None
        assert bool((gradient[:, 5:] != 0).any())
    other = add_channels(model, 8, seed=4).state_dict()
    assert any(not torch.equal(weight, other[name]) for name, weight in wider.state_dict().items())


def test_the_vector_of_an_n_gram_is_the_mean_of_those_that_a_shorter_hash_takes_for_one() -> None:
    model = tiny(ngram_order=3, ngram_slots=16)
    merged = merge_ngrams(model, 4)
    many, few = model.embedding.ngrams, merged.embedding.ngrams
    assert isinstance(many, NgramEmbedding)
    assert isinstance(few, NgramEmbedding)
    values = TEXT.long().numpy()[None]
    before, after = (one.find(values, 0, values.shape[1]) for one in (many, few))
    for row in after.flatten().tolist():
        alike = sorted({int(one) for one in before[after == row]})
        assert set(alike) <= set(range(4 * row, 4 * row + 4))
        assert torch.allclose(few.vectors.weight[row], many.vectors.weight[4 * row : 4 * row + 4].mean(0))


def test_a_submodel_is_smaller_in_all_ways_and_leaves_its_teacher_alone() -> None:
    teacher = tiny(num_layers=4, use_act=True, ngram_order=2, ngram_slots=16, mixing="reference")
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    shape = replace(
        teacher.config,
        num_layers=2,
        nhead=1,
        head_width=4,
        dim_feedforward=5,
        ngram_slots=4,
        use_act=False,
    )
    student = submodel(teacher, shape, WINDOWS)
    assert student.config == shape
    assert student.parameter_count == shape.parameter_count
    assert student.reference is teacher.reference
    assert torch.equal(student.head.weight, teacher.head.weight)
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"num_layers": 3}, "use at most 2, as the teacher has"),
        ({"d_model": 4, "head_width": 4}, "use 8, as the teacher has"),
        ({"dim_feedforward": 13}, "use at most 12, as the teacher has"),
        ({"nhead": 3, "head_width": 4}, "use at most 2, as the teacher has"),
        ({"nhead": 1}, "head_width=0: use 4: heads are as wide as the teacher's"),
    ],
)
def test_a_shape_that_cutting_does_not_lead_to_is_refused(change: dict[str, int], fix: str) -> None:
    teacher = tiny()
    with pytest.raises(ConfigError, match=fix):
        submodel(teacher, replace(teacher.config, **change), WINDOWS)  # type: ignore[arg-type] # whole numbers all
    with pytest.raises(ConfigError, match="use at least 12"):
        add_channels(teacher, 11)
    with pytest.raises(ConfigError, match="use at most 2"):
        drop_heads(teacher, 3, WINDOWS)
