import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.bits import encode_frames
from bitlm.errors import ConfigError, GridOverflowError
from bitlm.model import BitTransformer, ModelConfig, ModelOutput, cpu_autocast, reversibility
from bitlm.model.bit_tree import gather_paths, patch_values
from bitlm.model.grid import round_to_grid
from bitlm.model.halting import INITIAL_HALTING, HaltingUnit, running
from bitlm.model.reversible import MEMORY_MODES

CHUNKED = {"chunk_size": 48, "overlap": 16}
SHAPE: dict[str, Any] = {
    "d_model": 16,
    "nhead": 2,
    "dim_feedforward": 32,
    "num_layers": 5,
    "max_seq_len": 128,
    "use_act": True,
}


def lively_model(**changes: Any) -> BitTransformer:
    """A model whose positions halt in different layers, and whose branches move the streams."""
    config = ModelConfig(**(SHAPE | changes))
    model = BitTransformer(config, seed=7)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "project" in name:
                parameter.mul_(5)
            if "out_norm" in name:
                parameter.mul_(math.sqrt(2 * config.num_layers))
            if name.endswith("halting.weight"):
                parameter.normal_(std=math.sqrt(32), generator=draw)
            if name.endswith("halting.bias"):
                parameter.fill_(math.log(2 / config.num_layers))
    return model.eval()


def some_bits(rows: int = 3, count: int = 128) -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 2, (rows, count), dtype=torch.uint8, generator=draw)


def layers_used(output: ModelOutput) -> float:
    assert output.depth_mean is not None
    return output.depth_mean.item()


def trained(model: BitTransformer, memory: str, autocast: str = "off") -> tuple[float, dict[str, Tensor]]:
    """The loss with ponder cost, and every gradient of it."""
    model.zero_grad()
    model.trunk.memory = memory
    bits = some_bits()
    with cpu_autocast(model, autocast):
        output = model.train()(bits, dropout_seed=11)
    loss = binary_cross_entropy_with_logits(output.logits, bits.float()) + 0.02 * output.depth_mean
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("num_layers", "dropout", "windows"),
    [(2, 0.0, {}), (2, 0.3, CHUNKED), (5, 0.3, {}), (5, 0.0, CHUNKED), (40, 0.3, CHUNKED)],
)
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_all_memory_modes_give_the_same_gradients_to_the_last_bit(
    num_layers: int, dropout: float, autocast: str, windows: dict[str, int]
) -> None:
    model = lively_model(num_layers=num_layers, dropout=dropout, **windows)
    loss, stored = trained(model, "store", autocast)
    assert stored.keys() == dict(model.named_parameters()).keys()
    assert all(stored[name].abs().sum() > 0 for name in stored if "halting" in name)
    for memory in ("checkpoint", "recompute"):
        again, others = trained(model, memory, autocast)
        assert loss == again
        assert stored.keys() == others.keys()
        assert all(torch.equal(stored[name], others[name]) for name in stored)


@pytest.mark.parametrize("memory", MEMORY_MODES)
def test_gates_at_a_given_threshold_have_the_same_gradients_in_all_memory_modes(memory: str) -> None:
    model = lively_model()
    weights = list(model.parameters())

    def gradients() -> tuple[Tensor, ...]:
        loss = binary_cross_entropy_with_logits(model(some_bits()).logits, some_bits().float())
        return torch.autograd.grad(loss, weights)

    stored = gradients()
    model.trunk.memory = memory
    assert all(torch.equal(*pair) for pair in zip(stored, gradients(), strict=True))


@pytest.mark.parametrize("dropout_seed", [None, 3])
@pytest.mark.parametrize("windows", [{}, CHUNKED])
@torch.no_grad()
def test_inverting_every_layer_returns_all_streams_with_error_zero(
    dropout_seed: int | None, windows: dict[str, int]
) -> None:
    trunk = lively_model(num_layers=40, dropout=0.3, **windows).trunk
    draw = torch.Generator().manual_seed(1)
    start = round_to_grid(torch.randn(2, 16, 16, generator=draw))
    given_streams = start, start, torch.zeros(2, 16, 1), torch.zeros(2, 16, 1)
    layers = trunk.adaptive_layers(2, 16, dropout_seed)
    outputs: tuple[Tensor, ...] = given_streams
    for layer in layers:
        outputs = layer.forward(*outputs)
    assert (outputs[0] - start).abs().max() > 0.5
    assert 0 < outputs[3].min() < outputs[3].max()
    inverted, pulled, gradients = outputs, outputs, tuple(torch.zeros_like(stream) for stream in outputs)
    for layer in reversed(layers):
        inverted = layer.invert(*inverted)
        pulled, gradients, _ = layer.pull_back(pulled, gradients)
    for back in (inverted, pulled):
        assert all(torch.equal(*pair) for pair in zip(back, given_streams, strict=True))


