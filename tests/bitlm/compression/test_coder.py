import hashlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.compression.coder import LaneDecoder, LaneEncoder
from bitlm.compression.coder_kernels import PROBABILITY_BITS, probabilities_of_ones


def some_logits(seed: int, steps: int, lanes: int, patch_bits: int, spread: float) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(0, spread, (steps, lanes, (1 << patch_bits) - 1)).astype(np.float32).astype(np.float64)


def encoded(logits: np.ndarray, leaves: np.ndarray, patch_bits: int) -> list[bytes]:
    steps, lanes, _ = logits.shape
    encoder = LaneEncoder(lanes, patch_bits, most_bytes=30 * steps)
    for step in range(steps):
        encoder.encode(logits[step], leaves[step], np.ones(lanes, dtype=np.bool_))
    return encoder.finish()


def decoded(logits: np.ndarray, lanes: list[bytes], patch_bits: int) -> np.ndarray:
    decoder = LaneDecoder(lanes, patch_bits)
    return np.stack([decoder.decode(trees) for trees in logits])


def ideal_bits(logits: np.ndarray, leaves: np.ndarray, patch_bits: int) -> np.ndarray:
    """The code length of each lane under the probabilities as they are quantised."""
    ones = np.stack([probabilities_of_ones(trees) for trees in logits]) / 2.0**PROBABILITY_BITS
    bits = np.zeros(leaves.shape[1])
    for depth in range(patch_bits):
        nodes = (leaves >> (patch_bits - depth)) + (1 << depth) - 1
        of_one = np.take_along_axis(ones, nodes[..., None], axis=-1)[..., 0]
        is_one = (leaves >> (patch_bits - 1 - depth)) & 1
        bits -= np.log2(np.where(is_one, of_one, 1 - of_one)).sum(0)
    return bits


@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 40),
    lanes=st.integers(1, 5),
    patch_bits=st.sampled_from([1, 8]),
    spread=st.sampled_from([0.0, 0.1, 2.0, 30.0, 1e4]),
)
def test_what_was_coded_comes_out_again_in_its_ideal_length_and_a_byte(
    seed: int, steps: int, lanes: int, patch_bits: int, spread: float
) -> None:
    logits = some_logits(seed, steps, lanes, patch_bits, spread)
    leaves = np.random.default_rng(seed).integers(0, 1 << patch_bits, (steps, lanes))
    code = encoded(logits, leaves, patch_bits)
    assert np.array_equal(decoded(logits, code, patch_bits), leaves)
    ideal = ideal_bits(logits, leaves, patch_bits)
    assert all(8 * len(lane) <= bits * (1 + 1e-4) + 8 for lane, bits in zip(code, ideal, strict=True))


def test_likely_patches_take_next_to_nothing_and_none_more_than_twenty_two_bits_a_bit() -> None:
    certain = np.full((1000, 1, 1), 40.0)
    assert len(encoded(certain, np.ones((1000, 1), dtype=np.int64), 1)[0]) <= 1
    assert len(encoded(certain, np.zeros((1000, 1), dtype=np.int64), 1)[0]) == pytest.approx(2750, abs=1)


def test_a_thousand_fair_bits_take_a_thousand_bits() -> None:
    draw = random.Random(3)  # noqa: S311 - bits that are the same everywhere
    leaves = np.array([[draw.randrange(2)] for _ in range(1000)])
    (code,) = encoded(np.zeros((1000, 1, 1)), leaves, 1)
    assert len(code) in {125, 126}


def test_a_lane_that_does_not_go_on_stays_as_it_is() -> None:
    encoder = LaneEncoder(2, 8, most_bytes=100)
    logits = some_logits(0, 20, 2, 8, 1.0)
    leaves = np.random.default_rng(0).integers(0, 256, (20, 2))
    for step in range(20):
        encoder.encode(logits[step], leaves[step], np.array([True, step < 10]))
    first, second = encoder.finish()
    assert first == encoded(logits[:, :1], leaves[:, :1], 8)[0]
    assert second == encoded(logits[:10, 1:], leaves[:10, 1:], 8)[0]


def test_other_bytes_are_some_patches_or_other() -> None:
    logits = some_logits(0, 50, 1, 8, 3.0)
    for lane in (b"", b"\x00", b"\xff" * 100, b"\x80" * 7):
        assert decoded(logits, [lane], 8).shape == (50, 1)


def test_probabilities_are_never_certain_and_those_of_opposite_logits_add_up_to_one() -> None:
    logits = np.array([[-1e6, -30.0, -1.0, 0.0, 1.0, 30.0, 1e6]])
    ones = probabilities_of_ones(logits)[0].astype(np.int64)
    assert ones[[0, 3, 6]].tolist() == [1, 1 << 21, (1 << 22) - 1]
    assert (ones + ones[::-1] == 1 << PROBABILITY_BITS).all()
    assert ones[4] / 2.0**PROBABILITY_BITS == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-6)


def test_the_code_is_these_bytes_on_every_processor() -> None:
    draw = random.Random(1)  # noqa: S311 - numbers that are the same everywhere
    logits = np.array(
        [[[draw.randrange(-4096, 4096) / 512 for _ in range(255)] for _ in "ab"] for _ in range(60)]
    )
    leaves = np.array([[draw.randrange(256) for _ in "ab"] for _ in range(60)])
    code = b"".join(encoded(logits, leaves, 8))
    assert hashlib.sha256(code).hexdigest()[:16] == "5921fa4d339e323c"
