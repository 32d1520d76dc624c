from collections.abc import Iterator
from itertools import cycle, islice

import numpy as np
import pytest

from bitlm.bits import bytes_to_bits
from bitlm.data import Corpus
from bitlm.gate import SafetyGate
from bitlm.generation import GeneratedByte
from bitlm.reference import ReferenceModel
from bitlm.streaming_gate import BURN_IN_BYTES, StreamingGate, _MovingMean
from bitlm.telemetry import byte_log_probabilities, lz_complexity

TEXT = Corpus("the first 100 kB of the embedded text", Corpus.embedded().data[:100_000])
REFERENCE = ReferenceModel.fit(TEXT.train, order=3)
PAGE = TEXT.held_out[:600]


def emitted(data: bytes) -> Iterator[GeneratedByte]:
    return (GeneratedByte(value, (0.9,) * 8) for value in data)


def watched(data: bytes, gate: SafetyGate | None = None, history: bytes = b"") -> tuple[int, StreamingGate]:
    stream = StreamingGate(gate or SafetyGate(), REFERENCE, history=history)
    return sum(1 for _ in stream.watch(emitted(data))), stream


def test_text_goes_on() -> None:
    length, stream = watched(PAGE)
    assert (length, stream.verdict) == (600, None)


@pytest.mark.parametrize("period", [1, 2, 8, 31, 64])
def test_text_that_falls_into_a_loop_is_stopped_soon_though_the_whole_would_pass(period: int) -> None:
    passage = TEXT.held_out[1000 : 1000 + period]
    length, stream = watched(PAGE + bytes(islice(cycle(passage), 1000)))
    assert stream.verdict is not None
    assert stream.verdict.repeats
    assert stream.verdict.stopped_at == length
    assert length - len(PAGE) <= max(96, 4 * period) + 32


def test_text_that_turns_into_noise_is_stopped_by_the_moving_average() -> None:
    noise = np.random.default_rng(0).integers(32, 127, 500, dtype=np.uint8).tobytes()
    length, stream = watched(PAGE + noise)
    assert stream.verdict is not None
    assert stream.verdict.reasons[0].startswith(f"S {stream.verdict.S:.2f} is below the floor 0.5")
    assert length <= len(PAGE) + 96


def test_c_is_of_the_last_128_bytes_and_s_a_mean_that_forgets_by_a_factor_of_e_in_64() -> None:
    noise = np.random.default_rng(0).integers(32, 127, 500, dtype=np.uint8).tobytes()
    length, stream = watched(PAGE + noise)
    assert stream.verdict is not None
    text = (PAGE + noise)[:length]
    weights = np.exp(-np.arange(length)[::-1] / 64)
    mean = np.average(byte_log_probabilities(text, REFERENCE), weights=weights)
    assert pytest.approx(2 ** (mean / 8)) == stream.verdict.S
    assert lz_complexity(bytes_to_bits(text[-128:])) == stream.verdict.C
    assert length % 16 == 0


def test_copies_are_a_share_of_the_last_128_bytes() -> None:
    length, stream = watched(PAGE + b"-" * 200, SafetyGate(c_floor=0.01, s_floor=0.0))
    assert stream.verdict is not None
    assert length == 704, "the first look at which there are more than 96 of them"
    assert stream.verdict.repetition == 104 / 128


def test_nothing_but_a_broken_byte_is_a_reason_during_the_burn_in() -> None:
    noise = np.random.default_rng(0).integers(32, 127, 500, dtype=np.uint8).tobytes()
    assert watched(noise)[0] == BURN_IN_BYTES
    length, stream = watched(PAGE[:20] + b"\xff" + PAGE)
    assert stream.verdict is not None
    assert stream.verdict.broken_at == 20
    assert length == 21


def test_a_broken_byte_is_named_by_its_place_in_the_whole() -> None:
    length, stream = watched(PAGE + b"\xe2a" + PAGE)
    assert stream.verdict is not None
    assert stream.verdict.reasons == ("byte 600 (0xe2) is not UTF-8, which the training text is",)
    assert length == 602


def test_floors_of_0_let_everything_pass() -> None:
    assert watched(b"\xff" * 1000, SafetyGate(0.0, 0.0))[1].verdict is None


def test_the_verdict_says_how_certain_the_model_was() -> None:
    _, stream = watched(b"a" * 500)
    assert stream.verdict is not None
    assert pytest.approx(1 - 0.4689956, abs=1e-6) == stream.verdict.K


def test_the_moving_mean_forgets_by_a_factor_of_e_for_each_memory() -> None:
    mean = _MovingMean(memory=2.0)
    mean.read([1.0])
    assert mean.mean == pytest.approx(1.0)
    mean.read([0.0, 0.0])
    assert mean.mean == pytest.approx(np.exp(-1) / (1 + np.exp(-0.5) + np.exp(-1)))
    mean.read([3.0] * 100)
    assert mean.mean == pytest.approx(3.0)