@pytest.mark.parametrize("trains", [False, True])
def test_the_meter_of_reversibility_reads_zero(*, trains: bool) -> None:
    model = lively_model(dropout=0.3).train(trains)
    found = reversibility(model, some_bits(), dropout_seed=8)
    assert found.inversion_error == found.gradient_agreement == 0.0


def test_without_act_there_are_no_halting_units_and_the_other_weights_are_the_same() -> None:
    with_act = BitTransformer(ModelConfig(**SHAPE), seed=4).state_dict()
    without = BitTransformer(ModelConfig(**(SHAPE | {"use_act": False})), seed=4)
    assert {name for name in with_act if "halting" not in name} == without.state_dict().keys()
    assert all(torch.equal(weight, with_act[name]) for name, weight in without.state_dict().items())
    assert without(some_bits()).depth_mean is None


@pytest.mark.parametrize("num_layers", [2, 3, 16])
def test_a_new_model_halts_hardly_whatever_its_depth(num_layers: int) -> None:
    model = BitTransformer(ModelConfig(**(SHAPE | {"num_layers": num_layers})))
    with torch.no_grad():
        used = layers_used(model.train()(some_bits(), dropout_seed=1))
    # Halting grows evenly from 0 to INITIAL_HALTING before the last layer.
    assert used / num_layers == pytest.approx(1 - INITIAL_HALTING / 2, abs=1e-3)


def test_a_low_threshold_lets_positions_halt_before_the_last_layer() -> None:
    early, never = (
        BitTransformer(ModelConfig(**(SHAPE | {"act_threshold": threshold}))).eval()
        for threshold in (0.1, 1.0)
    )
    with torch.no_grad():
        assert layers_used(early(some_bits())) < early.config.num_layers
        assert layers_used(never(some_bits())) == never.config.num_layers


def test_the_lower_the_threshold_the_fewer_layers() -> None:
    with torch.no_grad():
        used = [layers_used(lively_model(act_threshold=t)(some_bits())) for t in (0.05, 0.3, 0.6, 1.0)]
    assert 1 <= used[0] < used[1] < used[2] < used[3] < 5


@pytest.mark.parametrize(("patch_bits", "parity"), list(product([1, 8], [False, True])))
@pytest.mark.parametrize(
    ("threshold", "heads"), [(0.45, {}), (0.7, {}), (0.45, {"nhead": 3, "head_width": 4})]
)
@pytest.mark.parametrize("chunk_frames", [0, 3])
def test_leaving_halted_positions_out_computes_what_multiplying_by_zero_does(
    *, patch_bits: int, parity: bool, threshold: float, heads: dict[str, int], chunk_frames: int
) -> None:
    frame = 9 if parity else 8
    chunks = {"chunk_size": chunk_frames * frame, "overlap": 2 * frame} if chunk_frames else {}
    model = lively_model(act_threshold=threshold, patch_bits=patch_bits, parity=parity, **chunks, **heads)
    values = patch_values(some_bits().reshape(3, -1, 8))[:, :12]
    bits = encode_frames(values.to(torch.uint8), parity=parity)
    whole = model(bits)
    with torch.no_grad():
        gathered = model(bits)
    assert layers_used(gathered) == layers_used(whole)
    assert 1 < layers_used(whole) < 4
    torch.testing.assert_close(gathered.logits, whole.logits, atol=1e-4, rtol=0)


def test_a_window_whose_positions_have_all_halted_is_left() -> None:
    model = lively_model(act_threshold=1e-4)
    with torch.no_grad():
        output = model(some_bits())
        model.get_parameter("trunk.blocks.1.attention.project_in.weight").fill_(math.nan)
        again = model(some_bits())
    assert layers_used(output) == 1
    assert torch.equal(again.logits, output.logits)


def test_positions_run_on_in_a_long_window_that_is_attended_to_block_by_block() -> None:
    model = lively_model(max_seq_len=8 * 300, act_threshold=0.5)
    bits = some_bits(rows=2, count=8 * 300)
    whole = model(bits)
    with torch.no_grad():
        gathered = model(bits)
    assert layers_used(gathered) == layers_used(whole)
    torch.testing.assert_close(gathered.logits, whole.logits, atol=1e-4, rtol=0)


def test_under_autocast_halted_positions_are_multiplied_by_zero_as_in_training() -> None:
    model = lively_model(act_threshold=0.5)
    with cpu_autocast(model, "bf16"):
        whole = model(some_bits())
        with torch.no_grad():
            again = model(some_bits())
    assert torch.equal(whole.logits, again.logits)


@torch.no_grad()
def test_an_autocast_around_the_model_is_refused_here_too() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ConfigError, match="use cpu_autocast"):
        lively_model()(some_bits())


