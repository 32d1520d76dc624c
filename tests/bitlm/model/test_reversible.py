import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.errors import ConfigError, GridOverflowError
from bitlm.model import BitTransformer, ModelConfig
from bitlm.model.autocast import cpu_autocast
from bitlm.model.grid import round_to_grid
from bitlm.model.reversible import MEMORY_MODES

CHUNKED = {"chunk_size": 48, "overlap": 16}
FEWER = {"nhead": 3, "head_width": 4}
"""Heads that do not fill the streams' width of 16."""
SHAPE: dict[str, Any] = {"d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_seq_len": 128}


def lively_model(**settings: Any) -> BitTransformer:
    """A model whose branches move the streams as a trained one's do."""
    model = BitTransformer(ModelConfig(**(SHAPE | settings)), seed=7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "project" in name:
                parameter.mul_(5)
            if "out_norm" in name:
                parameter.mul_(math.sqrt(2 * model.config.num_layers))
    return model.train()


def some_bits(rows: int = 2, count: int = 128) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 2, (rows, count), dtype=torch.uint8, generator=draw)


def gradients(model: BitTransformer, bits: Tensor, autocast: str = "off") -> tuple[float, dict[str, Tensor]]:
    with cpu_autocast(model, autocast):
        output = model(bits, dropout_seed=11)
    loss = binary_cross_entropy_with_logits(output.logits, bits.float())
    loss.backward()  # type: ignore[no-untyped-call] # torch's
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), found


