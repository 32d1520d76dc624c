"""Every attempt as it comes, and the same answer at the end."""

from typing import Any

import pytest
import torch

from bitlm.data import Corpus
from bitlm.errors import SafetyGateWarning
from bitlm.generation import GeneratedByte
from bitlm.model import BitTransformer, ModelConfig
from bitlm.reference import ReferenceModel
from bitlm.safety import AttemptBegun, AttemptEnded, safe_sample_with_retry, stream_with_retry

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