def test_at_full_depth_nothing_halts_whatever_the_threshold() -> None:
    model = lively_model(act_threshold=0.1)
    plain = BitTransformer(ModelConfig(**(SHAPE | {"use_act": False})))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "halting" not in k})
    output = model(some_bits(), full_depth=True)
    assert layers_used(output) == 5
    assert torch.equal(output.logits, plain.eval()(some_bits()).logits)


@pytest.mark.parametrize("threshold", [1e-4, 0.45, 0.7, 1.0])
def test_decoding_halts_where_the_window_does_whatever_is_decoded_at_once(threshold: float) -> None:
    model = lively_model(act_threshold=threshold)
    bits = some_bits()
    values = patch_values(bits.reshape(3, -1, 8)).numpy()
    with torch.no_grad():
        whole = model(bits)
    cache = model.new_cache(batch=3)
    trees = [
        cache.read(values[:, place : place + 1] if place >= 0 else values[:, :0]) for place in range(-1, 15)
    ]
    along = gather_paths(torch.from_numpy(np.stack(trees, axis=1)), torch.from_numpy(values), 8)
    torch.testing.assert_close(along.flatten(1), whole.logits, atol=1e-4, rtol=0)
    assert cache.layers_run / (3 * 16) == pytest.approx(layers_used(whole), abs=1e-6)
    for row in range(3):
        for count in (0, 1, 7, 15):
            at_once = model.new_cache().read(values[row : row + 1, :count])
            assert np.array_equal(at_once[0], trees[count][row])


def test_no_bit_influences_a_logit_at_its_place_or_before() -> None:
    model = lively_model(act_threshold=0.5)
    bits = some_bits(rows=1)
    with torch.no_grad():
        before = model(bits).logits
        for place in range(0, 128, 9):
            flipped = bits.clone()
            flipped[0, place] ^= 1
            change = (model(flipped).logits - before).abs()[0]
            # A shorter list of running positions makes other matrix products, whose rounding differs.
            assert change[: place + 1].max() < 1e-4


def test_leaving_the_exact_range_names_the_layer() -> None:
    model = lively_model(act_threshold=1.0)
    with torch.no_grad():
        model.get_parameter("trunk.blocks.1.feedforward.out_norm.weight").fill_(1e6)
        with pytest.raises(GridOverflowError, match="layer 1 feedforward"):
            model(some_bits())


def test_training_draws_thresholds_by_its_key_alone() -> None:
    model = lively_model().train()
    state = torch.get_rng_state()
    once, again, other = (model(some_bits(), dropout_seed=seed).logits for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    with pytest.raises(ConfigError, match=r"dropout_seed=None: .*ACT"):
        model(some_bits())


@settings(max_examples=30)
@given(halting=st.floats(0, 0.999), threshold=st.floats(0, 1, exclude_max=True))
def test_a_gate_is_open_below_the_threshold_and_weighs_rare_draws_more(
    halting: float, threshold: float
) -> None:
    column = torch.tensor([[halting]], requires_grad=True)
    gate, _ = running(column, torch.tensor([[threshold]]))
    is_open = bool(column.item() < torch.tensor(threshold).item())
    assert gate.item() == pytest.approx(float(is_open))
    of_draw = 1 - halting if is_open else halting
    gate.sum().backward()  # type: ignore[no-untyped-call] # torch's
    assert column.grad is not None
    assert column.grad.item() == pytest.approx(-min(8.0, 0.5 / max(of_draw, 1e-9)), rel=1e-4)


def test_the_mean_gradient_of_a_gate_is_what_opening_it_changes() -> None:
    # f(g) = 3g² - g: f(1) - f(0) = 2, and f' is -1 and 5 at the ends.
    halting = torch.full((4000, 1), 0.3, requires_grad=True)
    thresholds = (torch.arange(4000)[:, None] + 0.5) / 4000
    gate, _ = running(halting, thresholds)
    (3 * gate**2 - gate).sum().backward()  # type: ignore[no-untyped-call] # torch's
    assert halting.grad is not None
    assert -halting.grad.mean().item() == pytest.approx(2, abs=1e-3)


def test_the_mean_of_the_gates_over_all_thresholds_is_the_probability_of_running() -> None:
    halting = torch.rand(50, 1, generator=torch.Generator().manual_seed(2)) * 1.4
    thresholds = (torch.arange(1000) + 0.5) / 1000
    mean = (halting < thresholds).float().mean(1, keepdim=True)
    torch.testing.assert_close(mean, running(halting, torch.full((50, 1), 0.5))[1], atol=1e-3, rtol=0)


def test_a_units_weights_are_vectors_which_no_optimizer_of_matrices_takes() -> None:
    unit = HaltingUnit(8)
    assert [parameter.dim() for parameter in unit.parameters()] == [1, 1]
