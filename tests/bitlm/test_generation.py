from collections import Counter
from itertools import product
from math import nan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitlm.bits import bits_to_bytes, bytes_to_bits, parity_errors
from bitlm.errors import BitFormatError, ConfigError, GridOverflowError, ParityError
from bitlm.generation import GeneratedByte, Sample, collect, generate, generate_batch
from bitlm.model import BitTransformer, ModelConfig, leaf_log_probabilities
from bitlm.sampling import Sampling, keep_likeliest

FORMATS = list(product([1, 8], [False, True]))
NOTHING = torch.zeros(0, dtype=torch.uint8)


def lively_model(patch_bits: int = 8, *, parity: bool = False, **shape: Any) -> BitTransformer:
    """A tiny model whose predictions differ from byte to byte."""
    tiny: dict[str, Any] = {
        "d_model": 16,
        "nhead": 2,
        "num_layers": 2,
        "dim_feedforward": 32,
        "max_seq_len": 54,
    }
    model = BitTransformer(ModelConfig(patch_bits=patch_bits, parity=parity, **(tiny | shape)), seed=4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "project" in name:
                parameter.mul_(5)
            if name.startswith("head"):
                parameter.mul_(100)
    return model.eval()


def emit(model: BitTransformer, prompt: bytes = b"", **settings: Any) -> Sample:
    frames = bytes_to_bits(prompt, parity=model.config.parity)
    return collect(generate(model, frames, **settings), model.config.parity)


def whole_window_logits(model: BitTransformer, seen: bytes, last: bytes) -> Tensor:
    """The payload logits of the last byte, by the model's forward pass over a window."""
    with torch.no_grad():
        output = model(bytes_to_bits(seen + last, parity=model.config.parity)[None])
    logits: Tensor = output.logits[0, output.is_payload][-8:]
    return logits.double()


@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
def test_the_same_seed_emits_the_same_whole_frames_with_valid_parity(
    *, patch_bits: int, parity: bool
) -> None:
    model = lively_model(patch_bits, parity=parity)
    first, again, other = (emit(model, b"Hi", max_new_bytes=12, seed=seed) for seed in (1, 1, 2))
    assert first.data == again.data
    assert torch.equal(first.probabilities, again.probabilities)
    assert first.data != other.data
    assert len(first.data) == 12
    assert first.bits.shape == (12 * model.config.frame_bits,)
    assert not parity or parity_errors(first.bits) == []
    assert bits_to_bytes(first.bits, parity=parity) == first.data


@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
def test_probabilities_are_the_models_own_also_after_the_window_slides(
    *, patch_bits: int, parity: bool
) -> None:
    model = lively_model(patch_bits, parity=parity)
    window = model.config.window_bytes
    prompt = b"a"
    sample = emit(model, prompt, max_new_bytes=3 * window, temperature=1.5)
    seen = bytearray(prompt)
    for index, value in enumerate(sample.data):
        if len(seen) >= window:
            del seen[: len(seen) - window // 2]
        logits = whole_window_logits(model, bytes(seen), bytes([value]))
        found = torch.logit(sample.probabilities[8 * index : 8 * index + 8])
        torch.testing.assert_close(found, logits, atol=1e-3, rtol=1e-3)
        seen.append(value)


def test_a_prompt_longer_than_the_window_counts_by_its_last_half_window() -> None:
    model = lively_model()
    long = bytes(range(65, 91))
    half = long[-(model.config.window_bytes // 2) :]
    assert emit(model, long, max_new_bytes=5).data == emit(model, half, max_new_bytes=5).data


def test_a_window_of_one_byte_still_generates() -> None:
    sample = emit(lively_model(max_seq_len=8), b"abc", max_new_bytes=5)
    assert len(sample.data) == 5


def test_temperature_zero_takes_the_likeliest_byte_whatever_the_seed() -> None:
    model = lively_model()
    greedy = emit(model, b"x", max_new_bytes=4, temperature=0, seed=1)
    assert greedy.data == emit(model, b"x", max_new_bytes=4, temperature=0.0, seed=2).data
    likelihoods = []
    for value in range(256):
        logits = whole_window_logits(model, b"x", bytes([value]))
        signs = bytes_to_bits(bytes([value])).double() * 2 - 1
        likelihoods.append(torch.nn.functional.logsigmoid(logits * signs).sum().item())
    assert greedy.data[0] == int(np.argmax(likelihoods))


def test_temperature_zero_takes_the_likelier_bit_when_a_patch_is_a_bit() -> None:
    sample = emit(lively_model(patch_bits=1), b"x", max_new_bytes=3, temperature=0)
    assert torch.equal(sample.payload_bits.bool(), sample.probabilities > 0.5)


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.5, 0.3, 0.15, 0.05]),
        (0.5, 1.0, [0.25, 0.09, 0.0225, 0.0025]),
        (2.0, 1.0, [0.5**0.5, 0.3**0.5, 0.15**0.5, 0.05**0.5]),
        (1.0, 0.79, [0.5, 0.3, 0, 0]),
        (1.0, 0.81, [0.5, 0.3, 0.15, 0]),
        (1.0, 1e-9, [1, 0, 0, 0]),
        (0.5, 0.9, [0.25, 0.09, 0, 0]),
    ],
)
def test_draws_follow_the_tempered_and_cut_distribution(
    temperature: float, top_p: float, expected: list[float]
) -> None:
    draws = 4000
    sampling = Sampling(temperature, top_p, seeds=range(draws))
    log_probabilities = np.log([[0.5, 0.3, 0.15, 0.05]] * draws)
    uniforms = sampling.uniforms(0, 1)[:, 0]
    counts = Counter(sampling.choose(log_probabilities, uniforms).tolist())
    wanted = np.array(expected) / sum(expected) * draws
    found = np.array([counts[leaf] for leaf in range(4)])
    possible = wanted > 0
    assert found[~possible].sum() == 0
    chi_square = ((found - wanted)[possible] ** 2 / wanted[possible]).sum()
    assert chi_square < 16.3  # the 99.9 % point at 3 degrees of freedom


