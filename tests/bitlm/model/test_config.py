from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlm.errors import ConfigError
from bitlm.model import BitTransformer, ModelConfig


@pytest.mark.parametrize(
    ("field", "value", "fix"),
    [
        ("d_model", 0, "whole number from 2"),
        ("d_model", 128.0, "whole number"),
        ("d_model", "128", "whole number"),
        ("d_model", 10**9, "to 4096"),
        ("nhead", True, "whole number"),
        ("nhead", 5, "divides d_model=128 without remainder, or set head_width"),
        ("head_width", 5, "use an even number: rotary positions turn pairs"),
        ("head_width", -2, "whole number"),
        ("num_layers", 0, "from 1"),
        ("dim_feedforward", -1, "from 1"),
        ("max_seq_len", 7, "from 8"),
        ("max_seq_len", 10**12, "to 262144"),
        ("sinusoid_width", 5, "divides d_model=128"),
        ("sinusoid_width", 48, "divides d_model=128"),
        ("sinusoid_width", -2, "whole number"),
        ("patch_bits", 4, "use 1 or 8"),
        ("patch_bits", True, "whole number"),
        ("parity", 1, "true or false"),
        ("dropout", 1.0, "not including, 1"),
        ("dropout", -0.1, "from 0"),
        ("dropout", nan, "from 0"),
        ("dropout", inf, "from 0"),
        ("dropout", True, "from 0"),
        ("use_act", 1, "true or false"),
        ("act_threshold", 0.0, "above 0"),
        ("act_threshold", 1.5, "at most 1"),
        ("act_threshold", nan, "above 0"),
        ("memory", "disk", "use 'store' or 'checkpoint' or 'recompute' or 'auto'"),
        ("objective", "noise", "use 'causal' or 'diffusion' or 'mixed'"),
        ("mask_unit", "word", "use 'byte' or 'bit'"),
        ("memory", None, "use 'store'"),
        ("chunk_size", -8, "from 0"),
        ("chunk_size", 12, "use a multiple of 8 bits, whole frames"),
        ("chunk_size", 2**18 + 8, "to 262144"),
        ("overlap", 8.0, "whole number"),
        ("overlap", 8, "use 0, or set chunk_size"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_fix(
    unchecked_types: None, field: str, value: Any, fix: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig(**{field: value})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}={value!r}: ")
    assert fix in str(caught.value)


def test_heads_of_odd_width_are_refused_because_rotations_turn_pairs() -> None:
    with pytest.raises(ConfigError, match=r"d_model=12: use an even multiple of nhead=4"):
        ModelConfig(d_model=12, nhead=4)


@pytest.mark.parametrize(("head_width", "channels", "together"), [(0, 6, 12), (4, 4, 8), (20, 20, 40)])
def test_heads_share_the_width_unless_they_have_one_of_their_own(
    head_width: int, channels: int, together: int
) -> None:
    config = ModelConfig(d_model=12, nhead=2, head_width=head_width)
    assert (config.channels_per_head, config.attention_width) == (channels, together)


def test_a_single_layer_leaves_no_depth_to_choose() -> None:
    with pytest.raises(ConfigError, match=r"use_act=True: use at least 2 layers"):
        ModelConfig(num_layers=1, use_act=True)


def test_a_window_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_seq_len=8: use at least 9 bits"):
        ModelConfig(max_seq_len=8, parity=True)


def test_a_model_too_large_for_any_laptop_is_refused_before_it_is_made() -> None:
    with pytest.raises(ConfigError, match=r"num_layers=1024: .* parameters"):
        ModelConfig(d_model=4096, num_layers=1024)


@pytest.mark.parametrize(
    ("patch_bits", "parity", "positions", "window_bytes"),
    [(8, False, 12, 12), (8, True, 11, 11), (1, False, 96, 12), (1, True, 99, 11)],
)
def test_a_window_of_a_hundred_bits_holds_whole_frames_only(
    *, patch_bits: int, parity: bool, positions: int, window_bytes: int
) -> None:
    config = ModelConfig(max_seq_len=100, patch_bits=patch_bits, parity=parity)
    assert (config.positions, config.window_bytes) == (positions, window_bytes)


def test_with_parity_chunks_are_frames_of_nine_bits() -> None:
    with pytest.raises(ConfigError, match=r"overlap=8: use a multiple of 9 bits"):
        ModelConfig(parity=True, chunk_size=18, overlap=8)


@pytest.mark.parametrize(
    ("patch_bits", "parity", "chunk_size", "visible_from"),
    [
        (8, False, 32, (0, 2, 6)),
        (8, True, 36, (0, 2, 6)),
        (1, False, 32, (0, 16, 48)),
        (1, True, 36, (0, 18, 54)),
    ],
)
def test_chunks_and_overlap_are_counted_in_positions(
    *, patch_bits: int, parity: bool, chunk_size: int, visible_from: tuple[int, ...]
) -> None:
    config = ModelConfig(patch_bits=patch_bits, parity=parity, chunk_size=chunk_size, overlap=chunk_size // 2)
    chunk = 4 * config.positions_per_frame
    assert tuple(config.visibility.first(place * chunk + 1) for place in range(3)) == visible_from


@settings(max_examples=20)
@given(
    width=st.integers(1, 6),
    nhead=st.integers(1, 4),
    head_width=st.sampled_from([0, 2, 10]),
    layers=st.integers(1, 3),
    dim_feedforward=st.integers(1, 20),
    patch_bits=st.sampled_from([1, 8]),
    parity=st.booleans(),
    use_act=st.booleans(),
    ngram_order=st.integers(1, 4),
    recall=st.booleans(),
)
def test_the_parameters_counted_are_the_parameters_made(
    *,
    width: int,
    nhead: int,
    head_width: int,
    layers: int,
    dim_feedforward: int,
    patch_bits: int,
    parity: bool,
    use_act: bool,
    ngram_order: int,
    recall: bool,
) -> None:
    config = ModelConfig(
        d_model=2 * width if head_width else 2 * width * nhead,
        nhead=nhead,
        head_width=head_width,
        num_layers=layers,
        dim_feedforward=dim_feedforward,
        max_seq_len=40,
        patch_bits=patch_bits,
        parity=parity,
        use_act=use_act and layers > 1,
        ngram_order=ngram_order if patch_bits == 8 else 1,
        ngram_slots=16,
        recall=recall and patch_bits == 8,
    )
    assert BitTransformer(config).parameter_count == config.parameter_count
