"""Every attempt as it comes, and the same answer at the end."""

from typing import Any

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import ConfigError, SafetyGateError, SafetyGateWarning
from bitlm.generation import GeneratedByte, collect, generate
from bitlm.model import BitTransformer, ModelConfig
from bitlm.randomness import counter_seed
from bitlm.reference import ReferenceModel
from bitlm.safety import (
    AttemptBegun,
    AttemptEnded,
    hil_safe_inference,
    safe_sample_with_retry,
    stream_with_retry,
)

NOTHING = torch.zeros(0, dtype=torch.uint8)


@pytest.fixture
def model(corpus: Corpus, model_config: ModelConfig) -> BitTransformer:
    made = BitTransformer(model_config)
    made.reference = ReferenceModel.fit(corpus.train, order=3)
    return made


def test_a_stream_yields_every_byte_of_every_attempt_and_returns_the_whole_answer(
    model: BitTransformer,
) -> None:
    asked: dict[str, Any] = {"c_floor": 0.0, "s_floor": 1.0, "strict": False, "max_new_bytes": 32, "seed": 5}
    stream = stream_with_retry(model, NOTHING, **asked)
    emitted: dict[int, list[GeneratedByte]] = {}
    begun, ended = [], []
    while True:
        try:
            progress = next(stream)
        except StopIteration as end:
            gated = end.value
            break
        if isinstance(progress, AttemptBegun):
            begun.append(progress)
        elif isinstance(progress, AttemptEnded):
            ended.append(progress)
        else:
            assert isinstance(progress, GeneratedByte)
            emitted.setdefault(begun[-1].number, []).append(progress)
    with pytest.warns(SafetyGateWarning):
        whole = safe_sample_with_retry(model, NOTHING, **asked)
    assert (gated.sample.data, gated.verdict, gated.attempts) == (
        whole.sample.data,
        whole.verdict,
        whole.attempts,
    )
    assert [one.number for one in begun[:4]] == [1, 2, 3, 4]
    assert [one.is_resumed for one in begun] == [False] * 4 + [True]
    best = begun[-1].number
    assert bytes(one.value for one in emitted[best]) == gated.sample.data
    assert [one.attempt.verdict.stopped_at is None for one in ended] == [False] * 4 + [True]
    assert ended[-1].attempt == gated.attempts[best - 1]
    for one in ended[:4]:
        if one.number != best:
            assert len(emitted[one.number]) == one.attempt.verdict.stopped_at


def test_a_stream_says_with_each_attempt_how_it_is_drawn_and_tells_alternatives_if_asked(
    model: BitTransformer,
) -> None:
    stream = stream_with_retry(
        model, NOTHING, 0.0, 0.0, max_new_bytes=4, temperature=0.7, top_p=0.9, seed=3, alternatives=2
    )
    first, *emitted, last = list(stream)
    assert isinstance(first, AttemptBegun)
    assert (first.number, first.is_resumed, first.draw.mode) == (1, False, "causal")
    assert (first.draw.seed, first.draw.temperature, first.draw.top_p) == (3, 0.7, 0.9)
    assert isinstance(last, AttemptEnded)
    assert last.number == 1
    alone = list(
        generate(model, NOTHING, max_new_bytes=4, temperature=0.7, top_p=0.9, seed=3, alternatives=2)
    )
    assert emitted == alone
    assert all(isinstance(one, GeneratedByte) and len(one.alternatives) == 2 for one in emitted)


def test_nothing_asked_for_is_128_bytes_of_seed_0_at_temperature_1(model: BitTransformer) -> None:
    alone = collect(generate(model, NOTHING, max_new_bytes=128, temperature=1.0, seed=0), parity=False)
    for emit in (hil_safe_inference, safe_sample_with_retry):
        assert emit(model, NOTHING, 0.0, 0.0).sample.data == alone.data
    emitted = stream_with_retry(model, NOTHING, 0.0, 0.0)
    assert bytes(one.value for one in emitted if isinstance(one, GeneratedByte)) == alone.data


def test_the_settings_reach_the_sample_however_it_is_asked_for(model: BitTransformer) -> None:
    settings: dict[str, Any] = {"max_new_bytes": 24, "temperature": 0.6, "top_p": 0.5, "seed": 9}
    alone = collect(generate(model, NOTHING, **settings), parity=False)
    for emit in (hil_safe_inference, safe_sample_with_retry):
        gated = emit(model, NOTHING, 0.0, 0.0, **settings)
        assert gated.sample.data == alone.data
        (attempt,) = gated.attempts
        assert (attempt.seed, attempt.temperature, attempt.top_p) == (9, 0.6, 0.5)
        assert attempt.text == alone.text


def test_unless_said_otherwise_a_refused_sample_is_drawn_three_times_more(model: BitTransformer) -> None:
    for emit, attempts in ((hil_safe_inference, 1), (safe_sample_with_retry, 4)):
        with pytest.raises(SafetyGateError) as caught:
            emit(model, NOTHING, 0.0, 1.0, max_new_bytes=8)
        assert len(caught.value.attempts) == attempts
    with pytest.raises(SafetyGateError) as caught:
        list(stream_with_retry(model, NOTHING, 0.0, 1.0, max_new_bytes=8))
    assert [attempt.seed for attempt in caught.value.attempts] == [
        0,
        *(counter_seed(0, retry, "retry") for retry in (1, 2, 3)),
    ]


def test_a_retry_is_never_colder_than_a_tenth_of_the_first(model: BitTransformer) -> None:
    with pytest.raises(SafetyGateError) as caught:
        safe_sample_with_retry(model, NOTHING, 0.0, 1.0, max_new_bytes=1, temperature=2.0, max_retries=11)
    found = [round(attempt.temperature, 9) for attempt in caught.value.attempts]
    assert found == [2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2]


def test_no_wait_is_longer_than_a_minute_and_no_more_than_100_retries_are_made(model: BitTransformer) -> None:
    waits: list[float] = []
    with pytest.raises(SafetyGateError):
        safe_sample_with_retry(
            model, NOTHING, 0.0, 1.0, max_new_bytes=1, backoff_s=40.0, max_retries=3, sleep=waits.append
        )
    assert waits == [40.0, 60.0, 60.0]
    safe_sample_with_retry(model, NOTHING, 0.0, 0.0, max_new_bytes=1, backoff_s=60.0, max_retries=100)
    with pytest.raises(ConfigError, match="use a number from 0 to 60"):
        safe_sample_with_retry(model, NOTHING, backoff_s=60.5)
    for retries in (101, True):
        with pytest.raises(ConfigError, match="use a whole number from 0 to 100"):
            safe_sample_with_retry(model, NOTHING, max_retries=retries)


def test_the_floors_of_a_stream_are_those_of_the_gate_unless_said_otherwise(model: BitTransformer) -> None:
    with pytest.raises(SafetyGateError) as caught:
        list(stream_with_retry(model, NOTHING, max_new_bytes=8))
    assert (caught.value.verdict.c_floor, caught.value.verdict.s_floor) == (0.3, 0.5)
