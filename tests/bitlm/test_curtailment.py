from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlm.curtailment import Curtailment
from bitlm.data import Corpus
from bitlm.gate import SafetyGate
from bitlm.generation import GeneratedByte, Sample
from bitlm.reference import ReferenceModel
from bitlm.telemetry import byte_log_probabilities

TEXT = Corpus("the first 100 kB of the embedded text", Corpus.embedded().data[:100_000])
REFERENCE = ReferenceModel.fit(TEXT.train, order=3)


def emitted(data: bytes) -> Iterator[GeneratedByte]:
    return (GeneratedByte(value, (0.5,) * 8) for value in data)


def until_settled(data: bytes, gate: SafetyGate, history: bytes = b"", length: int | None = None) -> bytes:
    watch = Curtailment(
        REFERENCE,
        c_floor=gate.c_floor,
        s_floor=gate.s_floor,
        length_bytes=length or len(data),
        history=history,
    )
    return bytes(generated.value for generated in watch.until_settled(emitted(data)))


def sample_of(data: bytes) -> Sample:
    return Sample(data, torch.full((8 * len(data),), 0.5, dtype=torch.float64), parity=False)


@pytest.mark.parametrize("length", [20, 128, 1000, 4096])
def test_text_that_passes_is_never_stopped_even_where_it_only_just_passes(length: int) -> None:
    for start in range(0, len(TEXT.held_out) - length, max(length // 2, 100)):
        data = TEXT.held_out[start : start + length]
        found = SafetyGate().judge(sample_of(data), REFERENCE)
        just = SafetyGate(c_floor=min(found.C, 1.0), s_floor=found.S)
        for gate in (SafetyGate(), just):
            if gate.judge(sample_of(data), REFERENCE).passed:
                assert until_settled(data, gate) == data


pieces = st.sampled_from([b"a", b"-", b"+-", b" the ", "é€".encode(), b"\xe2", b"\x82", b"\xff", b"module "])
texts = st.lists(pieces, min_size=1, max_size=60).map(b"".join)


@given(data=texts, c_floor=st.floats(0, 1), s_floor=st.floats(0, 1), history=texts)
def test_what_is_stopped_is_refused_both_as_it_stands_and_with_what_would_follow(
    data: bytes, c_floor: float, s_floor: float, history: bytes
) -> None:
    gate = SafetyGate(c_floor, s_floor)
    begun = until_settled(data, gate, history)
    if begun != data:
        assert not gate.judge(sample_of(begun), REFERENCE, history=history).passed
        assert not gate.judge(sample_of(data), REFERENCE, history=history).passed


def test_a_loop_is_stopped_when_its_copies_are_more_than_the_whole_may_have() -> None:
    assert len(until_settled(b"the of a" * 16, SafetyGate())) == 112  # the first look after 96
    assert len(until_settled(b"the of a" * 16, SafetyGate(c_floor=0))) == 128


def test_copies_that_are_just_three_quarters_of_the_whole_are_not_stopped() -> None:
    for length in (100, 128, 1000):
        copies = b"-" * (length * 3 // 4)
        gate = SafetyGate(c_floor=1e-9, s_floor=0)
        assert len(until_settled(copies + TEXT.held_out[: length - len(copies)], gate)) == length


def test_noise_is_stopped_when_likely_text_could_no_longer_make_up_for_it() -> None:
    noise = np.random.default_rng(0).integers(32, 127, 128, dtype=np.uint8).tobytes()
    begun = until_settled(noise, SafetyGate())
    assert 16 < len(begun) < 112
    assert until_settled(noise, SafetyGate(s_floor=0)) == noise
    assert len(until_settled(noise, SafetyGate(), length=1024)) == 128


def test_s_stops_a_text_at_the_first_look_at_which_certainty_of_all_the_rest_would_not_do() -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(32, 127, 256, dtype=np.uint8).tobytes()
        so_far = byte_log_probabilities(noise, REFERENCE).cumsum()
        lost = [look for look in range(16, 257, 16) if so_far[look - 1] < 8 * 256 * np.log2(0.5)]
        assert len(until_settled(noise, SafetyGate())) == lost[0]


@pytest.mark.parametrize("look", [16, 64, 128])
def test_half_a_bit_below_what_the_floor_leaves_is_enough_to_be_stopped(look: int) -> None:
    noise = np.random.default_rng(7).integers(32, 127, 256, dtype=np.uint8).tobytes()
    so_far = byte_log_probabilities(noise, REFERENCE).cumsum()
    below, above = (2.0 ** ((so_far[look - 1] + bits) / (8 * 256)) for bits in (0.5, -0.5))
    assert len(until_settled(noise, SafetyGate(s_floor=below))) == look
    assert len(until_settled(noise, SafetyGate(s_floor=above))) > look


def test_a_long_text_is_looked_at_sixty_four_times() -> None:
    assert len(until_settled(b"the of a" * 512, SafetyGate(s_floor=0))) == 3072 + 4096 // 64


def test_a_byte_that_is_not_utf_8_stops_the_text_at_once_unless_the_prompt_explains_it() -> None:
    euro = "€".encode()
    text = TEXT.held_out[:20]
    assert until_settled(text + b"\xff" + text, SafetyGate()) == text + b"\xff"
    assert until_settled(text + euro[:2] + text, SafetyGate()) == text + euro[:2] + text[:1]
    assert until_settled(euro[1:] + text, SafetyGate(), history=euro[:1]) == euro[1:] + text
    assert until_settled(euro[1:] + text, SafetyGate()) == euro[1:2]
    assert until_settled(text + euro[:2], SafetyGate()) == text + euro[:2]


def test_the_rest_can_still_be_taken() -> None:
    data = b"the of a" * 16
    rest = emitted(data)
    watch = Curtailment(REFERENCE, c_floor=0.3, s_floor=0.5, length_bytes=128)
    begun = [generated.value for generated in watch.until_settled(rest)]
    assert bytes([*begun, *(generated.value for generated in rest)]) == data
