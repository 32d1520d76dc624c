from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bitlm.data import Corpus
from bitlm.errors import ConfigError
from bitlm.growth import GROWTHS, Growth, add_layer, double_length, double_width, grow, grown_config
from bitlm.growth.growing import GAINS
from bitlm.model import BitTransformer, ModelConfig, cpu_autocast
from bitlm.model.reversible import MEMORY_MODES
from bitlm.reference import ReferenceModel

SHAPE: dict[str, Any] = {
    "d_model": 8,
    "nhead": 2,
    "num_layers": 2,
    "dim_feedforward": 12,
    "max_seq_len": 128,
}
MOST_BY_ROUNDING = 1e-3


@lru_cache
def reference() -> ReferenceModel:
    return ReferenceModel.fit(Corpus.embedded().train[:5_000])


def trained_like(config: ModelConfig, seed: int = 0) -> BitTransformer:
    """A model whose streams move, positions halt and logits spread as a trained one's do."""
    model = BitTransformer(config, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "halting" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
            elif "norm" in name:
                parameter.mul_(0.5 + torch.rand(parameter.shape, generator=draw))
            else:
                parameter.mul_(100 if name == "head.weight" else 5)
    model.reference = reference() if model.mixer is not None else None
    return model.eval()


def tiny(seed: int = 0, **features: Any) -> BitTransformer:
    return trained_like(ModelConfig(**(SHAPE | features)), seed)


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Tiny shapes with any features that go together."""
    patch_bits, parity = draw(st.sampled_from([1, 8, 8])), draw(st.booleans())
    frame, heads = (9 if parity else 8), draw(st.integers(1, 3))
    head_width = draw(st.sampled_from([0, 0, 2, 6]))
    features: dict[str, Any] = {
        "nhead": heads,
        "head_width": head_width,
        "d_model": (1 if head_width else heads) * draw(st.sampled_from([2, 4, 6])),
        "num_layers": draw(st.integers(2, 3)),
        "dim_feedforward": draw(st.integers(1, 16)),
        "max_seq_len": frame * draw(st.sampled_from([4, 8, 12])) + draw(st.integers(0, frame - 1)),
        "patch_bits": patch_bits,
        "parity": parity,
        "dropout": draw(st.sampled_from([0.0, 0.2])),
        "use_act": draw(st.booleans()),
        "mixing": draw(st.sampled_from(["none", "none", "reference"])),
        "memory": draw(st.sampled_from(MEMORY_MODES)),
    }
    if draw(st.booleans()):
        features |= {"chunk_size": 3 * frame, "overlap": draw(st.integers(0, 2)) * frame}
    if patch_bits == 8:
        features |= {
            "ngram_order": draw(st.integers(1, 3)),
            "ngram_slots": 16,
            "recall": draw(st.booleans()),
            "objective": draw(st.sampled_from(["causal", "mixed", "diffusion"])),
            "block_bytes": draw(st.sampled_from([0, 2])),
        }
    return ModelConfig(**features)


def gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "a pass backward came before"
    return parameter.grad


def bits_for(model: BitTransformer, rows: int = 3) -> Tensor:
    """Whole windows of frames of the model."""
    count = model.config.window_bytes * model.config.frame_bits
    return torch.randint(0, 2, (rows, count), generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def said(model: BitTransformer, bits: Tensor, *, full_depth: bool = False) -> list[Tensor]:
    """All that a model says: as it predicts, as it trains, and as it denoises."""
    logits = [model.eval()(bits, full_depth=full_depth).logits]
    logits.append(model.train()(bits, dropout_seed=3, full_depth=full_depth).logits)
    model.eval()
    if model.config.denoises:
        draw = torch.Generator().manual_seed(6)
        states = torch.randint(0, 3, (2, model.config.window_bytes, 8), generator=draw)
        values = torch.randint(0, 256, states.shape[:2], generator=draw)
        length = bits.shape[1] // model.config.frame_bits
        logits.append(model.denoise(states[:, :length], values=values[:, :length]))
    return logits


@settings(max_examples=15)
@given(config=configs(), seed=st.integers(0, 99))
def test_a_layer_more_changes_nothing_whatever_the_model_has(config: ModelConfig, seed: int) -> None:
    model = trained_like(config, seed)
    grown, bits = add_layer(model, seed=1), bits_for(model)
    assert grown.config.num_layers == model.config.num_layers + 1
    assert all(torch.equal(*pair) for pair in zip(said(grown, bits), said(model, bits), strict=True))


@settings(max_examples=15)
@given(config=configs(), seed=st.integers(0, 99))
def test_twice_the_width_changes_logits_by_rounding_alone(config: ModelConfig, seed: int) -> None:
    # Dropout drops other channels of a wider model, and halting at a threshold is a matter of the last bit.
    model = trained_like(replace(config, dropout=0.0), seed)
    grown, bits = double_width(model, seed=1), bits_for(model)
    assert grown.config.d_model == 2 * model.config.d_model
    assert grown.config.channels_per_head == model.config.channels_per_head
    pairs = zip(said(grown, bits, full_depth=True), said(model, bits, full_depth=True), strict=True)
    assert max(float((one - other).abs().max()) for one, other in pairs) <= MOST_BY_ROUNDING


@settings(max_examples=10)
@given(config=configs(), seed=st.integers(0, 99))
def test_twice_the_window_changes_nothing_inside_the_old_one_and_goes_on_behind_it(
    config: ModelConfig, seed: int
) -> None:
    model = trained_like(config, seed)
    grown, bits = double_length(model), bits_for(model)
    assert grown.config.window_bytes == 2 * model.config.window_bytes
    old_window = [model.eval()(bits).logits, grown.eval()(bits).logits]
    assert torch.equal(*old_window)
    assert said(grown, bits_for(grown))[0].isfinite().all()
    states = torch.full((1, model.config.window_bytes, 8), 2)
    if model.config.denoises:
        assert torch.equal(model.denoise(states), grown.denoise(states))


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("features", [{"dropout": 0.2}, {"use_act": True}])
def test_a_grown_model_has_equal_gradients_in_all_memory_modes(
    growth: Growth, features: dict[str, Any]
) -> None:
    grown = grow(tiny(**features), growth, seed=1).train()
    bits, found = bits_for(grown), []
    for memory in MEMORY_MODES:
        grown.trunk.memory = memory
        grown.zero_grad()
        loss = binary_cross_entropy_with_logits(grown(bits, dropout_seed=2).logits, bits.float())
        loss.backward()  # type: ignore[no-untyped-call] # torch's
        found.append([loss, *map(gradient_of, grown.parameters())])
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_a_layer_more_changes_nothing_in_bf16_either() -> None:
    model, kept = tiny(), []
    for one in (model, add_layer(model)):
        with cpu_autocast(one, "bf16"), torch.no_grad():
            kept.append(one(bits_for(model)).logits)
    assert torch.equal(*kept)


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize(
    "features", [{}, {"patch_bits": 1, "parity": True}, {"ngram_order": 3, "recall": True, "ngram_slots": 16}]
)
@torch.no_grad()
def test_a_grown_model_decodes_what_its_own_whole_window_says_and_what_the_old_one_decoded(
    growth: Growth, features: dict[str, Any]
) -> None:
    model = tiny(**features)
    grown = grow(model, growth, seed=1)
    bits = bits_for(model, rows=1)
    patches, whole = grown.patches(bits), grown(bits)
    caches = model.new_cache(), grown.new_cache()
    trees = [one.next_patch_logits(cache, None) for one, cache in zip((model, grown), caches, strict=True)]
    for place in range(patches.shape[1] - 1):
        at = place * bits.shape[1] // patches.shape[1]
        if whole.is_payload[at]:
            torch.testing.assert_close(trees[1][0, 0], whole.logits[0, at], atol=2e-3, rtol=1e-3)
        if growth == "width":
            torch.testing.assert_close(*trees, atol=MOST_BY_ROUNDING, rtol=0)
        else:
            assert torch.equal(*trees)
        told = patches[:, place]
        trees = [
            one.next_patch_logits(cache, told) for one, cache in zip((model, grown), caches, strict=True)
        ]


def test_the_halting_unit_of_the_former_last_layer_halts_no_old_layer() -> None:
    model = tiny(use_act=True, num_layers=3)
    grown, bits = add_layer(model), bits_for(model)
    depths = [one(bits).depth_mean for one in (model, grown)]
    assert torch.equal(model(bits).logits, grown(bits).logits)
    assert 1 < float(depths[0]) < float(depths[1]) < float(depths[0]) + 1
    cached = [one.new_cache() for one in (model, grown)]
    assert torch.equal(
        *(one.prefill(cache, bits[:1, :64]) for one, cache in zip((model, grown), cached, strict=True))
    )


@torch.no_grad()
def test_a_wider_models_units_halt_as_before() -> None:
    model = tiny(use_act=True, num_layers=3).train()
    depths = [one(bits_for(model), dropout_seed=4).depth_mean for one in (model, double_width(model))]
    assert float(depths[0]) < 2.5
    torch.testing.assert_close(*depths, atol=1e-4, rtol=0)


@pytest.mark.parametrize("growth", GROWTHS)
def test_growing_leaves_the_old_model_alone_and_shares_no_memory_with_it(growth: Growth) -> None:
    model = tiny(mixing="reference", memory="recompute").train()
    model.trunk.memory = "checkpoint"
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    grown = grow(model, growth)
    assert grown.training
    assert (grown.reference, grown.trunk.memory) == (model.reference, "checkpoint")
    with torch.no_grad():
        for parameter in grown.parameters():
            parameter.add_(1)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_the_same_seed_grows_the_same_weights_and_another_one_others() -> None:
    for growth in ("layer", "width"):
        same, again, other = (grow(tiny(), growth, seed=seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(weight, again[name]) for name, weight in same.items())
        assert any(not torch.equal(weight, other[name]) for name, weight in same.items())


def test_a_new_layer_learns_its_gains_first_and_all_its_weights_from_the_second_update_on() -> None:
    grown = add_layer(tiny()).train()
    bits = bits_for(grown)
    optimizer = torch.optim.SGD(grown.parameters(), lr=0.1)
    moved: list[set[str]] = []
    for _ in range(2):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(grown(bits).logits, bits.float()).backward()  # type: ignore[no-untyped-call] # torch's
        block = grown.trunk.typed_blocks[-1]
        moved.append({name for name, one in block.named_parameters() if gradient_of(one).abs().max() > 0})
        optimizer.step()
    assert moved[0] == set(GAINS)
    assert moved[1] == {name for name, _ in grown.trunk.typed_blocks[-1].named_parameters()}


def test_three_growths_and_three_more_still_predict_the_same() -> None:
    model = tiny(use_act=True, ngram_order=2, ngram_slots=16)
    grown = model
    for growth in (*GROWTHS, *GROWTHS):
        grown = grow(grown, growth)
    assert (grown.config.num_layers, grown.config.d_model, grown.config.sinusoid_width) == (4, 32, 8)
    bits = bits_for(model)
    apart = model(bits, full_depth=True).logits - grown(bits, full_depth=True).logits
    assert apart.abs().max() < 2 * MOST_BY_ROUNDING


@pytest.mark.parametrize(
    ("growth", "features", "message"),
    [
        ("layer", {"num_layers": 1024}, "num_layers=1025: use a whole number from 1 to 1024"),
        ("width", {"dim_feedforward": 16384}, "dim_feedforward=32768: use a whole number from 1 to 16384"),
        ("context", {"max_seq_len": 2**18}, "max_seq_len=524288: use a whole number from 8 to 262144"),
    ],
)
def test_what_would_be_too_large_is_refused_by_the_name_of_its_setting(
    growth: Growth, features: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        grown_config(ModelConfig(**(SHAPE | features)), growth)


def test_an_unknown_growth_is_refused_with_those_there_are(unchecked_types: None) -> None:
    with pytest.raises(ConfigError, match=r"growth='height': use one of layer, width, context"):
        grow(tiny(), "height")  # type: ignore[arg-type] # what a user may write