def test_bytes_come_out_as_often_as_the_model_says() -> None:
    model = lively_model()
    draws = 300
    counts = Counter(next(generate(model, NOTHING, seed=seed)).value for seed in range(draws))
    tree = model.next_patch_logits(model.new_cache(), None)[0].double()
    first_bit_one = torch.sigmoid(tree[0]).item()
    found = sum(count for value, count in counts.items() if value >= 128) / draws
    assert abs(found - first_bit_one) < 3.3 * (first_bit_one * (1 - first_bit_one) / draws) ** 0.5


@settings(max_examples=50)
@given(
    uniform=st.floats(0, 1, exclude_max=True),
    temperature=st.sampled_from([0.0, 1e-300, 0.1, 1.0, 100.0]),
    top_p=st.sampled_from([1e-300, 0.5, 1.0]),
    spread=st.sampled_from([0.0, 1.0, 700.0]),
)
def test_every_uniform_picks_a_leaf_that_has_probability(
    uniform: float, temperature: float, top_p: float, spread: float
) -> None:
    log_probabilities = np.linspace([0, -spread], [-spread, 0], 256).T
    log_probabilities[:, 7] = -np.inf
    leaves = Sampling(temperature, top_p, [0, 1]).choose(log_probabilities, np.array([uniform, uniform]))
    assert leaves.shape == (2,)
    assert ((leaves >= 0) & (leaves < 256) & (leaves != 7)).all()


def test_text_ends_after_the_first_stop_string() -> None:
    model = lively_model()
    free = emit(model, max_new_bytes=30, seed=8).data
    ending = free[9:11]
    stopped = emit(model, max_new_bytes=30, seed=8, stop=[b"\x00never\x00", ending]).data
    assert stopped == free[: free.index(ending) + 2]


@pytest.mark.parametrize(("patch_bits", "parity"), FORMATS)
@pytest.mark.parametrize("rows", [2, 5])
def test_texts_drawn_side_by_side_are_those_drawn_alone(*, patch_bits: int, parity: bool, rows: int) -> None:
    model = lively_model(patch_bits, parity=parity)
    prompts = [bytes_to_bits(text, parity=parity) for text in (b"Hi", b"", b"ho", b"so long!")]
    drawing: dict[str, Any] = {"max_new_bytes": 8, "temperature": 1.2, "top_p": 0.9}
    batch = generate_batch(model, prompts, seeds=range(4), **drawing)
    for seed, (prompt, sample) in enumerate(zip(prompts, batch, strict=True)):
        alone = collect(generate(model, prompt, seed=seed, **drawing), parity)
        assert sample.data == alone.data
        assert torch.equal(sample.probabilities, alone.probabilities)


def test_a_text_of_a_batch_ends_by_itself() -> None:
    model = lively_model()
    free = [emit(model, max_new_bytes=30, seed=seed).data for seed in range(3)]
    ending = free[1][9:11]
    stopped = generate_batch(model, [NOTHING] * 3, seeds=range(3), max_new_bytes=30, stop=[ending])
    cut = [data[: data.find(ending) + 2] if ending in data else data for data in free]
    assert [sample.data for sample in stopped] == cut
    assert len(cut[1]) < 30 == max(len(data) for data in cut)


def test_a_batch_of_no_prompts_is_empty_and_one_with_too_few_seeds_is_refused() -> None:
    assert generate_batch(lively_model(), [], seeds=[]) == []
    with pytest.raises(ConfigError, match=r"^seeds=.*each of the 2 prompts"):
        generate_batch(lively_model(), [NOTHING, NOTHING], seeds=[1])


