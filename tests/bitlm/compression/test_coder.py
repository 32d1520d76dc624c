import hashlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlm.compression.coder import LaneDecoder, LaneEncoder
from bitlm.compression.coder_kernels import PROBABILITY_BITS, probabilities_of_ones


def some_logits(seed: int, steps: int, lanes: int, spread: float) -> np.ndarray:
    logits: np.ndarray = np.random.default_rng(seed).normal(0, spread, (steps, lanes)).astype(np.float32)
    return logits


def some_bits(seed: int, steps: int, lanes: int) -> np.ndarray:
    return np.random.default_rng(seed).random((steps, lanes)) < 1 / 2


def encoded(logits: np.ndarray, bits: np.ndarray) -> list[bytes]:
    encoder = LaneEncoder(logits.shape[1], most_bytes=3 * len(logits))
    for here, bit in zip(logits, bits, strict=True):
        encoder.encode(here, bit, np.ones(len(bit), dtype=np.bool_))
    return encoder.finish()


def decoded(logits: np.ndarray, lanes: list[bytes]) -> np.ndarray:
    decoder = LaneDecoder(lanes)
    return np.stack([decoder.decode(here) for here in logits])


def ideal_bits(logits: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The code length of each lane under the probabilities as they are quantised."""
    of_one = probabilities_of_ones(logits.astype(np.float64)) / 2.0**PROBABILITY_BITS
    ideal: np.ndarray = -np.log2(np.where(bits, of_one, 1 - of_one)).sum(0)
    return ideal


@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 300),
    lanes=st.integers(1, 5),
    spread=st.sampled_from([0.0, 0.1, 2.0, 30.0, 1e4]),
)
def test_what_was_coded_comes_out_again_in_its_ideal_length_and_a_byte(
    seed: int, steps: int, lanes: int, spread: float
) -> None:
    logits, bits = some_logits(seed, steps, lanes, spread), some_bits(seed, steps, lanes)
    code = encoded(logits, bits)
    assert np.array_equal(decoded(logits, code), bits)
    ideal = ideal_bits(logits, bits)
    assert all(8 * len(lane) <= bits * (1 + 1e-4) + 8 for lane, bits in zip(code, ideal, strict=True))


def test_likely_bits_take_next_to_nothing_and_none_more_than_twenty_two_bits() -> None:
    certain = np.full((1000, 1), 40.0, dtype=np.float32)
    assert len(encoded(certain, np.ones((1000, 1), dtype=np.bool_))[0]) <= 1
    assert len(encoded(certain, np.zeros((1000, 1), dtype=np.bool_))[0]) == pytest.approx(2750, abs=1)


def test_a_thousand_fair_bits_take_a_thousand_bits() -> None:
    draw = random.Random(3)  # noqa: S311 - bits that are the same everywhere
    bits = np.array([[draw.random() < 1 / 2] for _ in range(1000)])
    (code,) = encoded(np.zeros((1000, 1), dtype=np.float32), bits)
    assert len(code) in {125, 126}


def test_a_lane_that_does_not_go_on_stays_as_it_is() -> None:
    encoder = LaneEncoder(2, most_bytes=100)
    logits, bits = some_logits(0, 160, 2, 1.0), some_bits(0, 160, 2)
    for step in range(160):
        encoder.encode(logits[step], bits[step], np.array([True, step < 80]))
    first, second = encoder.finish()
    assert first == encoded(logits[:, :1], bits[:, :1])[0]
    assert second == encoded(logits[:80, 1:], bits[:80, 1:])[0]


def test_other_bytes_are_some_bits_or_other() -> None:
    logits = some_logits(0, 400, 1, 3.0)
    for lane in (b"", b"\x00", b"\xff" * 100, b"\x80" * 7):
        assert decoded(logits, [lane]).shape == (400, 1)


def test_probabilities_are_never_certain_and_those_of_opposite_logits_add_up_to_one() -> None:
    logits = np.array([[-1e6, -30.0, -1.0, 0.0, 1.0, 30.0, 1e6]])
    ones = probabilities_of_ones(logits)[0].astype(np.int64)
    assert ones[[0, 3, 6]].tolist() == [1, 1 << 21, (1 << 22) - 1]
    assert (ones + ones[::-1] == 1 << PROBABILITY_BITS).all()
    assert ones[4] / 2.0**PROBABILITY_BITS == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-6)


def test_the_code_is_these_bytes_on_every_processor() -> None:
    draw = random.Random(1)  # noqa: S311 - numbers that are the same everywhere
    logits = np.array(
        [[draw.randrange(-4096, 4096) / 512 for _ in "ab"] for _ in range(480)], dtype=np.float32
    )
    bits = np.array([[draw.random() < 1 / 2 for _ in "ab"] for _ in range(480)])
    code = b"".join(encoded(logits, bits))
    assert hashlib.sha256(code).hexdigest()[:16] == "7f0ff13a27bdb4f5"