def saved_bytes(model: BitTransformer, bits: Tensor) -> int:
    """Bytes of distinct storage kept for the backward pass, weights excluded."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    unpack: Callable[[Tensor], Tensor] = lambda tensor: tensor  # noqa: E731 - the identity
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        output = model(bits, dropout_seed=11)
    assert output.logits.requires_grad
    return sum(seen.values())


@pytest.mark.parametrize(
    ("patch_bits", "num_layers", "dropout", "heads"),
    [
        (1, 4, 0.0, {}),
        (1, 4, 0.3, {}),
        (8, 4, 0.0, {}),
        (8, 4, 0.3, {}),
        (8, 4, 0.3, FEWER),
        (8, 64, 0.3, {}),
    ],
)
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_all_memory_modes_give_the_same_gradients_to_the_last_bit(
    patch_bits: int, num_layers: int, dropout: float, heads: dict[str, int], autocast: str
) -> None:
    model = lively_model(num_layers=num_layers, dropout=dropout, patch_bits=patch_bits, **heads)
    loss, stored = gradients(model, some_bits(), autocast)
    assert all(gradient.abs().sum() > 0 for gradient in stored.values())
    for memory in ("checkpoint", "recompute"):
        model.zero_grad()
        model.trunk.memory = memory
        again, recomputed = gradients(model, some_bits(), autocast)
        assert loss == again
        assert stored.keys() == recomputed.keys()
        assert all(torch.equal(stored[name], recomputed[name]) for name in stored)


@pytest.mark.parametrize("memory", MEMORY_MODES)
def test_the_mode_in_force_begins_as_the_configs_and_auto_as_storing(memory: str) -> None:
    assert lively_model(memory=memory).trunk.memory == memory
    assert lively_model(memory="auto").trunk.memory == "store"


def test_bf16_changes_what_is_computed_and_only_inside_its_context() -> None:
    model = lively_model(num_layers=2)
    before, _ = gradients(model, some_bits())
    inside, _ = gradients(model, some_bits(), "bf16")
    after, _ = gradients(model, some_bits())
    assert before == after != inside
    assert inside == pytest.approx(before, rel=0.02)


def test_an_autocast_around_the_model_is_refused_because_it_would_round_the_streams() -> None:
    model = lively_model(num_layers=1)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(ConfigError, match=r"autocast='cpu': .* use cpu_autocast"),
    ):
        model(some_bits(), dropout_seed=1)


@pytest.mark.parametrize("memory", MEMORY_MODES)
def test_a_backward_pass_computes_as_its_forward_pass_did_in_another_context_too(memory: str) -> None:
    model = lively_model(num_layers=2, memory=memory)
    weights = list(model.parameters())

    def loss() -> Tensor:
        return binary_cross_entropy_with_logits(model(some_bits()).logits, some_bits().float())

    expected = torch.autograd.grad(loss(), weights)
    outside = loss()
    with cpu_autocast(model, "bf16"):
        found = torch.autograd.grad(outside, weights)
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


@pytest.mark.parametrize("patch_bits", [1, 8])
def test_both_memory_modes_give_the_same_gradients_with_attention_in_chunks(patch_bits: int) -> None:
    settings = {"num_layers": 8, "dropout": 0.3, "patch_bits": patch_bits} | CHUNKED
    loss, stored = gradients(lively_model(memory="store", **settings), some_bits())
    again, recomputed = gradients(lively_model(memory="recompute", **settings), some_bits())
    assert loss == again
    assert all(torch.equal(stored[name], recomputed[name]) for name in stored)


@pytest.mark.parametrize("num_layers", [4, 64])
@pytest.mark.parametrize("shape", [{}, CHUNKED | FEWER])
@pytest.mark.parametrize("dropout_seed", [None, 5])
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_inverting_every_layer_returns_the_input_with_error_zero(
    num_layers: int, shape: dict[str, int], dropout_seed: int | None, autocast: str
) -> None:
    trunk = lively_model(num_layers=num_layers, dropout=0.3, **shape).trunk
    draw = torch.Generator().manual_seed(1)
    start = round_to_grid(torch.randn(2, 16, 16, generator=draw))
    trunk.autocast = autocast
    with torch.no_grad():
        layers = trunk.reversible_layers(16, dropout_seed)
        y1, y2 = start, start
        for layer in layers:
            y1, y2 = layer.forward(y1, y2)
        assert (y1 - start).abs().max() > 0.5
        for layer in reversed(layers):
            y1, y2 = layer.invert(y1, y2)
    assert (y1 - start).abs().max() == 0.0
    assert (y2 - start).abs().max() == 0.0


def test_recomputing_keeps_the_same_bytes_at_every_depth_and_storing_does_not() -> None:
    kept = {
        (memory, depth): saved_bytes(lively_model(memory=memory, num_layers=depth), some_bits())
        for memory in MEMORY_MODES
        for depth in (4, 64)
    }
    assert kept["recompute", 4] == kept["recompute", 64]
    saved = {depth: kept["store", depth] - kept["recompute", depth] for depth in (4, 64)}
    assert saved[64] > 10 * saved[4] > 0
    two_streams = 2 * 2 * 16 * SHAPE["d_model"] * 4
    assert kept["checkpoint", 64] - kept["checkpoint", 4] == 60 * two_streams


@pytest.mark.parametrize("memory", MEMORY_MODES)
def test_frozen_weights_get_no_gradient_and_change_nobody_elses(memory: str) -> None:
    _, free = gradients(lively_model(memory=memory, num_layers=2), some_bits())
    model = lively_model(memory=memory, num_layers=2)
    frozen = {name for name, _ in model.named_parameters() if name.startswith("trunk.blocks.0.attention")}
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)  # noqa: FBT003 - torch's own signature
    _, rest = gradients(model, some_bits())
    assert rest.keys() == free.keys() - frozen
    assert all(torch.equal(rest[name], free[name]) for name in rest)


@pytest.mark.parametrize("memory", MEMORY_MODES)
@pytest.mark.parametrize("value", [1e6, math.nan])
def test_leaving_the_exact_range_names_the_layer(memory: str, value: float) -> None:
    model = lively_model(memory=memory, num_layers=3)
    with torch.no_grad():
        model.get_parameter("trunk.blocks.1.feedforward.out_norm.weight").fill_(value)
    with pytest.raises(GridOverflowError, match="layer 1 feedforward"):
        model(some_bits(), dropout_seed=1)


def test_the_dropout_key_alone_decides_the_masks() -> None:
    model = lively_model(num_layers=2, dropout=0.5)
    bits = some_bits()
    once, again, other = (model(bits, dropout_seed=seed).logits for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    model.eval()
    assert torch.equal(model(bits, dropout_seed=1).logits, model(bits).logits)


def test_gradients_are_returned_and_never_written_behind_autograds_back() -> None:
    model = lively_model(memory="recompute", num_layers=2)
    bits = some_bits()
    loss = binary_cross_entropy_with_logits(model(bits).logits, bits.float())
    returned = torch.autograd.grad(loss, list(model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert len(returned) == len(list(model.parameters()))


def test_recompute_runs_every_branch_twice_but_the_last_layers_once() -> None:
    model = lively_model(num_layers=3, memory="recompute")
    calls = dict.fromkeys(range(3), 0)
    for index, block in enumerate(model.trunk.typed_blocks):
        for branch in (block.attention, block.feedforward):
            branch.register_forward_hook(lambda *_, index=index: calls.update({index: calls[index] + 1}))
    gradients(model, some_bits())
    assert calls == {0: 4, 1: 4, 2: 2}