@settings(max_examples=30)
@given(
    logits=st.lists(st.lists(st.floats(-30, 30), min_size=15, max_size=15), min_size=1, max_size=4),
    share=st.floats(0.01, 1),
)
def test_the_leaves_kept_are_the_fewest_that_hold_the_share(logits: list[list[float]], share: float) -> None:
    weights = np.exp(np.array([leaf_log_probabilities(np.array(row)) for row in logits]))
    assert np.array_equal(weights, np.exp(leaf_log_probabilities(np.array(logits))))
    for row in weights:
        kept = row.copy()
        keep_likeliest(kept, share)
        count = np.count_nonzero(kept)
        ordered = np.sort(row)[::-1]
        assert np.array_equal(np.sort(kept)[::-1][:count], ordered[:count])
        assert ordered[:count].sum() >= share * row.sum() * (1 - 1e-12)
        assert ordered[: count - 1].sum() < share * row.sum() * (1 + 1e-12)


def test_surprise_is_the_code_length_of_the_byte() -> None:
    certain = GeneratedByte(0b10000000, (1.0, *[0.0] * 7))
    assert certain.surprise_bits == 0
    assert GeneratedByte(0b10000001, (0.25, *[0.5] * 7)).surprise_bits == 9
    assert GeneratedByte(255, (0.0, *[1.0] * 7)).surprise_bits == 53


def test_characters_join_the_bytes_of_utf8_and_mark_those_that_are_not() -> None:
    data = "é€".encode() + b"\xe2\x82" + b"a\xff" + "🙂".encode()
    sample = Sample(data, torch.full((8 * len(data),), 0.5, dtype=torch.float64), parity=False)
    bad = "\ufffd"
    assert [text for text, _ in sample.characters] == ["é", "€", bad, bad, "a", bad, "🙂"]
    assert [surprise for _, surprise in sample.characters] == [16, 24, 8, 8, 8, 8, 32]


@given(text=st.text(max_size=20))
def test_characters_of_valid_text_are_the_text(text: str) -> None:
    data = text.encode()
    sample = Sample(data, torch.full((8 * len(data),), 0.5, dtype=torch.float64), parity=False)
    assert [character for character, _ in sample.characters] == list(text)
    assert sample.text == text


def test_generating_leaves_the_global_generator_the_mode_and_gradients_alone() -> None:
    model = lively_model(dropout=0.5).train()
    state = torch.get_rng_state()
    emitted = generate(model, NOTHING, max_new_bytes=3)
    next(emitted)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert collect(emitted, parity=False).data == emit(model, max_new_bytes=3).data[1:]
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_new_bytes", 0),
        ("max_new_bytes", 2.0),
        ("max_new_bytes", 10**7),
        ("temperature", -0.1),
        ("temperature", nan),
        ("temperature", 101),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_p", nan),
        ("stop", [b""]),
    ],
)
def test_a_wrong_setting_is_refused_before_the_first_byte(
    unchecked_types: None, field: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        generate(lively_model(), NOTHING, **{field: value})


def test_a_prompt_that_is_not_whole_frames_is_refused() -> None:
    with pytest.raises(BitFormatError):
        generate(lively_model(), torch.zeros(9, dtype=torch.uint8))
    broken = bytes_to_bits(b"ok", parity=True)
    broken[3] ^= 1
    with pytest.raises(ParityError):
        generate(lively_model(parity=True), broken)


def test_weights_that_are_not_finite_are_reported_and_not_sampled_from() -> None:
    model = lively_model()
    with torch.no_grad():
        model.head.weight.fill_(nan)
    with pytest.raises(GridOverflowError, match="go back to the last checkpoint"):
        emit(model)


@given(data=st.binary(max_size=12))
def test_the_characters_of_a_sample_spell_its_text_and_carry_all_its_surprise(data: bytes) -> None:
    sample = Sample(data, torch.full((8 * len(data),), 0.25, dtype=torch.float64), parity=False)
    assert "".join(character for character, _ in sample.characters) == sample.text
    total = sum(surprise for _, surprise in sample.characters)
    assert total == pytest.approx(sum(sample.surprises_bits))
    assert Sample(b"\xc3\xa9\xe2\x82!", torch.zeros(40).double(), parity=False).text == "é\ufffd\ufffd!"


def test_the_likeliest_bytes_are_told_with_the_models_probabilities() -> None:
    model = lively_model()
    told = list(generate(model, NOTHING, max_new_bytes=6, temperature=0.0, alternatives=256))
    plain = list(generate(model, NOTHING, max_new_bytes=6, temperature=0.0))
    for one, other in zip(told, plain, strict=True):
        assert (one.value, one.probabilities) == (other.value, other.probabilities)
        values, probabilities = zip(*one.alternatives, strict=True)
        assert sorted(values) == list(range(256))
        assert sum(probabilities) == pytest.approx(1.0)
        assert list(probabilities) == sorted(probabilities, reverse=True)
        assert values[0] == one.value, "at temperature 0 it is the likeliest"
        assert probabilities[0] == pytest.approx(2**-one.surprise_bits)
        assert other.alternatives == ()


def test_a_model_that_decides_bit_by_bit_tells_no_alternatives() -> None:
    assert [
        one.alternatives for one in generate(lively_model(1), NOTHING, max_new_bytes=2, alternatives=4)
    ] == [(), ()]
